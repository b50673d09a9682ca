"""The same work on many things, by several processes, with results in the order of the things."""

import collections
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from msrs.errors import DataError

Job = TypeVar("Job")
Result = TypeVar("Result")
AHEAD = 4  # jobs handed out beyond those a process works on, so that results do not pile up


def ordered_map(function: Callable[[Job], Result], jobs: Sequence[Job], num_jobs: int) -> Iterator[Result]:
    """Yield `function(job)` in the order of `jobs`; the results do not depend on `num_jobs`, the number of processes.

    Args: function, importable by name in a new process; jobs and results travel by pickle.
    Raises: what the function raises; DataError where a process dies, which mostly means too little memory.
    """
    if num_jobs <= 1 or len(jobs) <= 1:
        yield from map(function, jobs)
        return
    # spawn: forking a process that holds threads of torch or FFmpeg can hang.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(num_jobs, len(jobs)), spawn, initializer=_leave_interrupts_to_parent)
    try:
        waiting: collections.deque = collections.deque()
        for job in jobs:
            if len(waiting) >= num_jobs * AHEAD:
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, job))
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        message = f"one of {num_jobs} processes died without a word, mostly for want of memory; try a smaller --nj"
        raise DataError(f"{message}, or --nj 1 to see which recording it is.") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
