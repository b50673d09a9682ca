"""One file of a data directory: lines `key value`, with a fault for each line that is not as it should be."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from msrs.files import read_lines, write_text

MAX_ID_BYTES = 200  # ids become names of files
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # categories Cc, Zl and Zp
LINE = re.compile(r"([^ \t]+)[ \t]+(.*)")


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong and where: a file with its line, or a folder."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class Row(NamedTuple):
    """The value of a line and where it stands, as `file:line`."""

    value: str
    where: str


def write_reasons(path: str | Path, reasons: Mapping[str, str], header: str = "reason") -> None:
    """Write a list `id TAB reason` with a heading, sorted by id; a reason is one line, whatever is in it."""
    rows = (f"{key}\t{' '.join(reason.split())}\n" for key, reason in sorted(reasons.items()))
    write_text(path, "".join([f"id\t{header}\n", *rows]))


def values_of(table: Mapping[str, Row]) -> dict[str, str]:
    """Key -> value, without the places."""
    return {key: row.value for key, row in table.items()}


def read_table(path: Path, faults: list[Fault], what: str) -> dict[str, Row]:
    """Key -> row; a key that comes twice keeps its first.

    Args: faults, where faults are added; what, the word for a value in messages.
    Raises: DataError if the file is not UTF-8.
    """
    if not path.exists():
        faults.append(Fault(str(path), "missing"))
        return {}
    table: dict[str, Row] = {}
    previous, is_sorted = "", True
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path}:{number}"
        match = LINE.fullmatch(line.rstrip(" \t") + " ")
        if not match:
            faults.append(Fault(where, "empty line" if not line.strip(" \t") else f"expected `key {what}`"))
            continue
        key, value = match[1], match[2].strip(" \t")
        if key in table:
            faults.append(Fault(where, f"{key} is given twice, first in line {table[key].where.rpartition(':')[2]}"))
            continue
        if key < previous and is_sorted:
            faults.append(Fault(where, f"not sorted: {key} comes after {previous}; expected order by code point"))
            is_sorted = False
        if not value:
            faults.append(Fault(where, f"{key} has an empty {what}"))
        if fault := id_fault(key):
            faults.append(Fault(where, fault))
        table[key] = Row(value, where)
        previous = key
    return table


def id_fault(name: str) -> str | None:
    """What is wrong with an id, or None; ids become names of files and folders and must not lead elsewhere."""
    if "/" in name or "\\" in name or name.startswith("."):
        return f"{name!r} cannot be an id: it must not contain a slash or begin with a dot, for it names a file"
    if has_control(name):
        return f"{name!r} cannot be an id: it contains a control character"
    if len(name.encode()) > MAX_ID_BYTES:
        return f"{name[:40]}... cannot be an id: longer than {MAX_ID_BYTES} bytes, for it names a file"
    return None


def has_control(text: str) -> bool:
    """True where a text contains control characters or line separators; any script is welcome.

    >>> has_control("größer 你好"), has_control("a\\x07b")
    (False, True)
    """
    return CONTROL.search(text) is not None


def is_pipe(value: str) -> bool:
    """True where an scp entry asks for a shell command to be run; such entries are never followed."""
    return value.startswith("|") or value.endswith("|")


def on_one_line(text: str) -> str:
    r"""The text with its control characters as a program would write them; the rest stays as it is.

    >>> print(on_one_line("a\nb.mp4"))
    a\nb.mp4
    """
    return CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def write_table(path: str | Path, table: Mapping[str, object]) -> None:
    """Write `key value` lines sorted by code point, whole or not at all."""
    write_text(path, "".join(f"{key} {value}\n" for key, value in sorted(table.items())))
