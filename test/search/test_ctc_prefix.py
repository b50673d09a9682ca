"""CTC prefix scores against sums over every path, and on a grid against one hypothesis alone."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from msrs.errors import ConfigError
from msrs.search.scorers.ctc_prefix import CtcPrefixScorer

T, V = 5, 4
EOS = V - 1


class FixedHead:
    """A CTC head whose memory is its log-probabilities."""

    def log_probs(self, memory):
        return memory


def make_scorer():
    return CtcPrefixScorer(CtcPrefixScorer.Config(), SimpleNamespace(ctc=FixedHead()))


def random_log_probs(batch, frames, vocabulary, seed, scale=2.0):
    values = torch.randn(batch, frames, vocabulary, generator=torch.Generator().manual_seed(seed))
    return (scale * values).log_softmax(-1)


def read(path):
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


def sums_over_paths(log_probs):
    """Two functions of a sentence: P(sentence) and P(sentence and anything after it), by adding up every path."""
    exact = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        weight = math.exp(sum(log_probs[t, c].item() for t, c in enumerate(path)))
        exact[read(path)] = exact.get(read(path), 0.0) + weight

    def prefix(tokens):
        return sum(weight for sentence, weight in exact.items() if sentence[: len(tokens)] == tokens)

    return lambda tokens: exact.get(tokens, 0.0), prefix


def log(value):
    return math.log(value) if value > 0 else -math.inf


@pytest.mark.parametrize("use_candidates", [False, True])
@pytest.mark.parametrize("frames", [1, 3, T])
def test_scores_equal_the_sums_over_all_paths(frames, use_candidates):
    log_probs = random_log_probs(1, T, V, seed=frames)
    exact, prefix = sums_over_paths(log_probs[0, :frames])
    scorer = make_scorer()
    state, sentences = scorer.start(log_probs, torch.tensor([frames])), [()]
    candidates = torch.arange(V)
    for _ in range(4):
        grid = candidates.expand(1, len(sentences), V)
        scores, state = scorer.score(state, grid if use_candidates else None)
        for k, sentence in enumerate(sentences):
            if prefix(sentence) == 0:
                continue
            total = scores[0, k] + log(prefix(sentence))
            assert scores[0, k, 0] == -math.inf
            assert total[EOS].item() == pytest.approx(log(exact(sentence)), abs=1e-5)
            for token in (1, 2):
                assert total[token].item() == pytest.approx(log(prefix((*sentence, token))), abs=1e-5)
        parents = torch.arange(len(sentences)).repeat_interleave(2)
        tokens = torch.tensor([1, 2]).repeat(len(sentences))
        sentences = [(*sentences[parent], token) for parent, token in zip(parents.tolist(), tokens.tolist())]
        state = scorer.advance(state, parents[None], tokens[None])


def plain_prefix_scores(log_probs, prefix, vocabulary):
    """The textbook recursion in plain numbers, a frame and a hypothesis at a time. Returns: log P(prefix c ...) for all c
    and log P(prefix)."""
    probs = log_probs.double().exp().tolist()
    by_token, by_blank = [0.0] * (len(probs) + 1), [1.0] * (len(probs) + 1)
    for t, frame in enumerate(probs):
        by_blank[t + 1] = by_blank[t] * frame[0]
    last = None
    for token in prefix:
        new_token, new_blank = [0.0] * (len(probs) + 1), [0.0] * (len(probs) + 1)
        for t, frame in enumerate(probs):
            entry = by_blank[t] + (0.0 if token == last else by_token[t])
            new_token[t + 1] = frame[token] * (new_token[t] + entry)
            new_blank[t + 1] = frame[0] * (new_blank[t] + new_token[t])
        by_token, by_blank, last = new_token, new_blank, token
    result = []
    for token in range(vocabulary):
        entries = [b + (0.0 if token == last else n) for n, b in zip(by_token, by_blank)]
        result.append(log(sum(entry * frame[token] for entry, frame in zip(entries, probs))))
    return result, log(by_token[-1] + by_blank[-1])


def test_grid_with_padding_equals_the_plain_recursion():
    lengths, vocabulary, steps = torch.tensor([40, 23, 31]), 7, 6
    log_probs = random_log_probs(3, 40, vocabulary, seed=5, scale=3.0)
    for i, length in enumerate(lengths):
        log_probs[i, length:] = math.nan  # whatever stands in padding
    scorer = make_scorer()
    generator = torch.Generator().manual_seed(6)
    state, sentences = scorer.start(log_probs, lengths), [[()]] * 3
    sums = torch.zeros(3, 1, dtype=torch.float64)
    for _ in range(steps):
        scores, state = scorer.score(state, None)
        for b, length in enumerate(lengths.tolist()):
            for k, sentence in enumerate(sentences[b]):
                expected, end = plain_prefix_scores(log_probs[b, :length], sentence, vocabulary)
                expected = torch.tensor([-math.inf, *expected[1:-1], end], dtype=torch.float64)
                torch.testing.assert_close(sums[b, k] + scores[b, k], expected, atol=1e-9, rtol=1e-9)
        parents = torch.randint(0, scores.shape[1], (3, 4), generator=generator)
        tokens = torch.randint(1, vocabulary - 1, (3, 4), generator=generator)
        sums = sums.gather(1, parents) + scores.flatten(1).gather(1, parents * vocabulary + tokens)
        sentences = [[(*sentences[b][p], t) for p, t in zip(parents[b].tolist(), tokens[b].tolist())] for b in range(3)]
        state = scorer.advance(state, parents, tokens)
    assert any(a == b for rows in sentences for row in rows for a, b in itertools.pairwise(row)), "no repeat was tried"


def test_candidates_and_the_whole_vocabulary_agree():
    log_probs = random_log_probs(2, 12, 6, seed=9)
    scorer = make_scorer()
    state = scorer.start(log_probs, torch.tensor([12, 8]))
    state = scorer.advance(state, torch.zeros(2, 3, dtype=torch.int64), torch.tensor([[1, 2, 3], [4, 3, 2]]))
    everything, _ = scorer.score(state, None)
    candidates = torch.tensor([1, 2, 3, 4, 5]).expand(2, 3, 5)
    some, _ = scorer.score(state, candidates)
    torch.testing.assert_close(some, everything[..., 1:], atol=1e-9, rtol=0)


def test_a_thousand_frames_of_certainty_stay_finite():
    log_probs = torch.full((1, 1000, 4), -60.0)
    log_probs[0, :, 0] = 0.0
    log_probs[0, 500, 0], log_probs[0, 500, 1] = -60.0, 0.0
    scorer = make_scorer()
    state = scorer.start(log_probs, torch.tensor([1000]))
    first, state = scorer.score(state, None)
    state = scorer.advance(state, torch.tensor([[0]]), torch.tensor([[1]]))
    second, _ = scorer.score(state, None)
    assert (first[0, 0, 1] + second[0, 0, 3]).item() == pytest.approx(0.0, abs=1e-6)
    assert second[0, 0, 2].item() == pytest.approx(-60.0 + math.log(499), abs=1e-3)


def test_select_keeps_the_named_utterances():
    log_probs = random_log_probs(3, 6, 5, seed=2)
    scorer = make_scorer()
    state = scorer.start(log_probs, torch.tensor([6, 4, 5]))
    state = scorer.advance(state, torch.zeros(3, 1, dtype=torch.int64), torch.tensor([[1], [2], [3]]))
    expected, _ = scorer.score(state, None)
    selected, _ = scorer.score(scorer.select(state, torch.tensor([2, 0])), None)
    torch.testing.assert_close(selected, expected[[2, 0]])


def test_a_model_without_a_head_is_refused():
    with pytest.raises(ConfigError, match="no CTC head"):
        CtcPrefixScorer(CtcPrefixScorer.Config(), SimpleNamespace(ctc=None))
