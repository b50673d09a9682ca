"""Alignment of hypotheses with references, and the counts of errors that follow from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import jiwer

Unit = Literal["words", "characters"]
_KINDS = {"equal": "C", "substitute": "S", "delete": "D", "insert": "I"}


class Pair(NamedTuple):
    """One step of an alignment: `C`orrect, `S`ubstituted, `D`eleted or `I`nserted; an absent side is empty."""

    kind: str
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class Counts:
    """Counts over some sentences; units are words or characters of the reference."""

    sentences: int = 0
    units: int = 0
    correct: int = 0
    substituted: int = 0
    deleted: int = 0
    inserted: int = 0
    wrong_sentences: int = 0

    @property
    def errors(self) -> int:
        """Substituted, deleted and inserted units."""
        return self.substituted + self.deleted + self.inserted

    @property
    def rate(self) -> float | None:
        """Errors in per cent of the reference's units; above 100 where much is inserted, None without a reference."""
        return 100 * self.errors / self.units if self.units else None

    def __add__(self, other: "Counts") -> "Counts":
        """Counts over both.

        >>> (Counts(units=4, deleted=1) + Counts(units=6)).rate
        10.0
        """
        return Counts(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def align(references: Sequence[str], hypotheses: Sequence[str], unit: Unit) -> list[list[Pair]]:
    """Alignments with the fewest errors, one a sentence; a space counts as a character.

    Every error costs 1, as in jiwer; sclite's costs (4 for a substitution, 3 else) can share the same errors out
    otherwise among the kinds.

    >>> [pair.kind for pair in align(["a b c"], ["a x c d"], "words")[0]]
    ['C', 'S', 'C', 'I']
    >>> align(["", "a"], ["b", ""], "words")
    [[Pair(kind='I', reference='', hypothesis='b')], [Pair(kind='D', reference='a', hypothesis='')]]
    """
    if not references:
        return []
    process = jiwer.process_words if unit == "words" else jiwer.process_characters
    output = process(list(references), list(hypotheses))
    return [
        [pair for chunk in chunks for pair in _pairs(chunk, reference, hypothesis)]
        for reference, hypothesis, chunks in zip(output.references, output.hypotheses, output.alignments, strict=True)
    ]


def _pairs(chunk: jiwer.AlignmentChunk, reference: list[str], hypothesis: list[str]) -> list[Pair]:
    left = reference[chunk.ref_start_idx : chunk.ref_end_idx]
    right = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
    absent = [""] * max(len(left), len(right))
    return [Pair(_KINDS[chunk.type], a, b) for a, b in zip(left or absent, right or absent, strict=True)]


def count(alignment: Iterable[Pair]) -> Counts:
    """Counts of one sentence."""
    kinds = [pair.kind for pair in alignment]
    return Counts(
        sentences=1,
        units=len(kinds) - kinds.count("I"),
        correct=kinds.count("C"),
        substituted=kinds.count("S"),
        deleted=kinds.count("D"),
        inserted=kinds.count("I"),
        wrong_sentences=int(kinds.count("C") < len(kinds)),
    )


def count_errors(references: Sequence[str], hypotheses: Sequence[str], unit: Unit) -> Counts:
    """Counts over a corpus: errors are summed before they are divided.

    >>> count_errors(["one two", "three"], ["one", "three"], "words").errors
    1
    """
    return sum(map(count, align(references, hypotheses, unit)), Counts())
