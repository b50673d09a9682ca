#!/usr/bin/env python3
"""GRID to data directories: the file's name is the sentence, the alignments give times, the split lists give sets.

Source of the corpus: M. Cooke, J. Barker, S. Cunningham, X. Shao, JASA 120(5), 2006; DOI 10.5281/zenodo.3625687 (CC BY 4.0).
"""

import argparse
import dataclasses
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from msrs.command import CommandParser, run_command
from msrs.data.datadir import DataDir, write_datadir
from msrs.errors import DataError
from msrs.files import read_lines, write_text
from msrs.log import LOGGER
from msrs.seeding import keyed_seed

DIGITS = {
    "z": "zero",
    **dict(zip("123456789", ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], strict=True)),
}
GRAMMAR = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    DIGITS,
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
UNITS_PER_SECOND = 25_000  # of the .align files, which often are taken for milliseconds or frames
VIDEO_SUFFIXES = (".mpg", ".mp4")
SPEAKER = re.compile(r"s([1-9]|[12]\d|3[0-4])")
UNSEEN_TEST_SPEAKERS = ("s1", "s2", "s20", "s22")  # the split of LipNet and its successors
OVERLAPPED_TEST_CLIPS = 255  # of each speaker
DEV_CLIPS = 30  # of each training speaker, where the tree brings no lists of its own
HOW_TO_GET = """GRID is free (CC BY 4.0): fetch from https://zenodo.org/records/3625687 alignments.zip and s1.zip ... s34.zip,
or some of these (there is no video of s21), then type
    mkdir -p grid/video && unzip -d grid alignments.zip && for z in s*.zip; do unzip -d grid/video "$z"; done
    ./run.sh --grid-dir grid"""


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip of the tree: `name` is six letters that spell its sentence."""

    speaker: str
    name: str
    path: Path

    @property
    def utt_id(self) -> str:
        """The utterance id, speaker first."""
        return f"{self.speaker}-{self.name}"


def sentence(name: str) -> list[str] | None:
    """The six words that a clip's name spells; None for a name that is not of GRID.

    >>> sentence("bbaf2n")
    ['bin', 'blue', 'at', 'f', 'two', 'now']
    """
    name = name.lower()
    if len(name) != len(GRAMMAR) or any(letter not in words for letter, words in zip(name, GRAMMAR, strict=True)):
        return None
    return [words[letter] for letter, words in zip(name, GRAMMAR, strict=True)]


def find_clips(grid_dir: Path) -> dict[tuple[str, str], Clip]:
    """All clips by (speaker, name), in `video/<speaker>/`, `<speaker>/` or deeper; of an .mpg and an .mp4 the .mpg counts.

    The folders `__MACOSX` of Zenodo's archives hold shadows of the clips and are passed over.
    """
    clips: dict[tuple[str, str], Clip] = {}
    root = grid_dir / "video" if (grid_dir / "video").is_dir() else grid_dir
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "__MACOSX")
        speaker = next(
            (part for part in reversed(Path(folder).relative_to(root).parts) if SPEAKER.fullmatch(part)), None
        )
        for file in sorted(files):  # .mpg after .mp4, so that it stays
            stem, suffix = os.path.splitext(file)
            if speaker and suffix.lower() in VIDEO_SUFFIXES and not file.startswith("."):
                clips[speaker, stem.lower()] = Clip(speaker, stem.lower(), Path(folder) / file)
    return clips


def find_alignments(grid_dir: Path) -> dict[str, list[Path]]:
    """Alignment files by name. Their folders are not to be trusted: those of many speakers are swapped at the source."""
    found: dict[str, list[Path]] = {}
    for path in sorted((grid_dir / "alignments").rglob("*.align")):
        if "__MACOSX" not in path.parts and not path.name.startswith("."):
            found.setdefault(path.stem.lower(), []).append(path)
    return found


def read_alignment(path: Path) -> list[tuple[float, float, str]]:
    """(start_seconds, end_seconds, word) of an alignment, silences left out. Raises: DataError with file and line."""
    words = []
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or not fields[0].isdecimal() or not fields[1].isdecimal():
            raise DataError(f"{path}:{number}: expected `start end word`, found {line!r}.")
        start, end = int(fields[0]) / UNITS_PER_SECOND, int(fields[1]) / UNITS_PER_SECOND
        if fields[2] not in ("sil", "sp"):
            words.append((start, end, fields[2]))
    return words


def word_times(clip: Clip, alignments: dict[str, list[Path]]) -> tuple[list[tuple[float, float, str]], str]:
    """Times of a clip's words and a remark where there are none: no alignment, or none that says the name's words.

    An alignment in the clip's own folder comes first; where names occur with several speakers, any other that agrees
    with the name is as likely to be another speaker's, so that it is taken only if it is the only one.
    """
    paths = alignments.get(clip.name, [])
    own = [path for path in paths if path.parent.name == clip.speaker]
    for path in own or (paths if len(paths) == 1 else []):
        words = read_alignment(path)
        if [word for _, _, word in words] == sentence(clip.name):
            return words, ""
        return [], f"{path} says other words than the name"
    return [], "several speakers have an alignment of this name, none in its own folder" if paths else "no alignment"


def read_splits(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Sets by the lists of the tree, `<speaker>/<name>` a line. Raises: DataError with file and line."""
    splits: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(folder.glob("*.txt")):
        keys = splits.setdefault(path.stem, [])
        for number, line in enumerate(read_lines(path), start=1):
            speaker, slash, name = line.strip().partition("/")
            if line.strip() and not slash:
                raise DataError(f"{path}:{number}: expected `<speaker>/<clip>`, found {line!r}.")
            if line.strip():
                keys.append((speaker, os.path.splitext(name)[0].lower()))
    return splits


def make_splits(clips: Sequence[tuple[str, str]], kind: str) -> dict[str, list[tuple[str, str]]]:
    """The literature's splits: `unseen` tests on s1, s2, s20, s22; `overlapped` on 255 clips of each speaker.

    Which clips are drawn depends on their names alone, so that a missing clip moves no other. Nothing of dev is in train.
    """
    splits: dict[str, list[tuple[str, str]]] = {"train": [], "dev": [], "test": []}
    by_speaker: dict[str, list[tuple[str, str]]] = {}
    for key in clips:
        by_speaker.setdefault(key[0], []).append(key)
    for speaker, keys in sorted(by_speaker.items()):
        keys = sorted(keys, key=lambda key: keyed_seed("grid", kind, *key))
        if kind == "unseen" and speaker in UNSEEN_TEST_SPEAKERS:
            splits["test"] += keys
            continue
        num_test = OVERLAPPED_TEST_CLIPS if kind == "overlapped" else 0
        splits["test"] += keys[:num_test]
        splits["dev"] += keys[num_test : num_test + DEV_CLIPS]
        splits["train"] += keys[num_test + DEV_CLIPS :]
    return splits


def write_set(name: str, keys, clips, alignments, out: Path, max_missing: float) -> None:
    """One data directory with `words.ctm` (times of the words) and `skipped.tsv` beside the usual files."""
    data = DataDir(out / name, {}, {})
    skipped, untimed, times = [], {}, []
    for key in sorted(keys):
        clip = clips.get(key)
        words = sentence(key[1])
        if clip is None or words is None:
            reason = "no such clip in the tree" if clip is None else "the name spells no GRID sentence"
            skipped.append((f"{key[0]}-{key[1]}", reason))
            continue
        data.text[clip.utt_id], data.utt2spk[clip.utt_id] = " ".join(words), clip.speaker
        data.video[clip.utt_id] = data.audio[clip.utt_id] = str(clip.path)
        timed, remark = word_times(clip, alignments)
        if remark:
            untimed[clip.utt_id] = remark
        times += [f"{clip.utt_id} 1 {start:.3f} {end - start:.3f} {word}" for start, end, word in timed]
    LOGGER.info("%s: %d clips, %d left out, %d without word times", name, len(data.text), len(skipped), len(untimed))
    for utt_id, remark in list(untimed.items())[:3]:
        LOGGER.info("%s: %s has no word times: %s", name, utt_id, remark)
    rows = ["id\treason", *(f"{utt_id}\t{reason}" for utt_id, reason in sorted(skipped))]
    write_text(data.path / "skipped.tsv", "\n".join(rows) + "\n")
    if len(skipped) > max_missing * max(1, len(keys)):
        raise DataError(f"{name}: {len(skipped)} of {len(keys)} clips are not there, see {data.path / 'skipped.tsv'}.")
    write_datadir(data)
    write_text(data.path / "words.ctm", "".join(f"{line}\n" for line in times))


def work(options: argparse.Namespace) -> None:
    """Find the clips, choose the sets, write them. Raises: DataError where the tree is not GRID's."""
    if not options.grid_dir:
        raise DataError(f"where is GRID? Give --grid-dir FOLDER, or set GRID_DIR.\n{HOW_TO_GET}")
    grid_dir = Path(options.grid_dir).resolve()
    if not grid_dir.is_dir():
        raise DataError(f"{grid_dir}: no such folder.\n{HOW_TO_GET}")
    clips = find_clips(grid_dir)
    if not clips:
        raise DataError(f"{grid_dir}: no clip video/<speaker>/<name>.mpg or .mp4 in it.\n{HOW_TO_GET}")
    speakers = {speaker for speaker, _ in clips}
    LOGGER.info("%s: %d clips of %d speakers", grid_dir, len(clips), len(speakers))
    lists = grid_dir / "split"
    if options.split == "lists" and not lists.is_dir():
        raise DataError(f"{lists}: no split lists there; choose --split unseen or --split overlapped.")
    by_lists = options.split == "lists" or options.split == "auto" and lists.is_dir()
    kind = "unseen" if options.split == "auto" else options.split
    spelled = sorted(key for key in clips if sentence(key[1]))
    splits = read_splits(lists) if by_lists else make_splits(spelled, kind)
    LOGGER.info("sets by %s", lists if by_lists else f"--split {kind}")
    empty = [name for name in ("train", "dev", "test") if not splits.get(name)]
    if empty:
        raise DataError(
            f"the set {empty[0]} is empty with --split {kind} and the speakers {', '.join(sorted(speakers))}; "
            f"fetch more speakers, or choose --split overlapped."
        )
    alignments = find_alignments(grid_dir)
    for name, keys in splits.items():
        write_set(name, keys, clips, alignments, Path(options.out), options.max_missing)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    parser = CommandParser("local/data.py", "GRID to data directories (stage 0).")
    parser.add_argument(
        "--grid-dir",
        default=os.environ.get("GRID_DIR"),
        help="folder with video/ and alignments/; left out: $GRID_DIR",
    )
    parser.add_argument("--out", default="data", help="where the sets are written")
    choices = ("auto", "lists", "unseen", "overlapped")
    parser.add_argument("--split", choices=choices, default="auto", help="auto: the tree's split/ lists, else unseen")
    parser.add_argument("--max-missing", type=float, default=0.05, help="share of listed clips that may be missing")
    return run_command(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
