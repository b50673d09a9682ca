"""What became of each recording, a line each as soon as it is known, so that a killed run loses nothing."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from msrs.faces.quality import Quality
from msrs.files import read_lines


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A recording's measures, or why it was put aside; `digest` of what it was made from and how."""

    recording: str
    digest: str
    quality: Quality | None = None
    reason: str = ""


def read_journal(path: Path) -> dict[str, Outcome]:
    """The last word on each recording; a line that was cut off, or written by another version, is passed over."""
    known = {}
    for line in read_lines(path) if path.is_file() else []:
        try:
            values = json.loads(line)
            quality = values.pop("quality")
            known[values["recording"]] = Outcome(**values, quality=Quality(**quality) if quality else None)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return known


@contextlib.contextmanager
def open_journal(path: Path) -> Iterator[Callable[[Outcome], None]]:
    """Yield the function that appends an outcome and sees that it reaches the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8", newline="\n") as handle:
        if handle.tell():
            handle.write("\n")  # ends a line that a crash cut off; an empty line means nothing

        def append(outcome: Outcome) -> None:
            handle.write(json.dumps(dataclasses.asdict(outcome), ensure_ascii=False) + "\n")
            handle.flush()

        yield append
