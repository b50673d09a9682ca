"""Work shared out among processes. Jobs are expressions for `eval`, as a new process can import no test."""

import os
import time

import pytest

from msrs.data.parallel import AHEAD, WorkerDied, ordered_map, run_jobs
from msrs.errors import DataError, MediaError

KILL = "__import__('os').kill(__import__('os').getpid(), 9)"
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
    with pytest.raises(DataError, match=r"third.mp4: its process died by SIGKILL, .*smaller --nj"):
        list(ordered_map(eval, ["1", "2", KILL, "3"], 2, name=lambda job: "third.mp4" if job == KILL else job))


def test_an_error_waits_for_its_turn():
    results = ordered_map(eval, ["__import__('time').sleep(1)", STUMBLE], 2)
    assert next(results) is None
    with pytest.raises(MediaError):
        next(results)


def test_results_do_not_pile_up_behind_a_slow_job(tmp_path):
    jobs = ["__import__('time').sleep(1.5)", *(f"open({str(tmp_path / str(i))!r}, 'w').close()" for i in range(40))]
    results = ordered_map(eval, jobs, 2)
    next(results)
    assert 0 < len(list(tmp_path.iterdir())) <= 2 * AHEAD
    assert len(list(results)) == 40


def test_who_takes_results_slowly_does_not_hold_the_work_up(tmp_path):
    results = run_jobs(eval, [f"open({str(tmp_path / str(i))!r}, 'w').close()" for i in range(2)], 1)
    next(results)
    deadline = time.monotonic() + 20
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(tmp_path.iterdir())) == 2
    results.close()


def test_leaving_early_ends_the_processes():
    results = ordered_map(eval, [str(i) for i in range(50)], 2)
    assert next(results) == 0
    results.close()


def test_no_jobs():
    assert list(ordered_map(eval, [], 4)) == []


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
