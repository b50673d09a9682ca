"""Mends a data directory: sorts it, drops what cannot be used, and says what and why."""

import collections
import shutil
from pathlib import Path

from msrs.data.datadir import DataDir, parse_datadir, subset, write_datadir
from msrs.data.kaldi_table import has_control, id_fault, is_pipe, write_reasons
from msrs.errors import DataError
from msrs.files import read_lines
from msrs.log import LOGGER, counted

FILES = ("text", "utt2spk", "spk2utt", "video.scp", "wav.scp", "segments")


def fix_datadir(path: str | Path) -> dict[str, str]:
    """Sort all files, drop utterances that are not whole in all of them, write spk2utt.

    What was there is kept in `.backup/`, the dropped utterances in `dropped.tsv`. Names are never changed: a missing
    speaker prefix remains a fault. Returns: dropped utterance -> reason.
    Raises: DataError if the folder is missing or not UTF-8, or if nothing would remain.
    """
    path = Path(path)
    data, _ = parse_datadir(path)
    reasons = _reasons(path, data)
    kept = [utt for utt in data.text if utt not in reasons]
    if not kept:
        raise DataError(f"{path}: no utterance is whole in all files; nothing was changed. First: {_first(reasons)}.")
    mended = subset(data, path, kept)
    backup = path / ".backup"
    backup.mkdir(exist_ok=True)
    for name in FILES:
        if (path / name).exists():
            shutil.copy2(path / name, backup / name)
    write_datadir(mended)
    write_reasons(path / "dropped.tsv", reasons)
    LOGGER.info("%s: %s kept, %d dropped (dropped.tsv)", path, counted(len(kept), "utterance"), len(reasons))
    for reason, number in sorted(collections.Counter(reasons.values()).items()):
        LOGGER.info("%s: dropped %d: %s", path, number, reason)
    return reasons


def _first(reasons: dict[str, str]) -> str:
    return next((f"{utt}: {reason}" for utt, reason in sorted(reasons.items())), "the files are empty")


def _reasons(path: Path, data: DataDir) -> dict[str, str]:
    has_segments = (path / "segments").exists()
    twice = {name: _given_twice(path / name) for name in FILES if name != "spk2utt" and (path / name).exists()}
    names = set(data.text) | set(data.utt2spk) | set(data.segments) | (set() if has_segments else set(data.video))
    reasons = {}
    for utt in sorted(names):
        if reason := _reason(path, data, utt, has_segments, twice):
            reasons[utt] = reason
    return reasons


def _reason(path: Path, data: DataDir, utt: str, has_segments: bool, twice: dict[str, set[str]]) -> str | None:
    """Why an utterance cannot stay, or None."""
    tables = {"text": data.text, "utt2spk": data.utt2spk} | ({"segments": data.segments} if has_segments else {})
    for name, table in tables.items():
        if utt not in table:
            return f"not in {name}"
        if utt in twice[name]:
            return f"given twice in {name}, differently"
    if not data.text[utt]:
        return "empty transcript"
    if has_control(data.text[utt]):
        return "control character in the transcript"
    segment = data.segment(utt)
    if segment.end_seconds is not None and not 0 <= segment.start_seconds < segment.end_seconds:
        return "segment does not end after it starts, or starts before its recording"
    if any(id_fault(name) for name in (utt, segment.recording, data.utt2spk[utt])):
        return "an id that cannot name a file"
    for name, table in (("video.scp", data.video), ("wav.scp", data.audio)):
        if (path / name).exists() and (reason := _scp_reason(name, table, segment.recording, twice[name])):
            return reason
    return None


def _scp_reason(name: str, table: dict[str, str], recording: str, twice: set[str]) -> str | None:
    if recording not in table:
        return f"recording not in {name}"
    if recording in twice:
        return f"recording given twice in {name}, differently"
    if is_pipe(table[recording]):
        return f"shell command in {name}"
    if not Path(table[recording]).is_file():
        return f"missing file in {name}"
    return None


def _given_twice(path: Path) -> set[str]:
    """Keys with two different values: which is right cannot be told. A line repeated as it is does no harm."""
    values: dict[str, set[str]] = {}
    for line in read_lines(path):
        key, *value = line.split(None, 1)[:2] or [""]
        values.setdefault(key, set()).add(value[0].strip() if value else "")
    return {key for key, found in values.items() if len(found) > 1}
