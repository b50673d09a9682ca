"""Work shared out among processes. Jobs are expressions for `eval`, as a new process can import no test."""

import os

import pytest

from msrs.data.parallel import ordered_map
from msrs.errors import DataError, MediaError

STUMBLE = "(_ for _ in ()).throw(__import__('msrs.errors').errors.MediaError('three.mp4: no'))"


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_results_keep_the_order_of_the_jobs(num_jobs):
    jobs = [f"(__import__('time').sleep({0.05 * (i % 3 == 0)}), {i}, __import__('os').getpid())" for i in range(20)]
    results = list(ordered_map(eval, jobs, num_jobs))
    assert [number for _, number, _ in results] == list(range(20))
    assert bool({pid for _, _, pid in results} - {os.getpid()}) == (num_jobs > 1)


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_an_error_comes_through(num_jobs):
    with pytest.raises(MediaError, match=r"three\.mp4: no"):
        list(ordered_map(eval, ["1", "2", STUMBLE, "4"], num_jobs))


def test_a_process_that_dies_is_told():
    with pytest.raises(DataError, match="died without a word.*--nj 1"):
        list(ordered_map(eval, ["1", "__import__('os')._exit(9)", "3"], 2))


def test_leaving_early_ends_the_processes():
    results = ordered_map(eval, [str(i) for i in range(50)], 2)
    assert next(results) == 0
    results.close()


def test_no_jobs():
    assert list(ordered_map(eval, [], 4)) == []
