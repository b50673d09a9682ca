"""The mark that a stage leaves behind: a hash of what it read and how it was told to work."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from msrs.files import sha256, write_text


class StageMark:
    """`<folder>/.done.<name>.json`: present and equal means that the stage's output is current.

    Args: folder of the output; name of the stage; inputs, small files read whole (lists, configurations: never media);
    options, JSON-able values that shape the output.
    """

    def __init__(self, folder: str | Path, name: str, inputs: Iterable[str | Path], options: Mapping[str, object]):
        self.path = Path(folder) / f".done.{name}.json"
        parts = {f"file {path}": sha256(path) for path in sorted(map(str, inputs))}
        parts |= {f"option {key}": json.dumps(value, sort_keys=True, default=str) for key, value in options.items()}
        self.parts = parts

    def reason_to_run(self) -> str | None:
        """None where the output is current; else why it is not, as a clause for the log."""
        try:
            old = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return "not done before"
        changed = sorted(key for key in old.keys() | self.parts.keys() if old.get(key) != self.parts.get(key))
        return f"changed since: {', '.join(changed)}" if changed else None

    def clear(self) -> None:
        """Remove the mark before work starts, so that a killed stage is never taken for a finished one."""
        self.path.unlink(missing_ok=True)

    def write(self) -> None:
        """Leave the mark; call it after the last output file has its final name."""
        write_text(self.path, json.dumps(self.parts, indent=1, sort_keys=True) + "\n")

    def digest(self) -> str:
        """Short hash of the mark, for the `inputs` of a later stage's own record."""
        return hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()[:16]


def content_digest(folder: str | Path, name: str, without: Iterable[str] = ()) -> str | None:
    """Hash of what a stage's mark says of its inputs and options; None without a mark.

    Lists of paths (.scp) do not count, so that the same data in another place has the same hash.
    Args: folder, name as of StageMark; without, names of inputs that do not count either.
    """
    try:
        parts = json.loads((Path(folder) / f".done.{name}.json").read_text(encoding="utf-8"))
        named = {re.split(r"[/\\]", key)[-1] if key.startswith("file ") else key: value for key, value in parts.items()}
    except (OSError, ValueError, AttributeError):
        return None
    kept = {key: value for key, value in named.items() if not key.endswith(".scp") and key not in without}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
