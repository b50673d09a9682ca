"""Tables of counts in sclite's shape, as plain text and as Markdown."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msrs.score.edit import Counts, Pair

COUNT_HEADER = ("Snt", "Wrd", "Corr", "Sub", "Del", "Ins", "Err", "S.Err")


def display_width(text: str) -> int:
    """Columns that `text` takes on a terminal: 2 for wide East Asian characters, 0 for combining ones.

    >>> display_width("abc"), display_width("你好"), display_width("e\u0301")
    (3, 4, 1)
    """
    return sum(
        0
        if unicodedata.combining(c) or unicodedata.category(c) == "Cf"
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def pad(text: str, width: int, right: bool = False) -> str:
    """`text` filled with spaces to `width` columns; `right` sets it to the right edge."""
    space = " " * (width - display_width(text))
    return space + text if right else text + space


def text_table(header: Sequence[str], rows: Iterable[Sequence[str]], num_labels: int = 1) -> str:
    """A table for a terminal: the first `num_labels` columns to the left, the others to the right.

    >>> print(text_table(["set", "Err"], [["test", "2.5"]]))
    set   Err
    ----  ---
    test  2.5
    """
    rows = [list(header), *map(list, rows)]
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(_cells(row, widths, num_labels)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], num_labels: int = 1) -> str:
    """The same as Markdown, readable as it stands.

    >>> print(markdown_table(["set", "Err"], [["test", "2.5"]]))
    | set  | Err |
    |:-----|----:|
    | test | 2.5 |
    """
    rows = [[cell.replace("|", "\\|") for cell in row] for row in [list(header), *rows]]
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(_cells(row, widths, num_labels)) + " |" for row in rows]
    rule = [f":{'-' * (w + 1)}" if i < num_labels else f"{'-' * (w + 1)}:" for i, w in enumerate(widths)]
    return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:]])


def _cells(row: Sequence[str], widths: Sequence[int], num_labels: int) -> list[str]:
    return [pad(cell, width, right=i >= num_labels) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]


def count_cells(counts: Counts, interval: Sequence[float] | None = None) -> list[str]:
    """The cells under `COUNT_HEADER`: per cent of the reference's units with the number in brackets.

    >>> count_cells(Counts(80, 480, 471, 8, 1, 2, 9), (1.04, 3.6))
    ['80', '480', '98.1 (471)', '1.7 (8)', '0.2 (1)', '0.4 (2)', '2.3 [1.0, 3.6]', '11.2 (9)']
    """
    parts = (counts.correct, counts.substituted, counts.deleted, counts.inserted)
    rate = "-" if counts.rate is None else f"{counts.rate:.1f}"
    spread = f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else ""
    sentences = _share(counts.wrong_sentences, counts.sentences)
    return [
        str(counts.sentences),
        str(counts.units),
        *(_share(n, counts.units) for n in parts),
        rate + spread,
        sentences,
    ]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} ({part})" if whole else f"- ({part})"


def speaker_table(speakers: Mapping[str, Counts]) -> str:
    """A row a speaker, sorted by name."""
    rows = [[speaker, *count_cells(speakers[speaker])] for speaker in sorted(speakers)]
    return text_table(["speaker", *COUNT_HEADER], rows)


def find_confusions(alignments: Iterable[Iterable[Pair]], most: int = 20) -> list[tuple[str, str, int]]:
    """The most frequent errors as (reference, hypothesis, count); an empty side means inserted or deleted.

    >>> find_confusions([[Pair("S", "b", "p"), Pair("D", "a", "")], [Pair("S", "b", "p"), Pair("C", "x", "x")]])
    [('b', 'p', 2), ('a', '', 1)]
    """
    errors = Counter((p.reference, p.hypothesis) for pairs in alignments for p in pairs if p.kind != "C")
    ranked = sorted(errors.items(), key=lambda item: (-item[1], item[0]))
    return [(reference, hypothesis, n) for (reference, hypothesis), n in ranked[:most]]


def confusion_table(confusions: Iterable[tuple[str, str, int]]) -> str:
    """A row an error: the reference's word, what was written for it, how often."""
    rows = [[reference or "*", hypothesis or "*", str(n)] for reference, hypothesis, n in confusions]
    return text_table(["reference", "hypothesis", "count"], rows, num_labels=2)
