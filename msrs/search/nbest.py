"""Decoded utterances on disk: a line each as soon as they are known, sorted lists once all are."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from msrs.files import append_text, write_text
from msrs.search.hypothesis import Hypothesis
from msrs.text.transcripts import write_transcripts

TEXT, NBEST, PARTIAL = "text", "nbest.jsonl", "nbest.partial.jsonl"


@dataclass(frozen=True)
class Candidate:
    """One line of an n-best list: the text and the hypothesis behind it."""

    text: str
    score: float
    scores: dict[str, float]
    tokens: tuple[int, ...]

    @classmethod
    def of(cls, hypothesis: Hypothesis, text: str) -> "Candidate":
        """The hypothesis with its text; scores rounded to a millionth of a nat."""
        scores = {name: round(score, 6) for name, score in hypothesis.scores.items()}
        return cls(text, round(hypothesis.score, 6), scores, hypothesis.tokens)


@dataclass(frozen=True)
class Decoded:
    """An utterance and its candidates, the best first."""

    utt_id: str
    num_frames: int
    nbest: tuple[Candidate, ...]

    def to_line(self) -> str:
        """One line of nbest.jsonl."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "Decoded":
        """Raises: ValueError, KeyError or TypeError where the line is not whole."""
        values = json.loads(line)
        nbest = tuple(Candidate(**one | {"tokens": tuple(one["tokens"])}) for one in values["nbest"])
        return cls(values["utt_id"], values["num_frames"], nbest)


def read_partial(folder: Path, digest: str) -> tuple[dict[str, Decoded], bool]:
    """What an interrupted run has left. Args: digest of how it is decoded now, the file's first line.

    Returns: utterances by id, without a line that was cut off; whether a file of another digest was found (it gives
    none).
    """
    path = folder / PARTIAL
    # A kill or a full disk may cut a line off within a character.
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else [""]
    if lines == [""]:
        return {}, False
    if lines[0] != json.dumps({"digest": digest}):
        return {}, True
    known = {}
    for line in lines[1:]:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            decoded = Decoded.from_line(line)
            known[decoded.utt_id] = decoded
    return known, False


def begin_partial(folder: Path, digest: str, known: dict[str, Decoded]) -> Callable[[Decoded], None]:
    """Begin the partial list anew with what is known. Returns: the function that adds an utterance."""
    path = folder / PARTIAL
    write_text(path, json.dumps({"digest": digest}) + "\n" + "".join(one.to_line() for one in known.values()))
    return lambda decoded: append_text(path, decoded.to_line())


def write_decoded(folder: Path, decoded: dict[str, Decoded]) -> None:
    """Write `text` and `nbest.jsonl`, sorted by id; the partial list goes."""
    write_text(folder / NBEST, "".join(decoded[utt_id].to_line() for utt_id in sorted(decoded)))
    write_transcripts(folder / TEXT, {utt_id: one.nbest[0].text for utt_id, one in decoded.items()})
    (folder / PARTIAL).unlink(missing_ok=True)
