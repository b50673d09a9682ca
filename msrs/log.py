"""Logs and progress: plain lines to standard error, a bar on a terminal, a line every half minute in a file."""

import contextlib
import logging
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from msrs.environment import git_revision

T = TypeVar("T")
LOGGER = logging.getLogger("msrs")
LINE_SECONDS = 30.0


def start_log(level: int = logging.INFO) -> None:
    """Send the package's log to standard error; calling it again changes nothing but the level."""
    if not LOGGER.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        LOGGER.addHandler(handler)
        LOGGER.propagate = False
    LOGGER.setLevel(level)


class _LogFile(logging.FileHandler):
    """Where the disk is full, lines are lost: they stand on standard error too, and what matters is told by other files."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def log_to_file(path: str | Path) -> Iterator[None]:
    """Append the log to a file as well, for as long as the context lasts."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        handler.close()


def log_start(command: str, arguments: list[str]) -> None:
    """The first line of every command: what was typed, version and git revision."""
    import msrs

    LOGGER.info("%s %s (msrs %s, git %s)", command, shlex.join(arguments), msrs.__version__, git_revision())


def counted(number: int, noun: str) -> str:
    """A number of things in words.

    >>> counted(1, "frame"), counted(0, "frame")
    ('1 frame', '0 frames')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield `items`; show a bar on a terminal, else log a line every 30 seconds with the rate and the time left."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what, unit="", dynamic_ncols=True, leave=False)
        return
    start = shown = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - shown >= LINE_SECONDS:
            left = (now - start) / done * (total - done)
            LOGGER.info("%s: %d of %d, %.1f a second, %.0f s left", what, done, total, done / (now - start), left)
            shown = now
        yield item
