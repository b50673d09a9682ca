"""RESULTS.md: every scored set below `exp`, with what it takes to make the numbers again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msrs.errors import DataError, StageError
from msrs.files import read_lines, write_text
from msrs.score.result import read_counts, read_result
from msrs.score.table import COUNT_HEADER, count_cells, markdown_table, text_table

LABELS = ("exp", "decode", "set")
MARKS = ("<!-- word errors: written by msrs-results --page -->", "<!-- end of word errors -->")
UNITS = {"WER": ("words", "Wrd"), "CER": ("characters", "Chr")}


@dataclass(frozen=True)
class Row:
    """One scored set: where it stands (`exp/<experiment>/decode_<decode>/<set>`) and its result.json."""

    labels: tuple[str, str, str]
    result: dict[str, Any]

    def version(self, package: str) -> str:
        """Version of a package at the time, `-` where it was not told."""
        return str(self.result.get("environment", {}).get("packages", {}).get(package, "-"))

    def environment(self, key: str) -> str:
        """One of the environment's own entries: msrs, git, python, system."""
        return str(self.result.get("environment", {}).get(key, "-"))


def find_results(exp: str | Path) -> tuple[list[Row], list[str]]:
    """All `<exp>/*/decode_*/*/result.json`, sorted by their folders, and a sentence on each that is damaged.

    Raises: StageError if there is none, DataError if none is whole.
    """
    folders = [path.parent for path in Path(exp).glob("*/decode_*/*/result.json")]
    if not folders:
        raise StageError(f"{exp}: no scored set (*/decode_*/*/result.json) is here; run stage 5.")
    rows, faults = [], []
    for folder in sorted(folders):
        experiment, decode, name = folder.parts[-3:]
        try:
            rows.append(Row((experiment, decode.removeprefix("decode_"), name), read_result(folder)))
        except DataError as error:
            faults.append(str(error))
    if not rows:
        raise DataError("\n".join(faults))
    return rows, faults


def fill_page(rows: Sequence[Row], page: str | Path) -> None:
    """Put the table of word errors between the two marks of a hand-written page, in place of what stands there.

    Raises: DataError where the page lacks the marks.
    """
    text = "\n".join(read_lines(page))
    before, begin, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise DataError(
            f"{page}: the lines `{MARKS[0]}` and `{MARKS[1]}` are missing; put them where the table belongs."
        )
    table = markdown_table(*_table(rows, "WER"), num_labels=len(LABELS))
    write_text(page, f"{before}{begin}\n{table}\n{end}{after}\n")


def format_tables(rows: Sequence[Row]) -> str:
    """WER and CER tables as plain text."""
    parts = [f"{title}\n{text_table(*_table(rows, title), num_labels=len(LABELS))}" for title in UNITS]
    return "\n\n".join(parts)


def format_results(rows: Sequence[Row]) -> str:
    """The whole page; it depends on the results alone, and its date is that of the newest."""
    newest = max(rows, key=lambda row: (str(row.result.get("date")), row.labels))
    parts = ["# RESULTS", "Written by `msrs-results`; the next run of stage 5 writes it anew.", _environment(newest)]
    for title in UNITS:
        parts += [f"## {title}", markdown_table(*_table(rows, title), num_labels=len(LABELS))]
    parts += [_NOTE, "## How each row was made", _origins(rows), _commands(rows)]
    return "\n\n".join(parts) + "\n"


_NOTE = """\
In per cent of the reference's words or characters (spaces included), numbers in brackets. Err: all errors, with the
95 % bootstrap interval over utterances; it has no width where there is no error at all. S.Err: sentences with an error."""


def _table(rows: Sequence[Row], title: str) -> tuple[list[str], list[list[str]]]:
    unit, column = UNITS[title]
    header = [*LABELS, *(column if name == "Wrd" else name for name in COUNT_HEADER)]
    header[header.index("Err")] = "Err [95 % CI]"
    cells = [[*row.labels, *count_cells(read_counts(row.result[unit]), row.result[unit]["interval"])] for row in rows]
    return header, cells


def _environment(row: Row) -> str:
    values = {
        "date": str(row.result.get("date", "-")),
        "python": row.environment("python"),
        "msrs": row.environment("msrs"),
        "torch": row.version("torch"),
        "git revision": row.environment("git"),
        "system": row.environment("system"),
        "command": str(row.result.get("command", "-")),
    }
    return "\n".join(["## Environment", "", *(f"- {key}: `{value}`" for key, value in values.items())])


def _origins(rows: Sequence[Row]) -> str:
    header = [*LABELS, "date", "msrs", "git", "torch", "rules", "search"]
    cells = []
    for row in rows:
        options = ", ".join(f"{key}={value}" for key, value in row.result.get("options", {}).items()) or "-"
        versions = [row.environment("msrs"), row.environment("git"), row.version("torch")]
        rules = str(row.result.get("rules", {}).get("name", "-"))
        cells.append([*row.labels, str(row.result.get("date", "-")), *versions, rules, options])
    return markdown_table(header, cells, num_labels=len(header))


def _commands(rows: Sequence[Row]) -> str:
    """Each command once, in the order of the rows, in a block that can be pasted into a shell."""
    commands: dict[str, list[str]] = {}
    for row in rows:
        commands.setdefault(str(row.result.get("command", "-")), []).append("/".join(row.labels))
    lines = [line for command, names in commands.items() for line in (f"# {', '.join(names)}", command)]
    return "\n".join(["```sh", *lines, "```"])
