#!/usr/bin/env python3
"""LRS3 to data directories: long recordings cut between words, a development set of speakers that nothing else has.

Source of the corpus: T. Afouras, J. S. Chung, A. Zisserman, LRS3-TED, arXiv 1809.00496.
"""

import argparse
import dataclasses
import functools
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from msrs.command import CommandParser, run_command
from msrs.data.datadir import DataDir, Segment, write_datadir
from msrs.data.kaldi_table import has_control, id_fault
from msrs.data.media import media_seconds
from msrs.data.parallel import ordered_map
from msrs.errors import DataError, MediaError
from msrs.files import read_lines, write_text
from msrs.log import LOGGER, progress
from msrs.seeding import keyed_seed

PARTS = ("pretrain", "trainval", "test")
MARGIN_SECONDS = 0.5  # of the silence around words that goes with them; the rest of a long pause is left out
FRAME_SECONDS = 0.04  # times within a frame are the same: two words may overlap by so much
END_TOLERANCE_SECONDS = 0.1
LEAST_MAX_SECONDS = 2.0
MAX_DEV_SHARE = 0.1  # of trainval, where there is so little of it that --num-dev would take most
LAYOUT = """LRS3 can no longer be downloaded from its home, so this recipe is for those who have it. The folder looks like this:
    <lrs3-dir>/pretrain/<video id>/00001.mp4 and 00001.txt
    <lrs3-dir>/trainval/<video id>/50001.mp4 and 50001.txt
    <lrs3-dir>/test/<video id>/00001.mp4 and 00001.txt"""


class Word(NamedTuple):
    """A spoken word and its time in the recording."""

    text: str
    start_seconds: float
    end_seconds: float


@dataclasses.dataclass(frozen=True)
class Clip:
    """A recording of the tree with its text file; `speaker` is the video's id, the nearest to a speaker that there is."""

    part: str
    speaker: str
    name: str
    video: str
    text: str

    @property
    def recording(self) -> str:
        """The recording's id, speaker first."""
        return f"{self.speaker}-{self.part}-{self.name}"


@dataclasses.dataclass(frozen=True)
class Stretch:
    """An utterance in its recording. `words` is empty where the corpus gives no times."""

    start_seconds: float
    end_seconds: float
    text: str
    words: tuple[Word, ...] = ()


@dataclasses.dataclass(frozen=True)
class Reading:
    """A clip's utterances, or the reason why there are none; `remark` is about a clip that is used all the same."""

    clip: Clip
    stretches: tuple[Stretch, ...] = ()
    reason: str = ""
    remark: str = ""


def read_transcript(path: str | Path) -> tuple[list[str], list[Word]]:
    """The words of `Text:` and the rows of the WORD block; either is empty where the file does not have it.

    Sections are known by their headings and may be missing or in any order. A heading is told by the whole line, for
    people say "word" and "frame" too. Braces are removed. Raises: DataError with file and line.
    """
    text: list[str] = []
    words: list[Word] = []
    section = ""
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.replace("{", "").replace("}", "").upper().split()
        if not fields:
            continue
        if fields[:3] == ["WORD", "START", "END"]:
            section = "words"
        elif fields[:2] == ["FRAME", "X"]:
            section = "frames"
        elif fields[0].startswith(("TEXT:", "CONF:", "REF:")):
            section = ""
            if fields[0].startswith("TEXT:"):
                text = " ".join(fields).removeprefix("TEXT:").split()
        elif section == "words" and line.split()[0].strip("{}"):
            words.append(_read_word(f"{path}:{number}", line, fields, words))
    return text, words


def _read_word(where: str, line: str, fields: list[str], before: list[Word]) -> Word:
    try:
        word = Word(fields[0], float(fields[1]), float(fields[2]))
    except (IndexError, ValueError):
        raise DataError(f"{where}: expected `WORD START END`, found {line!r}") from None
    if not (math.isfinite(word.end_seconds) and 0 <= word.start_seconds <= word.end_seconds):
        raise DataError(f"{where}: {fields[0]} begins at {fields[1]} and ends at {fields[2]} s")
    if before and word.start_seconds < before[-1].end_seconds - FRAME_SECONDS:
        raise DataError(f"{where}: {fields[0]} begins before {before[-1].text} has ended")
    return word


def cut_at_words(words: Sequence[Word], recording_seconds: float, max_seconds: float) -> list[Stretch]:
    """Cut a recording between words into stretches of at most `max_seconds`, few of them and preferably at long pauses.

    A stretch takes up to half a second of silence along on either side, and never more than half of a pause, so that
    no two overlap. Every word is in exactly one. Raises: DataError where a word alone is too long, or ends after the
    recording.
    """
    begins, ends = _edges(words, recording_seconds)
    # costs[j]: least cost of the cuts among the first j words; came_from[j]: where the last of their stretches begins.
    costs, came_from = [0.0], [0]
    for j in range(1, len(words) + 1):
        best, first = math.inf, 0
        for i in range(j - 1, -1, -1):
            seconds = ends[j - 1] - begins[i]
            if seconds > max_seconds:
                break
            cost = costs[i] + (_cut_cost(words[i].start_seconds - words[i - 1].end_seconds) if i else 0.0)
            if cost < best and seconds >= FRAME_SECONDS:
                best, first = cost, i
        costs.append(best)
        came_from.append(first)
    if math.isinf(costs[-1]):
        longest = max(words, key=lambda word: word.end_seconds - word.start_seconds)
        lasts = f"{longest.text} lasts {longest.end_seconds - longest.start_seconds:.1f} s"
        raise DataError(f"cannot be cut into pieces of at most --max-seconds {max_seconds:g}: {lasts}")
    stretches = []
    j = len(words)
    while j:
        i = came_from[j]
        text = " ".join(word.text for word in words[i:j])
        stretches.append(Stretch(begins[i], ends[j - 1], text, tuple(words[i:j])))
        j = i
    return stretches[::-1]


def _cut_cost(pause_seconds: float) -> float:
    """Five for a cut in running speech, three at a tenth of a second, two at 0.3, towards one where it is quiet."""
    return 1.0 + 4.0 / (1.0 + max(pause_seconds, 0.0) / 0.1)


def _edges(words: Sequence[Word], recording_seconds: float) -> tuple[list[float], list[float]]:
    """Where a stretch begins if it begins with word i, and where it ends if it ends with word i; whole milliseconds."""
    last = words[-1].end_seconds
    if last > recording_seconds + END_TOLERANCE_SECONDS:
        raise DataError(f"its words go on to {last:.2f} s, the recording ends at {recording_seconds:.2f} s")
    begins = [max(0.0, words[0].start_seconds - MARGIN_SECONDS)]
    ends = []
    for word, following in zip(words, words[1:], strict=False):
        middle = (word.end_seconds + following.start_seconds) / 2
        ends.append(min(middle, word.end_seconds + MARGIN_SECONDS))
        begins.append(max(middle, following.start_seconds - MARGIN_SECONDS))
    ends.append(max(last, min(recording_seconds, last + MARGIN_SECONDS)))
    return [round(time, 3) for time in begins], [round(time, 3) for time in ends]


def read_clip(clip: Clip, max_seconds: float) -> Reading:
    """A clip's text and the length in its header, and what utterances they make; nothing is decoded."""
    try:
        text, words = read_transcript(clip.text)
        if not text and not words:
            return Reading(clip, reason=f"{clip.text}: no words in it")
        if has_control(" ".join([*text, *(word.text for word in words)])):
            return Reading(clip, reason=f"{clip.text}: a control character in its words")
        seconds = media_seconds(clip.video)
        if not seconds:
            return Reading(clip, reason=f"{clip.video}: its header gives no length")
        if clip.part == "pretrain" and words:
            other = text and text != [word.text for word in words]
            remark = f"{clip.text}: the WORD block, which counts, says other words than Text:" if other else ""
            return Reading(clip, tuple(cut_at_words(words, seconds, max_seconds)), remark=remark)
        if clip.part == "pretrain" and seconds > max_seconds:
            return Reading(clip, reason=f"no word times to cut it by, and its {seconds:.1f} s are over --max-seconds")
        text = text or [word.text for word in words]
        timed = tuple(words) if text == [word.text for word in words] else ()
        return Reading(clip, (Stretch(0.0, round(seconds, 3), " ".join(text), timed),))
    except (DataError, MediaError) as error:
        return Reading(clip, reason=str(error))


def read_clips(clips: Sequence[Clip], max_seconds: float) -> list[Reading]:
    """A process's share of the work: the clips of one folder."""
    return [read_clip(clip, max_seconds) for clip in clips]


def find_clips(lrs3_dir: Path, parts: Iterable[str]) -> tuple[list[Clip], list[Reading]]:
    """All clips of the parts by looking at the folders once, and those that lack a file or have an unusable name."""
    clips, odd = [], []
    for part in parts:
        before = len(clips)
        for folder in _entries(lrs3_dir / part, is_folder=True):
            files: dict[str, dict[str, str]] = {}
            for file in _entries(folder, is_folder=False):
                stem, suffix = os.path.splitext(os.path.basename(file))
                if suffix.lower() in (".mp4", ".txt") and not stem.startswith("."):
                    files.setdefault(stem, {})[suffix.lower()] = file
            for stem, pair in sorted(files.items()):
                clip = Clip(part, os.path.basename(folder), stem, pair.get(".mp4", ""), pair.get(".txt", ""))
                fault = id_fault(clip.recording) or (len(clip.recording.split()) > 1 and "white space in its name")
                if fault or len(pair) < 2:
                    lacking = "mp4" if not clip.video else "txt"
                    odd.append(Reading(clip, reason=fault or f"there is no {stem}.{lacking} beside it"))
                else:
                    clips.append(clip)
        if len(clips) == before:
            raise DataError(f"{lrs3_dir / part}: no clip <video id>/<clip>.mp4 with its .txt in it.\n{LAYOUT}")
    return clips, odd


def _entries(folder: str | Path, is_folder: bool) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            found = [entry.path for entry in entries if entry.is_dir() == is_folder]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}).") from None
    return sorted(found)


def choose_dev_speakers(clips: Iterable[Clip], num_dev: int) -> set[str]:
    """Speakers of trainval, until they have `num_dev` utterances or a tenth of it; drawn by their ids alone.

    Raises: DataError where trainval has one speaker, who is needed for training.
    """
    counts: dict[str, int] = {}
    for clip in clips:
        if clip.part == "trainval":
            counts[clip.speaker] = counts.get(clip.speaker, 0) + 1
    if len(counts) < 2:
        raise DataError(f"trainval has one speaker ({', '.join(counts)}); two are needed, to hold one out for dev.")
    wanted = min(num_dev, max(1, int(MAX_DEV_SHARE * sum(counts.values()))))
    order = sorted(counts, key=lambda speaker: keyed_seed("lrs3", "dev", speaker))
    chosen: set[str] = set()
    for speaker in order[:-1]:
        if sum(counts[one] for one in chosen) >= wanted:
            break
        chosen.add(speaker)
    return chosen


def check_speakers(clips: Iterable[Clip]) -> None:
    """Raises: DataError where the test set has a speaker of the training material; LRS3's own has none."""
    speakers: dict[str, set[str]] = {part: set() for part in PARTS}
    for clip in clips:
        speakers[clip.part].add(clip.speaker)
    if shared := sorted(speakers["test"] & (speakers["pretrain"] | speakers["trainval"])):
        raise DataError(
            f"test shares {len(shared)} video ids with pretrain or trainval, for example {shared[0]}. In LRS3 as it was "
            f"published it shares none: part of a folder must have been copied to the wrong place. Put it back first."
        )


def write_set(name: str, readings: Sequence[Reading], out: Path, max_missing: float) -> None:
    """A data directory, and beside it `words.ctm` (times in the utterance), `skipped.tsv` and `remarks.tsv`.

    Raises: DataError where a larger share than `max_missing` was put aside, or nothing is left.
    """
    data = DataDir(out / name, {}, {})
    good = sorted((one for one in readings if not one.reason), key=lambda one: one.clip.recording)
    needs_segments = any(one.clip.part == "pretrain" for one in good)
    times, seconds = {}, 0.0
    for reading in good:
        clip = reading.clip
        data.video[clip.recording] = data.audio[clip.recording] = clip.video
        for number, stretch in enumerate(reading.stretches):
            utt_id = f"{clip.recording}-{number:03d}" if clip.part == "pretrain" else clip.recording
            data.text[utt_id], data.utt2spk[utt_id] = stretch.text, clip.speaker
            if needs_segments:
                data.segments[utt_id] = Segment(clip.recording, stretch.start_seconds, stretch.end_seconds)
            times[utt_id] = list(_ctm_lines(utt_id, stretch))
            seconds += stretch.end_seconds - stretch.start_seconds
    skipped = [(one.clip.recording, one.reason) for one in readings if one.reason]
    remarks = [(one.clip.recording, one.remark) for one in good if one.remark]
    _write_rows(data.path / "skipped.tsv", ("id", "reason"), skipped)
    _write_rows(data.path / "remarks.tsv", ("id", "remark"), remarks)
    LOGGER.info(
        "%s: %d utterances (%.2f h) from %d recordings of %d speakers, %d recordings left out, %d with a remark",
        *(name, len(data.text), seconds / 3600, len(good), len(set(data.utt2spk.values())), len(skipped), len(remarks)),
    )
    if not good or len(skipped) > max_missing * len(readings):
        where = data.path / "skipped.tsv"
        raise DataError(
            f"{name}: {len(skipped)} of {len(readings)} recordings cannot be used, --max-missing is {max_missing:g}; "
            f"{where} says why."
        )
    write_datadir(data)
    write_text(data.path / "words.ctm", "".join(line for utt_id in sorted(times) for line in times[utt_id]))


def _ctm_lines(utt_id: str, stretch: Stretch) -> Iterator[str]:
    for word in stretch.words:
        start = max(0.0, word.start_seconds - stretch.start_seconds)
        yield f"{utt_id} 1 {start:.3f} {word.end_seconds - word.start_seconds:.3f} {word.text}\n"


def _write_rows(path: Path, header: tuple[str, str], rows: list[tuple[str, str]]) -> None:
    write_text(path, "".join(f"{name}\t{' '.join(value.split())}\n" for name, value in [header, *sorted(rows)]))


def find_root(options: argparse.Namespace) -> Path:
    """The corpus's folder, with all parts that are asked for. Raises: DataError where it is not there."""
    if not options.lrs3_dir:
        raise DataError(f"where is LRS3? Give --lrs3-dir FOLDER, or set LRS3_DIR.\n{LAYOUT}")
    root = Path(options.lrs3_dir).resolve()
    if not root.is_dir():
        raise DataError(f"{root}: no such folder.\n{LAYOUT}")
    missing = [part for part in wanted_parts(options) if not (root / part).is_dir()]
    if missing:
        there = [part for part in PARTS if (root / part).is_dir()]
        inner = [path for path in sorted(root.iterdir()) if (path / "test").is_dir() or (path / "trainval").is_dir()]
        hint = f" Did you mean {inner[0]}?" if inner and not there else ""
        if missing == ["pretrain"]:
            hint = " For a model of trainval alone (30 hours): --train-parts trainval."
        has = f"has {' and '.join(there)}, but" if there else "has"
        raise DataError(f"{root} {has} no folder {' and no '.join(missing)}.{hint}\n{LAYOUT}")
    return root


def wanted_parts(options: argparse.Namespace) -> list[str]:
    """The parts that have to be there: dev comes out of trainval, whatever is trained on."""
    return [part for part in PARTS if part != "pretrain" or options.train_parts != "trainval"]


def work(options: argparse.Namespace) -> None:
    """Find the clips, choose dev's speakers, read what is needed, write the sets. Raises: DataError."""
    root = find_root(options)
    clips, odd = find_clips(root, wanted_parts(options))
    counts = [f"{sum(clip.part == part for clip in clips):,} in {part}" for part in wanted_parts(options)]
    LOGGER.info("%s: clips: %s", root, ", ".join(counts))
    check_speakers(clips)
    dev_speakers = choose_dev_speakers(clips, options.num_dev)

    def set_of(clip: Clip) -> str:
        if clip.part == "test":
            return "test"
        if clip.speaker in dev_speakers:
            return "dev" if clip.part == "trainval" else ""
        return "train" if options.train_parts in ("all", clip.part) else ""

    dropped = sum(clip.part == "pretrain" and clip.speaker in dev_speakers for clip in clips)
    LOGGER.info("%d speakers are held out for dev, so train lacks their %d pretrain clips", len(dev_speakers), dropped)
    folders: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        if set_of(clip):
            folders.setdefault((clip.part, clip.speaker), []).append(clip)
    read = functools.partial(read_clips, max_seconds=options.max_seconds)
    jobs = list(folders.values())
    results = progress(ordered_map(read, jobs, options.nj), len(jobs), "read folders")
    readings = [reading for folder in results for reading in folder] + odd
    for name in ("train", "dev", "test"):
        own = [reading for reading in readings if set_of(reading.clip) == name]
        write_set(name, own, Path(options.out), options.max_missing)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    parser = CommandParser("local/data.py", "LRS3 to data directories (stage 0).")
    parser.add_argument(
        "--lrs3-dir",
        default=os.environ.get("LRS3_DIR"),
        help="folder of pretrain/, trainval/, test/; left out: $LRS3_DIR",
    )
    parser.add_argument("--out", default="data", help="where the sets are written")
    parts = ("all", "trainval", "pretrain")
    parser.add_argument("--train-parts", choices=parts, default="all", help="what train is made of; trainval: 30 hours")
    parser.add_argument("--max-seconds", type=_seconds, default=16.0, help="longest piece of a pretrain recording")
    parser.add_argument("--num-dev", type=_count, default=1200, help="utterances of dev, a tenth of trainval at most")
    parser.add_argument("--max-missing", type=float, default=0.05, help="share of a set that may be unusable")
    parser.add_argument("--nj", type=_count, default=1, help="processes")
    return run_command(parser, work, argv)


def _seconds(word: str) -> float:
    if not LEAST_MAX_SECONDS <= float(word) < math.inf:
        raise argparse.ArgumentTypeError(f"{word} is less than {LEAST_MAX_SECONDS:g} seconds")
    return float(word)


def _count(word: str) -> int:
    if int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word} is not a positive number")
    return int(word)


if __name__ == "__main__":
    sys.exit(main())
