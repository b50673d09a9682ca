"""What became of each recording, a line each as soon as it is known, so that a killed run loses nothing."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from msrs.faces.quality import Quality
from msrs.files import append_text, read_lines


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


def open_journal(path: Path) -> Callable[[Outcome], None]:
    """Make a journal ready. Returns: the function that adds an outcome to the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        append_text(path, "\n")  # ends a line that a crash cut off; an empty line means nothing
    return lambda outcome: append_text(path, json.dumps(dataclasses.asdict(outcome), ensure_ascii=False) + "\n")
