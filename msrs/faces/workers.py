"""Work spread over processes, one job at a time each; a process that dies costs its job and nothing else."""

import contextlib
import dataclasses
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Job = TypeVar("Job")


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


class _Worker:
    def __init__(self, function: Callable[[Any], Any]):
        context = multiprocessing.get_context("spawn")  # forked copies of native libraries are not to be trusted
        self.connection, far = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, far), daemon=True)
        self.process.start()
        far.close()
        self.job: Any = None

    def give(self, job: Any) -> None:
        self.job = job
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # dead already: `take` tells
            self.connection.send(job)

    def take(self) -> tuple[bool, Any]:
        """(is alive, result); an exception of the function is raised here."""
        try:
            result, error = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return False, WorkerDied(self.process.exitcode)
        if error is not None:
            raise error
        return True, result

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def run_jobs(function: Callable[[Job], Any], jobs: Sequence[Job], num_workers: int) -> Iterator[tuple[Job, Any]]:
    """Yield (job, result) as they are done, in any order.

    Args: function, importable by name in a new process; jobs and results travel by pickle.
    An exception of the function stops everything and is raised here; a process that dies gives a `WorkerDied`.
    """
    waiting = list(reversed(jobs))
    workers: list[_Worker] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < max(num_workers, 1):
                workers.append(_Worker(function))
                workers[-1].give(waiting.pop())
            ready = wait([worker.connection for worker in workers])
            for worker in [worker for worker in workers if worker.connection in ready]:
                is_alive, result = worker.take()
                done = worker.job
                if is_alive and waiting:
                    worker.give(waiting.pop())
                else:
                    worker.stop()
                    workers.remove(worker)
                yield done, result
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
