import os

import pytest

from msrs.errors import DataError
from msrs.faces.workers import WorkerDied, run_jobs

KILL = "__import__('os').kill(__import__('os').getpid(), 9)"


def test_all_jobs_are_done_once_by_other_processes():
    done = dict(run_jobs(eval, [f"({i}, __import__('os').getpid())" for i in range(7)], 2))
    assert sorted(number for number, _ in done.values()) == list(range(7))
    workers = {process for _, process in done.values()}
    assert os.getpid() not in workers
    assert 1 <= len(workers) <= 2


@pytest.mark.parametrize("num_workers", [1, 3])
def test_dying_process_costs_its_own_job_alone(num_workers):
    done = dict(run_jobs(eval, ["1", KILL, "2", "__import__('os')._exit(7)", "3"], num_workers))
    assert [done[job] for job in ("1", "2", "3")] == [1, 2, 3]
    assert "SIGKILL" in str(done[KILL])
    assert done["__import__('os')._exit(7)"] == WorkerDied(7)


def test_error_of_the_function_is_raised_here():
    jobs = ["(_ for _ in ()).throw(__import__('msrs.errors').errors.DataError('the disk is full'))", "1"]
    with pytest.raises(DataError, match="the disk is full"):
        list(run_jobs(eval, jobs, 1))


def test_no_jobs_start_no_process():
    assert list(run_jobs(eval, [], 4)) == []
