"""The contract of a scorer, for all in the table: what an utterance gets is its own, whatever stands beside it."""

import math
from types import SimpleNamespace

import pytest
import torch

from msrs import config
from msrs.nets.ctc import CTCHead
from msrs.nets.transformer_decoder import TransformerDecoder
from msrs.search.scorers import SCORERS

V, D, LENGTHS = 8, 6, (11, 4, 7)


@pytest.fixture(params=list(SCORERS))
def scorer(request):
    torch.manual_seed(0)
    options = TransformerDecoder.Config(num_blocks=1, size=8, num_heads=2, feed_forward_size=16)
    model = SimpleNamespace(
        vocabulary_size=V,
        decoder=TransformerDecoder(options, V, D).eval(),
        ctc=CTCHead(CTCHead.Config(), V, D).eval(),
    )
    return SCORERS.build(SCORERS[request.param].Config(weight=1.0), model)


def make_memory(seed=0):
    memory = torch.randn(len(LENGTHS), max(LENGTHS), D, generator=torch.Generator().manual_seed(seed))
    return memory, torch.tensor(LENGTHS)


def walk(scorer, memory, lengths, moves):
    """Scores of all tokens after each of the moves (parents, tokens), from the empty hypothesis on."""
    state = scorer.start(memory, lengths)
    result = []
    for parents, tokens in moves:
        scores, state = scorer.score(state, None)
        result.append(scores)
        state = scorer.advance(state, parents, tokens)
    return [*result, scorer.score(state, None)[0]], state


def draw_moves(seed=1):
    generator = torch.Generator().manual_seed(seed)
    widths = (1, 3, 3, 2)
    return [
        (
            torch.randint(0, before, (3, after), generator=generator),
            torch.randint(1, 3, (3, after), generator=generator),
        )
        for before, after in zip(widths, widths[1:])
    ]


@torch.no_grad()
def test_alone_is_as_in_a_padded_batch(scorer):
    memory, lengths = make_memory()
    for i, length in enumerate(LENGTHS):
        memory[i, length:] = 50.0
    together, _ = walk(scorer, memory, lengths, draw_moves())
    for i, length in enumerate(LENGTHS):
        moves = [(parents[i : i + 1], tokens[i : i + 1]) for parents, tokens in draw_moves()]
        alone, _ = walk(scorer, memory[i : i + 1, :length], lengths[i : i + 1], moves)
        for one, other in zip(alone, together):
            assert one.shape == (1, other.shape[1], V)
            torch.testing.assert_close(one[0].double(), other[i].double(), atol=1e-5, rtol=0, equal_nan=True)


@torch.no_grad()
def test_hypotheses_do_not_touch_one_another(scorer):
    memory, lengths = make_memory()
    together, _ = walk(scorer, memory, lengths, draw_moves())
    moves = draw_moves()
    for slot in range(2):
        chain, place = [], torch.full((3, 1), slot)
        for parents, tokens in reversed(moves):
            chain.append((torch.zeros(3, 1, dtype=torch.int64), tokens.gather(1, place)))
            place = parents.gather(1, place)
        single, _ = walk(scorer, memory, lengths, chain[::-1])
        torch.testing.assert_close(single[-1][:, 0], together[-1][:, slot], atol=1e-5, rtol=0, equal_nan=True)


@torch.no_grad()
def test_selected_utterances_go_on_as_before(scorer):
    _, state = walk(scorer, *make_memory(), draw_moves())
    rows = torch.tensor([2, 0])
    expected, _ = scorer.score(state, None)
    scores, _ = scorer.score(scorer.select(state, rows), None)
    torch.testing.assert_close(scores, expected[rows], equal_nan=True)


@torch.no_grad()
def test_a_state_is_not_changed_by_what_is_done_with_it(scorer):
    _, state = walk(scorer, *make_memory(), draw_moves())
    before, scored = scorer.score(state, None)
    scorer.advance(scored, torch.zeros(3, 2, dtype=torch.int64), torch.ones(3, 2, dtype=torch.int64))
    scorer.select(scored, torch.tensor([1]))
    again, _ = scorer.score(state, None)
    torch.testing.assert_close(before, again, rtol=0, atol=0, equal_nan=True)


@torch.no_grad()
def test_candidates_get_what_they_get_among_all(scorer):
    if not scorer.is_partial:
        pytest.skip("asked about all tokens only")
    _, state = walk(scorer, *make_memory(), draw_moves())
    candidates = torch.tensor([1, 2, 5, V - 1]).expand(3, 2, 4)
    some, _ = scorer.score(state, candidates)
    everything, _ = scorer.score(state, None)
    torch.testing.assert_close(some, everything.gather(2, candidates), atol=1e-9, rtol=0, equal_nan=True)


@torch.no_grad()
def test_no_token_scores_more_than_promised(scorer):
    for scores in walk(scorer, *make_memory(), draw_moves())[0]:
        assert scores[scores > -math.inf].max() <= scorer.largest_step + 1e-6


def test_configuration_survives_a_round_trip(scorer):
    cls = type(scorer).Config
    assert config.build(cls, config.Document(config.to_dict(scorer.config), {}, "x")) == scorer.config
