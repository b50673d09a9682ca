"""Lists of transcripts on disk: one line an utterance, `utt_id words`."""

from collections.abc import Mapping
from pathlib import Path

from msrs.errors import DataError
from msrs.files import read_lines, write_text

MAX_FAULTS = 20  # faults listed in one message


def read_transcripts(path: str | Path) -> dict[str, str]:
    """Utterance id -> text, in the file's order; an id alone is an utterance without words.

    Raises: DataError listing `file:line: fault` for empty lines, lines without an id and ids given twice.
    """
    texts: dict[str, str] = {}
    first: dict[str, int] = {}
    faults = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            faults.append(f"{path}:{number}: an empty line; expected `utt_id words`.")
        elif line[0].isspace():
            faults.append(f"{path}:{number}: starts with white space; expected `utt_id words`.")
        else:
            utt_id, _, text = line.replace("\t", " ").partition(" ")
            if utt_id in texts:
                faults.append(f"{path}:{number}: {utt_id} is given twice, first in line {first[utt_id]}.")
            texts[utt_id] = text.strip()
            first.setdefault(utt_id, number)
    if faults:
        more = f"\n... and {len(faults) - MAX_FAULTS} more faults." if len(faults) > MAX_FAULTS else ""
        raise DataError("\n".join(faults[:MAX_FAULTS]) + more)
    return texts


def write_transcripts(path: str | Path, texts: Mapping[str, str]) -> None:
    """Write `utt_id words` lines sorted by id."""
    write_text(path, "".join(f"{utt_id} {texts[utt_id]}".rstrip() + "\n" for utt_id in sorted(texts)))
