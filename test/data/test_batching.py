"""Batches: every utterance once, under the budget, the same for the same seed and epoch."""

import pytest

from msrs.data.batching import BatchingConfig, padding_share, plan_batches, plan_in_order
from msrs.errors import ConfigError

LENGTHS = [(17 * i) % 90 + 10 for i in range(200)]
OPTIONS = BatchingConfig(max_frames=400, max_utterances=8)


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_every_utterance_once_and_no_batch_over_budget(epoch):
    batches = plan_batches(LENGTHS, OPTIONS, 1, epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(200))
    assert max(len(batch) for batch in batches) <= 8
    assert max(len(batch) * max(LENGTHS[i] for i in batch) for batch in batches) <= 400
    assert padding_share(batches, LENGTHS) < 0.12


def test_a_plan_is_a_function_of_seed_and_epoch():
    assert plan_batches(LENGTHS, OPTIONS, 1, 3) == plan_batches(LENGTHS, OPTIONS, 1, 3)
    contents = [
        {frozenset(batch) for batch in plan_batches(LENGTHS, OPTIONS, seed, epoch)}
        for seed, epoch in ((1, 0), (1, 1), (2, 0))
    ]
    assert contents[0] != contents[1] and contents[0] != contents[2]


def test_equal_lengths_are_shuffled_too():
    first, second = (plan_batches([75] * 64, OPTIONS, 1, epoch) for epoch in (0, 1))
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


def test_an_utterance_over_the_budget_is_refused():
    with pytest.raises(ConfigError, match="max_frames is 400, but the longest utterance has up to 401"):
        plan_batches([10, 401], OPTIONS, 1, 0)


def test_evaluation_keeps_every_utterance_once():
    batches = plan_in_order(LENGTHS, OPTIONS)
    assert sorted(index for batch in batches for index in batch) == list(range(200))
    assert plan_in_order([], OPTIONS) == []
    lengths = [LENGTHS[i] for batch in batches for i in batch]
    assert lengths == sorted(lengths)


def test_evaluation_shuffles_equal_lengths_so_that_neighbours_in_name_do_not_exchange_videos():
    batches = plan_in_order([40] * 80, OPTIONS)
    assert batches == plan_in_order([40] * 80, OPTIONS)
    neighbours = [abs(batch[i] - batch[i - 1]) for batch in batches for i in range(len(batch))]
    assert sum(distance <= 2 for distance in neighbours) < 0.15 * 80
