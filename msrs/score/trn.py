"""Files that people and sclite read: `words (speaker-utterance)` lines and aligned errors."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msrs.errors import DataError
from msrs.files import read_lines, write_text
from msrs.score.edit import Pair, count
from msrs.score.table import display_width, pad


def trn_id(speaker: str, utt_id: str) -> str:
    """`speaker-utterance`; the speaker is not said twice where the utterance's id starts with it.

    >>> trn_id("s1", "s1-bbaf2n"), trn_id("anna", "clip7")
    ('s1-bbaf2n', 'anna-clip7')
    """
    return utt_id if utt_id.startswith(f"{speaker}-") else f"{speaker}-{utt_id}"


def write_trn(path: str | Path, texts: Mapping[str, str]) -> None:
    """Write `words (id)` lines. Args: texts by trn id, in the order wanted."""
    write_text(path, "".join(f"{text} ({name})".lstrip() + "\n" for name, text in texts.items()))


def read_trn(path: str | Path) -> dict[str, str]:
    """Texts by trn id. Raises: DataError with file:line."""
    texts: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        text, bracket, name = line.rstrip().rpartition("(")
        if not bracket or not name.endswith(")"):
            raise DataError(f"{path}:{number}: expected `words (speaker-utterance)`.")
        if name[:-1] in texts:
            raise DataError(f"{path}:{number}: {name[:-1]} is given twice.")
        texts[name[:-1]] = text.strip()
    return texts


def format_alignment(name: str, alignment: Sequence[Pair], is_case_free: bool) -> str:
    """One sentence as sclite prints it: an error is marked below, a gap is filled with stars.

    `is_case_free` says that case means nothing in these texts: then what is right stands in small letters and what is
    wrong in capitals.

    >>> print(format_alignment("s1-a", [Pair("C", "BIN", "BIN"), Pair("S", "F", "S"), Pair("D", "TWO", "")], True))
    id: (s1-a)
    Scores: (#C #S #D #I) 1 1 1 0
    REF:  bin F TWO
    HYP:  bin S ***
    Eval:     S D
    """
    n = count(alignment)
    lines = [f"id: ({name})", f"Scores: (#C #S #D #I) {n.correct} {n.substituted} {n.deleted} {n.inserted}"]
    columns = []
    for kind, reference, hypothesis in alignment:
        if is_case_free:
            reference, hypothesis = (word.lower() if kind == "C" else word.upper() for word in (reference, hypothesis))
        width = max(display_width(reference), display_width(hypothesis))
        cells = (reference or "*" * width, hypothesis or "*" * width, kind.replace("C", ""))
        columns.append([pad(cell, width) for cell in cells])
    for title, cells in zip(("REF:  ", "HYP:  ", "Eval: "), zip(*columns, strict=True), strict=False):
        lines.append((title + " ".join(cells)).rstrip())
    return "\n".join(lines)


def format_alignments(alignments: Iterable[tuple[str, Sequence[Pair]]], is_case_free: bool) -> str:
    """All sentences with an error, a blank line between them; the last line says how many were without."""
    alignments = list(alignments)
    wrong = [format_alignment(name, pairs, is_case_free) for name, pairs in alignments if count(pairs).wrong_sentences]
    return "\n\n".join([*wrong, f"{len(alignments) - len(wrong)} sentences without an error are left out."]) + "\n"
