"""The beam search against an exhaustive one, against a slow plain one, and against itself in other batches."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from msrs.errors import ConfigError, TrainingError
from msrs.nets.ctc import CTCHead
from msrs.nets.transformer_decoder import TransformerDecoder
from msrs.search.beam import BeamSearch
from msrs.search.options import SearchConfig, build_scorers
from msrs.search.scorers import LengthBonus
from msrs.search.scorers.base import Scorer

D = 8


def make_model(vocabulary_size, seed=0, decoder=True, ctc=True, sharpness=4.0):
    """A random model that has opinions: its output layers are scaled up."""
    torch.manual_seed(seed)
    config = TransformerDecoder.Config(num_blocks=2, size=16, num_heads=2, feed_forward_size=32)
    parts = SimpleNamespace(vocabulary_size=vocabulary_size, decoder=None, ctc=None)
    if decoder:
        parts.decoder = TransformerDecoder(config, vocabulary_size, D).eval()
        parts.decoder.output.weight.data.mul_(sharpness)
    if ctc:
        parts.ctc = CTCHead(CTCHead.Config(), vocabulary_size, D).eval()
        parts.ctc.output.weight.data.mul_(sharpness)
    return parts


def make_memory(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(lengths), max(lengths), D, generator=generator), torch.tensor(lengths)


def attention_score(model, memory, sentence):
    """log P of a sentence and its end, by one pass of the decoder. Args: memory (T, D)."""
    eos = model.vocabulary_size - 1
    tokens = torch.tensor([[eos, *sentence]])
    logits = model.decoder(tokens, torch.tensor([tokens.shape[1]]), memory[None], torch.tensor([len(memory)]))
    return logits[0].log_softmax(-1)[range(tokens.shape[1]), [*sentence, eos]].sum().item()


def ctc_score(model, memory, sentence):
    """log P of a sentence by torch's CTC loss."""
    log_probs = model.ctc.log_probs(memory[:, None])
    loss = F.ctc_loss(log_probs, torch.tensor([sentence]), (len(memory),), (len(sentence),), reduction="sum")
    return -loss.item()


def all_sentences(vocabulary_size, longest):
    tokens = range(1, vocabulary_size - 1)
    return itertools.chain.from_iterable(itertools.product(tokens, repeat=n) for n in range(longest + 1))


@pytest.mark.parametrize(("ctc_weight", "length_bonus"), [(0.3, 0.0), (0.0, 0.0), (1.0, 0.0), (0.5, 0.7), (0.5, -0.7)])
@torch.no_grad()
def test_a_wide_beam_finds_what_an_exhaustive_search_finds(ctc_weight, length_bonus):
    model = make_model(5)
    memory, lengths = make_memory([4, 3, 1], seed=1)
    options = SearchConfig(beam_size=200, ctc_weight=ctc_weight, length_bonus=length_bonus, nbest=5, end_margin=1e3)
    found = BeamSearch.for_model(options, model)(memory, lengths)
    for i, length in enumerate(lengths.tolist()):
        expected = {}
        for sentence in all_sentences(5, longest=length):
            score = length_bonus * len(sentence)
            score += ctc_weight * ctc_score(model, memory[i, :length], sentence) if ctc_weight else 0.0
            score += (1 - ctc_weight) * attention_score(model, memory[i, :length], sentence) if ctc_weight < 1 else 0.0
            expected[sentence] = score
        best = sorted(expected, key=expected.get, reverse=True)[:5]
        finite = [sentence for sentence in best if expected[sentence] > -math.inf]
        assert [hypothesis.tokens for hypothesis in found[i]] == finite
        assert [hypothesis.score for hypothesis in found[i]] == pytest.approx([expected[s] for s in finite], abs=1e-4)


@torch.no_grad()
def test_each_scorers_own_score_is_reported():
    model = make_model(6)
    memory, lengths = make_memory([7])
    options = SearchConfig(beam_size=4, ctc_weight=0.4, length_bonus=0.5, nbest=4)
    for hypothesis in BeamSearch.for_model(options, model)(memory, lengths)[0]:
        scores = hypothesis.scores
        assert scores["attention"] == pytest.approx(attention_score(model, memory[0], hypothesis.tokens), abs=1e-4)
        assert scores["ctc_prefix"] == pytest.approx(ctc_score(model, memory[0], hypothesis.tokens), abs=1e-4)
        assert scores["length_bonus"] == len(hypothesis.tokens)
        total = 0.6 * scores["attention"] + 0.4 * scores["ctc_prefix"] + 0.5 * scores["length_bonus"]
        assert hypothesis.score == pytest.approx(total, abs=1e-9)


def plain_beam_search(model, memory, options):
    """One utterance, one hypothesis at a time, nothing cached: the search as one would explain it.

    Returns: (sentence, score) of the finished hypotheses, the best first.
    """
    eos, num_frames, log_probs = model.vocabulary_size - 1, len(memory), model.ctc.log_probs(memory)
    running, finished = [((), 0.0, 0.0)], []
    for step in range(num_frames + 1):
        expanded = []
        for sentence, attention, _ in running:
            tokens = torch.tensor([[eos, *sentence]])
            logits = model.decoder(tokens, torch.tensor([len(sentence) + 1]), memory[None], torch.tensor([num_frames]))
            ranking = logits[0, -1].log_softmax(-1).tolist()
            allowed = sorted(range(1, eos), key=lambda token: (-ranking[token], token))
            allowed = allowed[: int(options.pre_beam_ratio * options.beam_size)] if step < num_frames else []
            for token in [*allowed, eos]:
                longer = (*sentence, token)
                ctc = ctc_score(model, memory, sentence) if token == eos else plain_ctc_prefix(log_probs, longer)
                if ctc > -math.inf:
                    total = attention + ranking[token]
                    expanded.append((longer, total, (1 - options.ctc_weight) * total + options.ctc_weight * ctc))
        expanded.sort(key=lambda item: -item[2])
        best = expanded[: options.beam_size]
        finished += [(sentence[:-1], score) for sentence, _, score in best if sentence[-1] == eos]
        running = [item for item in best if item[0][-1] != eos]
    return sorted(finished, key=lambda item: -item[1])[: options.nbest]


def plain_ctc_prefix(log_probs, sentence):
    """log P(sentence and anything after it), frame by frame in plain numbers. Args: log_probs (T, V)."""
    probs = log_probs.double().exp().tolist()
    by_token, by_blank, last, prefix = [0.0] * (len(probs) + 1), [1.0], None, 1.0
    for frame in probs:
        by_blank.append(by_blank[-1] * frame[0])
    for token in sentence:
        entry = [b + (0.0 if token == last else n) for n, b in zip(by_token, by_blank)]
        by_token, by_blank, last, prefix = [0.0], [0.0], token, 0.0
        for t, frame in enumerate(probs):
            prefix += entry[t] * frame[token]
            by_blank.append(frame[0] * (by_blank[t] + by_token[t]))
            by_token.append(frame[token] * (by_token[t] + entry[t]))
    return math.log(prefix) if prefix > 0 else -math.inf


@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_the_grid_finds_what_a_plain_search_finds(seed):
    model = make_model(12, seed=seed)
    lengths = [9, 5, 7]
    memory, memory_lengths = make_memory(lengths, seed=seed)
    options = SearchConfig(beam_size=4, ctc_weight=0.3, nbest=4, end_margin=1e3)
    found = BeamSearch.for_model(options, model)(memory, memory_lengths)
    for i, length in enumerate(lengths):
        expected = plain_beam_search(model, memory[i, :length], options)
        assert [hypothesis.tokens for hypothesis in found[i]] == [sentence for sentence, _ in expected]
        assert [hypothesis.score for hypothesis in found[i]] == pytest.approx([s for _, s in expected], abs=1e-4)


@pytest.mark.parametrize("ctc_weight", [0.0, 0.3, 1.0])
@torch.no_grad()
def test_neither_batch_nor_padding_changes_an_answer(ctc_weight):
    model = make_model(9, seed=4)
    lengths = [20, 3, 11, 20, 1, 14]
    memory, memory_lengths = make_memory(lengths, seed=4)
    options = SearchConfig(beam_size=5, ctc_weight=ctc_weight, length_bonus=0.2)
    search = BeamSearch.for_model(options, model)
    together = search(memory, memory_lengths)
    filled = memory.clone()
    for i, length in enumerate(lengths):
        filled[i, length:] = 100.0
    for i, length in enumerate(lengths):
        alone = search(memory[i : i + 1, :length], memory_lengths[i : i + 1])[0]
        padded = search(filled[i : i + 1], memory_lengths[i : i + 1])[0]
        for other in (alone, padded):
            assert [hypothesis.tokens for hypothesis in other] == [hypothesis.tokens for hypothesis in together[i]]
            assert [hypothesis.score for hypothesis in other] == pytest.approx(
                [hypothesis.score for hypothesis in together[i]], abs=1e-4
            )


@torch.no_grad()
def test_ties_go_to_the_lower_token():
    model = make_model(6, decoder=False)
    model.ctc.output.weight.data.zero_()
    model.ctc.output.bias.data.copy_(torch.tensor([0.0, -1.0, 1.0, 1.0, 1.0, -9.0]))
    options = SearchConfig(beam_size=3, ctc_weight=1.0, nbest=3, max_length_ratio=-1)
    hypotheses = BeamSearch.for_model(options, model)(torch.zeros(2, 3, D), torch.tensor([3, 3]))
    assert [[hypothesis.tokens for hypothesis in row] for row in hypotheses] == [[(2,), (3,), (4,)]] * 2


@pytest.mark.parametrize(("ratio", "longest"), [(0.0, 12), (0.25, 3), (-2.0, 2), (0.01, 1)])
@torch.no_grad()
def test_maximum_length(ratio, longest):
    model = make_model(6, ctc=False)
    model.decoder.output.bias.data[-1] = -50.0  # never ends by itself
    options = SearchConfig(beam_size=2, ctc_weight=0.0, max_length_ratio=ratio)
    hypotheses = BeamSearch.for_model(options, model)(*make_memory([12]))[0]
    assert {len(hypothesis.tokens) for hypothesis in hypotheses} == {longest}


@torch.no_grad()
def test_an_empty_sentence_can_win():
    model = make_model(6)
    model.ctc.output.bias.data[0] = 50.0
    model.decoder.output.bias.data[-1] = 50.0
    best = BeamSearch.for_model(SearchConfig(), model)(*make_memory([5]))[0][0]
    assert best.tokens == ()


@torch.no_grad()
def test_the_search_ends_where_longer_sentences_are_hopeless():
    model = make_model(8, ctc=False, sharpness=0.0)
    model.decoder.output.bias.data.zero_()
    calls = []
    step = model.decoder.step
    model.decoder.step = lambda *args: calls.append(1) or step(*args)
    BeamSearch.for_model(SearchConfig(ctc_weight=0.0, nbest=50, beam_size=8), model)(*make_memory([100]))
    assert 5 < len(calls) < 20


@torch.no_grad()
def test_more_wanted_than_found_is_no_fault():
    found = BeamSearch.for_model(SearchConfig(nbest=50, beam_size=2), make_model(5))(*make_memory([1, 2]))
    assert all(1 <= len(row) < 50 for row in found)


def test_scores_that_are_not_numbers_are_told():
    with pytest.raises(TrainingError, match="not numbers"):
        BeamSearch.for_model(SearchConfig(), make_model(30))(torch.full((1, 4, D), math.nan), torch.tensor([4]))


def test_weights_follow_what_the_model_has():
    def names(options, **parts):
        return [(scorer.config.type, scorer.config.weight) for scorer in build_scorers(options, make_model(5, **parts))]

    options = SearchConfig(ctc_weight=0.25, length_bonus=0.5)
    assert names(options) == [("attention", 0.75), ("ctc_prefix", 0.25), ("length_bonus", 0.5)]
    assert names(options, decoder=False) == [("ctc_prefix", 1.0), ("length_bonus", 0.5)]
    assert names(SearchConfig(), ctc=False) == [("attention", 1.0)]
    with pytest.raises(ConfigError, match="neither"):
        names(options, decoder=False, ctc=False)
    twice = SearchConfig(scorers=[{"type": "attention", "weight": 0.1}])
    with pytest.raises(ConfigError, match="attention is there already"):
        names(twice)


class Scripted(Scorer):
    """Scores that depend on the position alone: rows (U, V), the last one for all that follow; counts its steps."""

    def __init__(self, *rows):
        self.config = SimpleNamespace(type="scripted", weight=1.0)
        self.rows, self.steps = torch.tensor(rows, dtype=torch.float64), 0

    def start(self, memory, memory_lengths):
        return len(memory), 1, 0

    def score(self, state, candidates=None):
        self.steps += 1
        batch, slots, position = state
        return self.rows[min(position, len(self.rows) - 1)].expand(batch, slots, -1), state

    def advance(self, state, parents, tokens):
        return (*parents.shape, state[2] + 1)

    def select(self, state, rows):
        return len(rows), *state[1:]


def search_by_script(*rows, frames, nbest=1, bonus=None):
    model = SimpleNamespace(vocabulary_size=len(rows[0]))
    scorers = [Scripted(*rows)] + ([LengthBonus(LengthBonus.Config(weight=bonus), model)] if bonus else [])
    options = SearchConfig(beam_size=3, nbest=nbest, end_margin=1e3)
    found = BeamSearch(options, scorers, len(rows[0]))(*make_memory([frames]))[0]
    return [hypothesis.tokens for hypothesis in found], scorers[0].steps


def test_a_bonus_still_to_come_keeps_the_search_going():
    first, later = [0.0, -6.0, -7.0, -1.0], [0.0, -0.1, -9.0, -0.1]
    assert search_by_script(first, later, frames=6)[0] == [()]
    assert search_by_script(first, later, frames=6, bonus=2.0)[0] == [(1,) * 6]


def test_the_search_ends_where_nothing_better_can_come():
    start, end = [0.0, -0.1, -3.0, -9.0], [0.0, -9.0, -9.5, -0.01]
    assert search_by_script(start, end, frames=100) == ([(1,)], 2)
    sentences, steps = search_by_script(start, end, frames=100, nbest=2)
    assert sentences == [(1,), (2,)]
    assert steps == 2
