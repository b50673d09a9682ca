"""Kaldi data directories: who says what in which stretch of which recording.

`text`, `utt2spk` and at least one of `video.scp`, `wav.scp`; `segments` where recordings are longer than utterances,
else an utterance is named as its recording. Lines are `key value`, sorted by code point. Relative paths count from the
current folder.
"""

import dataclasses
import functools
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msrs.data.kaldi_table import Fault, Row, has_control, id_fault, is_pipe, read_table, values_of, write_table
from msrs.data.leaks import shared_media
from msrs.data.media import media_seconds
from msrs.data.parallel import ordered_map
from msrs.errors import DataError, MediaError
from msrs.files import read_lines, remove_half_written, write_text
from msrs.log import counted, progress
from msrs.seeding import keyed_rng

SHOWN_FAULTS = 20
END_TOLERANCE_SECONDS = 0.1  # headers of MPEG streams are late by a few pictures


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of a recording, counted from its first picture; `end_seconds` None is the end of the recording."""

    recording: str
    start_seconds: float = 0.0
    end_seconds: float | None = None


@dataclasses.dataclass
class DataDir:
    """A set of utterances: transcripts, speakers, media. `segments` is empty where utterance = recording."""

    path: Path
    text: dict[str, str]
    utt2spk: dict[str, str]
    video: dict[str, str] = dataclasses.field(default_factory=dict)
    audio: dict[str, str] = dataclasses.field(default_factory=dict)
    segments: dict[str, Segment] = dataclasses.field(default_factory=dict)

    @property
    def recordings(self) -> dict[str, list[str]]:
        """Recording -> its utterances, both sorted."""
        found: dict[str, list[str]] = {}
        for utt in sorted(self.text):
            found.setdefault(self.segment(utt).recording, []).append(utt)
        return dict(sorted(found.items()))

    def segment(self, utt: str) -> Segment:
        """Where an utterance lies; the whole of its recording where there is no `segments` file."""
        return self.segments[utt] if self.segments else Segment(utt)

    def media(self) -> dict[str, list[str]]:
        """Recording -> its files, pictures first; one file where both lists name the same."""
        lists = (self.video, self.audio)
        return {rec: list(dict.fromkeys(scp[rec] for scp in lists if rec in scp)) for rec in self.recordings}


def read_datadir(path: str | Path) -> DataDir:
    """Read a data directory; whether the media exist is `validate_datadir`'s business.

    Raises: DataError that lists the first 20 faults as `file:line: fault` and says how many there are.
    """
    data, faults = parse_datadir(path)
    raise_faults(path, faults)
    return data


def validate_datadir(path: str | Path, with_media: bool = True, num_jobs: int = 1) -> list[Fault]:
    """All faults of a data directory, those of `read_datadir` and more, none where it is sound.

    Args: with_media, look for the media files too, and open those that `segments` cuts to see where they end; num_jobs,
    processes that open them.
    """
    data, faults = parse_datadir(path)
    path = Path(path)
    if not (path / "spk2utt").exists():
        faults.append(Fault(f"{path / 'spk2utt'}", "missing; expected the inverse of utt2spk (--fix writes it)"))
    elif not faults and read_lines(path / "spk2utt") != list(_spk2utt(data)):
        faults.append(Fault(f"{path / 'spk2utt'}", "is not the inverse of utt2spk (--fix writes it anew)"))
    return faults + (_media_faults(path, data, num_jobs) if with_media else [])


def raise_faults(path: str | Path, faults: list[Fault]) -> None:
    """Do nothing for an empty list. Raises: DataError with the first 20, their number and the remedy."""
    if faults:
        more = [f"... and {len(faults) - SHOWN_FAULTS} more"] if len(faults) > SHOWN_FAULTS else []
        head = f"{path}: {counted(len(faults), 'fault')}"
        hint = f"Mend the file(s), or let `msrs-validate --fix {path}` sort them and drop what cannot be used."
        raise DataError("\n  ".join([head, *map(str, faults[:SHOWN_FAULTS]), *more, hint]))


def parse_datadir(path: str | Path) -> tuple[DataDir, list[Fault]]:
    """As much of a directory as can be read, and its faults. Raises: DataError if it is missing or not UTF-8."""
    path = Path(path)
    if not path.is_dir():
        raise DataError(f"{path}: no such data directory; stage 0 makes it.")
    faults: list[Fault] = []
    text = read_table(path / "text", faults, "transcript")
    utt2spk = read_table(path / "utt2spk", faults, "speaker")
    scps = {}
    for name in ("video.scp", "wav.scp"):
        scps[name] = read_table(path / name, faults, "path") if (path / name).exists() else {}
    if not any((path / name).exists() for name in scps):
        faults.append(Fault(str(path), "has neither video.scp nor wav.scp; expected at least one"))
    segments = read_table(path / "segments", faults, "recording") if (path / "segments").exists() else {}
    _check_values(path, faults, text, utt2spk, scps)
    data = DataDir(
        path,
        values_of(text),
        values_of(utt2spk),
        values_of(scps["video.scp"]),
        values_of(scps["wav.scp"]),
        {utt: s for utt, row in segments.items() if (s := _parse_segment(row, faults))},
    )
    _check_agreement(path, faults, data, {"text": text, "utt2spk": utt2spk, "segments": segments, **scps})
    return data, faults


def _check_values(path: Path, faults: list[Fault], text, utt2spk, scps) -> None:
    for utt, row in text.items():
        if has_control(row.value):
            faults.append(Fault(row.where, f"the transcript of {utt} contains a control character: {row.value!r}"))
    for utt, row in utt2spk.items():
        if row.value and (fault := id_fault(row.value)):
            faults.append(Fault(row.where, fault))
        if row.value and not utt.startswith(f"{row.value}-"):
            faults.append(Fault(row.where, f"{utt} does not begin with its speaker; expected {row.value}-..."))
    for table in scps.values():
        for rec, row in table.items():
            if is_pipe(row.value):
                faults.append(Fault(row.where, f"{rec} is a shell command, refused; write its output to a file first"))


def _parse_segment(row: Row, faults: list[Fault]) -> Segment | None:
    fields = row.value.split()
    try:
        recording, start, end = fields[0], float(fields[1]), float(fields[2])
        if len(fields) != 3 or not math.isfinite(start) or not math.isfinite(end):
            raise ValueError
    except (ValueError, IndexError):
        faults.append(Fault(row.where, "expected `utterance recording start_seconds end_seconds`"))
        return None
    if start < 0:
        faults.append(Fault(row.where, f"starts at {start} s, before its recording; expected 0 or later"))
    if end <= start:
        faults.append(Fault(row.where, f"ends at {end} s, not after its start at {start} s"))
    return Segment(recording, start, end)


def _check_agreement(path: Path, faults: list[Fault], data: DataDir, tables: Mapping[str, Mapping[str, Row]]) -> None:
    """Each utterance is in `text`, `utt2spk` and `segments`; its recording is in each scp; nothing else is there."""
    names = ["text", "utt2spk"] + (["segments"] if tables["segments"] else [])
    for name in names:
        for other in names:
            if other != name and (path / other).exists():
                missing = [key for key in tables[name] if key not in tables[other]]
                faults.extend(Fault(tables[name][key].where, f"{key} is not in {path / other}") for key in missing)
    used: dict[str, Row] = {}
    for utt, row in (tables["segments"] or tables["text"]).items():
        if utt in data.segments or not tables["segments"]:
            used.setdefault(data.segment(utt).recording, row)
    for name in ("video.scp", "wav.scp"):
        if not (path / name).exists():
            continue
        missing = [rec for rec in used if rec not in tables[name]]
        faults.extend(Fault(used[rec].where, f"recording {rec} is not in {path / name}") for rec in missing)
        unused = [rec for rec in tables[name] if rec not in used]
        faults.extend(Fault(tables[name][rec].where, f"no utterance uses recording {rec}") for rec in unused)


def _media_faults(path: Path, data: DataDir, num_jobs: int) -> list[Fault]:
    faults = []
    exists = functools.cache(os.path.isfile)  # both lists often name the same file
    for name, table in (("video.scp", data.video), ("wav.scp", data.audio)):
        for rec, file in table.items():
            if file and not is_pipe(file) and not exists(file):
                faults.append(Fault(f"{path / name}", f"{rec}: no such file {file} (relative paths count from here)"))
    ends = _ends(data, num_jobs) if data.segments else {}
    for utt, segment in data.segments.items():
        end = ends.get(segment.recording)
        if end is not None and segment.end_seconds > end + END_TOLERANCE_SECONDS:
            message = f"{utt} ends at {segment.end_seconds} s, {segment.recording} already at {end:.2f} s"
            faults.append(Fault(f"{path / 'segments'}", message))
    return faults


def _ends(data: DataDir, num_jobs: int) -> dict[str, float | None]:
    """Where recordings end by their headers."""
    recordings = sorted({segment.recording for segment in data.segments.values()})
    files = {rec: data.video.get(rec) or data.audio.get(rec) for rec in recordings}
    files = {rec: file for rec, file in files.items() if file and not is_pipe(file)}
    found = progress(ordered_map(_end, list(files.values()), num_jobs), len(files), f"open media of {data.path.name}")
    return dict(zip(files, found, strict=True))


def _end(file: str) -> float | None:
    """None where it cannot be told: a damaged file is stage 1's to report."""
    try:
        return media_seconds(file)
    except MediaError:
        return None


def _spk2utt(data: DataDir) -> Iterator[str]:
    speakers: dict[str, list[str]] = {}
    for utt, speaker in sorted(data.utt2spk.items()):
        speakers.setdefault(speaker, []).append(utt)
    return (f"{speaker} {' '.join(utts)}" for speaker, utts in sorted(speakers.items()))


def write_datadir(data: DataDir) -> None:
    """Write all files sorted, each whole or not at all; optional ones that do not apply are removed.

    Times are rounded to the millisecond. Raises: DataError where the disk is full.
    """
    data.path.mkdir(parents=True, exist_ok=True)
    remove_half_written(data.path)
    tables = {"text": data.text, "utt2spk": data.utt2spk, "video.scp": data.video, "wav.scp": data.audio}
    tables["segments"] = {
        utt: f"{s.recording} {s.start_seconds:.3f} {s.end_seconds:.3f}" for utt, s in data.segments.items()
    }
    for name, table in tables.items():
        if table or name in ("text", "utt2spk"):
            write_table(data.path / name, table)
        else:
            (data.path / name).unlink(missing_ok=True)
    write_text(data.path / "spk2utt", "".join(f"{line}\n" for line in _spk2utt(data)))


def subset(data: DataDir, path: str | Path, utt_ids: Iterable[str]) -> DataDir:
    """The same set with the named utterances alone, at another path; not yet written.

    Raises: DataError naming an utterance that the set does not have.
    """
    kept = set(utt_ids)
    if unknown := sorted(kept - data.text.keys()):
        raise DataError(f"{data.path}: no utterance {unknown[0]}; {len(unknown)} of {len(kept)} asked for are unknown.")
    recordings = {data.segment(utt).recording for utt in kept}
    return DataDir(
        Path(path),
        {utt: data.text[utt] for utt in sorted(kept)},
        {utt: data.utt2spk[utt] for utt in sorted(kept)},
        {rec: file for rec, file in data.video.items() if rec in recordings},
        {rec: file for rec, file in data.audio.items() if rec in recordings},
        {utt: segment for utt, segment in data.segments.items() if utt in kept},
    )


def split(
    data: DataDir, rest: str | Path, held_out: str | Path, share: float, seed: int = 1
) -> tuple[DataDir, DataDir]:
    """Hold whole speakers out until `share` of the utterances is reached; not yet written.

    Returns: the set at `rest` and the set at `held_out`; no speaker and no recording is in both.
    Raises: DataError where fewer than two groups of speakers can be told apart.
    """
    groups = _linked_speakers(data)
    if len(groups) < 2:
        raise DataError(f"{data.path}: no speaker can be held out, all utterances belong together.")
    order = keyed_rng(seed, "split", len(groups)).permutation(len(groups))
    taken: list[str] = []
    for index in order[:-1]:
        if len(taken) >= share * len(data.text):
            break
        taken += groups[index]
    return subset(data, rest, data.text.keys() - set(taken)), subset(data, held_out, taken)


def _linked_speakers(data: DataDir) -> list[list[str]]:
    """Utterances in groups that share no speaker and no recording."""
    group_of: dict[tuple[str, str], int] = {}
    groups: dict[int, list[str]] = {}
    for number, utt in enumerate(sorted(data.text)):
        links = [("speaker", data.utt2spk[utt]), ("recording", data.segment(utt).recording)]
        joined = sorted({group_of[link] for link in links if link in group_of}) or [number]
        for other in joined[1:]:
            groups[joined[0]] += groups.pop(other)
            group_of = {link: joined[0] if group == other else group for link, group in group_of.items()}
        groups.setdefault(joined[0], []).append(utt)
        group_of |= dict.fromkeys(links, joined[0])
    return list(groups.values())


def check_leaks(paths: Iterable[str | Path]) -> list[Fault]:
    """What sets have in common that they must not: the folder itself, utterances, recordings (by path and by content).

    Files that do not exist are compared by path alone. Raises: DataError where a set cannot be read.
    """
    sets = [read_datadir(path) for path in paths]
    faults = []
    for i, second in enumerate(sets):
        for first in sets[:i]:
            if first.path.resolve() == second.path.resolve():
                faults.append(Fault(str(second.path), f"is the same set as {first.path}"))
            elif common := sorted(first.text.keys() & second.text.keys()):
                message = f"has {len(common)} utterances in common with {first.path}, for example {common[0]}"
                faults.append(Fault(str(second.path), message))
    media = {str(data.path): [f for files in data.media().values() for f in files] for data in sets}
    return faults + [Fault(*pair) for pair in shared_media(media)]
