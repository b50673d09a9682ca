"""Who passes what of an update."""

import pytest

from msrs.train.announce import load
from msrs.train.shares import deal, widths


@pytest.mark.parametrize("num_processes", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("num_batches", [1, 2, 3, 5, 7, 8, 9])
def test_every_utterance_is_passed_once_and_groups_pass_together(num_batches, num_processes):
    batches = [[10 * number + i for i in range(1 + number % 5)] for number in range(num_batches)]
    everyone = [deal(batches, rank, num_processes) for rank in range(num_processes)]
    passed = sorted(index for own in everyone for share in own if share.is_counted for index in share.indices)
    assert passed == sorted(index for batch in batches for index in batch)
    for rank, own in enumerate(everyone):
        assert all(rank in share.ranks for share in own)
        assert [share.number for share in own] == sorted({share.number for share in own})
        for share in own:
            for other in share.ranks:
                assert [s.number for s in everyone[other]].count(share.number) == 1
    assert {len(share.ranks) for own in everyone for share in own} == set(widths(num_batches, num_processes))


def test_one_process_passes_all_batches_as_they_are():
    batches = [[0, 1], [2], [3, 4, 5]]
    shares = deal(batches, 0, 1)
    assert [list(share.indices) for share in shares] == batches
    assert not any(share.is_split for share in shares)


def test_who_finds_no_utterance_keeps_the_others_company():
    shares = [deal([[7, 8]], rank, 4) for rank in range(4)]
    assert [share.is_counted for (share,) in shares] == [True, True, False, False]
    assert shares[3][0].indices == (7,)


@pytest.mark.parametrize("num_processes", [2, 3, 4, 6])
@pytest.mark.parametrize("num_batches", [1, 2, 3, 5, 7])
def test_processes_that_have_to_keep_step_make_the_same_passes(num_batches, num_processes):
    batches = [[10 * number + i for i in range(1 + number % 5)] for number in range(num_batches)]
    in_step = [deal(batches, rank, num_processes, in_step=True) for rank in range(num_processes)]
    assert {len(own) for own in in_step} == {-(-num_batches // num_processes)}
    for rank, own in enumerate(in_step):
        free = deal(batches, rank, num_processes)
        assert own[: len(free)] == free
        assert all(share.indices and share.ranks == (rank,) and not share.is_counted for share in own[len(free) :])


def test_batches_as_many_as_processes_leave_nobody_idle():
    assert load([[[0], [1], [2], [3]]], [10] * 4, 4) == (10, 0.0)
    assert load([[[0], [1], [2]]], [10] * 3, 4)[1] == 0.25
