"""One run at a time in an experiment's folder."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from msrs.errors import TrainingError
from msrs.files import write_error

PATIENCE_SECONDS = 30.0  # processes of a run that was killed may need some seconds to notice


@contextlib.contextmanager
def locked(folder: Path, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the folder's lock; the system frees it however the process ends.

    Raises: TrainingError where another has it; DataError where the folder cannot be written.
    On systems and disks without such locks nothing is held.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / ".lock", "a", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise write_error(folder, error) from error
    with handle:
        end = time.monotonic() + patience_seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TrainingError(
                        f"{folder}: another msrs-train is at work in this folder; end it first, or give this run its own "
                        f"name (--tag)."
                    ) from None
                time.sleep(0.2)
            except OSError:
                break
        yield
