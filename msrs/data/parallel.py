"""The same work on many things, by several processes; one that dies costs its job and no other."""

import contextlib
import dataclasses
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from msrs.errors import DataError

Job = TypeVar("Job")
Result = TypeVar("Result")
AHEAD = 4  # jobs a process may be done with beyond one that takes long, so that results do not pile up


@dataclasses.dataclass(frozen=True)
class WorkerDied:
    """Stands for the result of a job whose process died (a crash in native code, killed for want of memory)."""

    exit_code: int | None

    def __str__(self) -> str:
        code = self.exit_code
        with contextlib.suppress(ValueError):
            if code is not None and code < 0:
                return f"its process died by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}"


def run_jobs(function: Callable[[Job], Any], jobs: Sequence[Job], num_jobs: int) -> Iterator[tuple[Job, Any]]:
    """Yield (job, result) as they are done, in any order; always in other processes, of which there are `num_jobs`.

    Args: function, importable by name in a new process; jobs and results travel by pickle.
    An exception of the function stops everything and is raised here; a process that dies gives a `WorkerDied`.
    """
    for number, result, error in _numbered(function, jobs, num_jobs, len(jobs)):
        if error is not None:
            raise error
        yield jobs[number], result


def ordered_map(
    function: Callable[[Job], Result], jobs: Sequence[Job], num_jobs: int, name: Callable[[Job], str] = str
) -> Iterator[Result]:
    """Yield `function(job)` in the order of `jobs`; the results do not depend on `num_jobs`, the number of processes.

    Args: function, importable by name in a new process; jobs and results travel by pickle; name, a job's word for
    messages. Raises: what the function raises; DataError where a process dies, which mostly means too little memory.
    """
    if num_jobs <= 1 or len(jobs) <= 1:
        yield from map(function, jobs)
        return
    done: dict[int, tuple[Any, Exception | None]] = {}
    turn = 0
    for number, result, error in _numbered(function, jobs, num_jobs, num_jobs * AHEAD):
        done[number] = result, error
        while turn in done:
            result, error = done.pop(turn)
            if error is not None:
                raise error
            if isinstance(result, WorkerDied):
                raise DataError(f"{name(jobs[turn])}: {result}, mostly for want of memory; try a smaller --nj.")
            yield result
            turn += 1


class _Worker:
    def __init__(self, function: Callable[[Any], Any]):
        context = multiprocessing.get_context("spawn")  # forked copies of native libraries are not to be trusted
        self.connection, far = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, far), daemon=True)
        self.process.start()
        far.close()
        self.number: int | None = None  # of the job that it has

    def give(self, number: int, job: Any) -> None:
        self.number = number
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # dead already: `take` tells
            self.connection.send(job)

    def take(self) -> tuple[int, Any, Exception | None]:
        """(number of the job, result, exception of the function)."""
        number, self.number = self.number, None
        try:
            return number, *self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return number, WorkerDied(self.process.exitcode), None

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def _numbered(
    function: Callable[[Job], Any], jobs: Sequence[Job], num_jobs: int, window: int
) -> Iterator[tuple[int, Any, Exception | None]]:
    """Yield (number of the job, result, exception) as they are done; no job begins `window` jobs after one in work."""
    workers: list[_Worker] = []
    following = 0

    def hand_out() -> None:
        nonlocal following
        while following < len(jobs):
            idle = next((worker for worker in workers if worker.number is None), None)
            oldest = min((worker.number for worker in workers if worker.number is not None), default=following)
            if following - oldest >= window or idle is None and len(workers) >= max(num_jobs, 1):
                return
            if idle is None:
                idle = _Worker(function)
                workers.append(idle)
            idle.give(following, jobs[following])
            following += 1

    try:
        hand_out()
        while busy := {worker.connection: worker for worker in workers if worker.number is not None}:
            found = []
            for connection in wait(list(busy)):
                worker = busy[connection]
                found.append(worker.take())
                if isinstance(found[-1][1], WorkerDied):
                    worker.stop()
                    workers.remove(worker)
            hand_out()  # before the results go: who takes them may be busy for a while
            yield from found
    finally:
        for worker in workers:
            worker.stop()


def _serve(function: Callable[[Any], Any], connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
    while True:
        try:
            job = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            answer = (function(job), None)
        except Exception as error:  # noqa: BLE001 - handed to the parent whole
            answer = (None, error)
        try:
            connection.send(answer)
        except BrokenPipeError:  # the parent was killed: nobody is left to tell
            return
