"""Data directories: reading, writing, every fault by file and line, subsets, splits, leaks."""

import dataclasses
import errno
import shutil
from pathlib import Path

import numpy as np
import pytest

from msrs.data.datadir import (
    DataDir,
    Segment,
    check_leaks,
    read_datadir,
    split,
    subset,
    validate_datadir,
    write_datadir,
)
from msrs.data.media import write_video
from msrs.errors import DataError

UTTS = ("s1-a", "s1-b", "s2-a")
FILES = {
    "text": "s1-a bin blue\ns1-b größer als 你好\ns2-a set red\n",
    "utt2spk": "s1-a s1\ns1-b s1\ns2-a s2\n",
    "spk2utt": "s1 s1-a s1-b\ns2 s2-a\n",
    "video.scp": "s1-a corpus/a one.mp4\ns1-b corpus/b.mp4\ns2-a corpus/c.mp4\n",
    "wav.scp": "s1-a corpus/a one.mp4\ns1-b corpus/b.wav\ns2-a corpus/c.wav\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A sound data directory with media that exist."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "data/train", FILES)
    Path("corpus").mkdir()
    for number, name in enumerate(("a one.mp4", "b.mp4", "c.mp4", "b.wav", "c.wav")):
        Path("corpus", name).write_bytes(bytes([number]) * 100)
    return Path("data/train")


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def faults_of(folder, **kwargs):
    return [str(fault) for fault in validate_datadir(folder, **kwargs)]


def test_a_sound_set(folder):
    assert faults_of(folder) == []
    data = read_datadir(folder)
    assert data.text["s1-b"] == "größer als 你好"
    assert data.video["s1-a"] == "corpus/a one.mp4"
    assert data.recordings == {utt: [utt] for utt in UTTS}
    assert data.media()["s1-a"] == ["corpus/a one.mp4"]
    assert data.media()["s1-b"] == ["corpus/b.mp4", "corpus/b.wav"]


def test_what_is_written_is_read(folder, tmp_path):
    data = read_datadir(folder)
    data.path = tmp_path / "copy"
    shuffled = dataclasses.replace(data, text=dict(reversed(data.text.items())))
    write_datadir(shuffled)
    assert {name: (tmp_path / "copy" / name).read_text("utf-8") for name in FILES} == FILES
    assert read_datadir(tmp_path / "copy") == data


def test_writing_removes_files_that_no_longer_apply(folder):
    data = read_datadir(folder)
    write_datadir(dataclasses.replace(data, audio={}))
    assert not (folder / "wav.scp").exists()
    assert faults_of(folder) == []


def test_segments(folder):
    put(folder, {
        "segments": "s1-a long 0.00 1.5\ns1-b long 1.5 2\ns2-a short 0 1e0\n",
        "video.scp": "long corpus/b.mp4\nshort corpus/c.mp4\n",
        "wav.scp": "long corpus/b.mp4\nshort corpus/c.mp4\n",
    })  # fmt: skip
    data = read_datadir(folder)
    assert data.recordings == {"long": ["s1-a", "s1-b"], "short": ["s2-a"]}
    assert data.segment("s1-b") == Segment("long", 1.5, 2.0)
    write_datadir(data)
    assert (folder / "segments").read_text() == "s1-a long 0.000 1.500\ns1-b long 1.500 2.000\ns2-a short 0.000 1.000\n"


SWAPPED = "s1-b x\ns1-a y\ns2-a z\n"
WRONG = {
    "unsorted": ({"text": SWAPPED}, "text:2: not sorted: s1-a comes after s1-b"),
    "twice": ({"text": FILES["text"] + "s2-a other\n"}, "text:4: s2-a is given twice, first in line 3"),
    "no prefix": ({"utt2spk": "s1-a s1\ns1-b s9\ns2-a s2\n"}, "utt2spk:2: s1-b does not begin with its speaker"),
    "half a prefix": ({"utt2spk": "s1-a s1\ns1-b s\ns2-a s2\n"}, "utt2spk:2: s1-b does not begin with its speaker"),
    "not in text": ({"text": "s1-a x\ns1-b y\n"}, "utt2spk:3: s2-a is not in data/train/text"),
    "not in utt2spk": ({"utt2spk": "s1-a s1\ns2-a s2\n"}, "text:2: s1-b is not in data/train/utt2spk"),
    "not in scp": ({"video.scp": "s1-a a\ns2-a c\n"}, "text:2: recording s1-b is not in data/train/video.scp"),
    "unused": ({"video.scp": FILES["video.scp"] + "s3-a d\n"}, "video.scp:4: no utterance uses recording s3-a"),
    "empty": ({"text": "s1-a x\ns1-b\ns2-a z\n"}, "text:2: s1-b has an empty transcript"),
    "blank": ({"text": "s1-a x\ns1-b  \t \ns2-a z\n"}, "text:2: s1-b has an empty transcript"),
    "empty line": ({"text": "s1-a x\n\ns1-b y\ns2-a z\n"}, "text:2: empty line"),
    "no key": ({"text": "s1-a x\n s1-b y\ns2-a z\n"}, "text:2: expected `key transcript`"),
    "control": (
        {"text": "s1-a x\ns1-b a\x07b\ns2-a z\n"},
        "text:2: the transcript of s1-b contains a control character",
    ),
    "separator": ({"text": "s1-a x\ns1-b a\u2028b\ns2-a z\n"}, "text:2: the transcript of s1-b contains a control"),
    "pipe": ({"wav.scp": "s1-a sox x |\ns1-b b\ns2-a c\n"}, "wav.scp:1: s1-a is a shell command, refused"),
    "pipe before": ({"video.scp": "s1-a | rm x\ns1-b b\ns2-a c\n"}, "video.scp:1: s1-a is a shell command, refused"),
    "slash": ({"utt2spk": "s1-a s1\ns1-b s1\ns2-a ../s2\n"}, "utt2spk:3: '../s2' cannot be an id"),
    "no path": ({"video.scp": "s1-a a\ns1-b\ns2-a c\n"}, "video.scp:2: s1-b has an empty path"),
    "few fields": (
        {"segments": "s1-a s1-a 0 1\ns1-b s1-b 1\ns2-a s2-a 0 1\n"},
        "segments:2: expected `utterance recording",
    ),
    "no number": (
        {"segments": "s1-a s1-a 0 1\ns1-b s1-b 0 nan\ns2-a s2-a 0 1\n"},
        "segments:2: expected `utterance recor",
    ),
    "negative": ({"segments": "s1-a s1-a 0 1\ns1-b s1-b -1 1\ns2-a s2-a 0 1\n"}, "segments:2: starts at -1.0 s"),
    "backwards": (
        {"segments": "s1-a s1-a 0 1\ns1-b s1-b 2 1\ns2-a s2-a 0 1\n"},
        "segments:2: ends at 1.0 s, not after",
    ),
    "no segment": ({"segments": "s1-a s1-a 0 1\ns2-a s2-a 0 1\n"}, "text:2: s1-b is not in data/train/segments"),
    "no recording": (
        {"segments": "s1-a s1-a 0 1\ns1-b s1-x 0 1\ns2-a s2-a 0 1\n"},
        "segments:2: recording s1-x is not in",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_fault_names_file_and_line(folder, name):
    files, message = WRONG[name]
    put(folder, files)
    faults = faults_of(folder)
    assert any(fault.startswith(f"data/train/{message}") for fault in faults), faults
    with pytest.raises(DataError) as caught:
        read_datadir(folder)
    assert f"data/train/{message}" in str(caught.value)
    assert "msrs-validate --fix data/train" in str(caught.value)


def test_faults_that_need_the_media(folder):
    Path("corpus/c.mp4").unlink()
    assert faults_of(folder) == [
        "data/train/video.scp: s2-a: no such file corpus/c.mp4 (relative paths count from here)"
    ]
    assert faults_of(folder, with_media=False) == []
    read_datadir(folder)  # crops may outlive the corpus


def test_a_segment_past_the_end(folder):
    write_video("corpus/b.mp4", [np.zeros((16, 16), np.uint8)] * 25)
    put(folder, {
        "text": "s1-a x\ns1-b y\n", "utt2spk": "s1-a s1\ns1-b s1\n", "spk2utt": "s1 s1-a s1-b\n",
        "segments": "s1-a long 0 1\ns1-b long 0.5 1.5\n", "video.scp": "long corpus/b.mp4\n",
    })  # fmt: skip
    (folder / "wav.scp").unlink()
    assert faults_of(folder) == ["data/train/segments: s1-b ends at 1.5 s, long already at 1.00 s"]


def test_spk2utt_must_be_the_inverse(folder):
    put(folder, {"spk2utt": "s1 s1-a\ns2 s2-a s1-b\n"})
    assert faults_of(folder) == ["data/train/spk2utt: is not the inverse of utt2spk (--fix writes it anew)"]
    (folder / "spk2utt").unlink()
    assert "missing" in faults_of(folder)[0]


def test_missing_files(folder):
    (folder / "video.scp").unlink()
    (folder / "wav.scp").unlink()
    (folder / "utt2spk").unlink()
    with pytest.raises(DataError, match="2 faults") as caught:
        read_datadir(folder)
    assert "utt2spk: missing" in str(caught.value)
    assert "neither video.scp nor wav.scp" in str(caught.value)
    with pytest.raises(DataError, match="no such data directory; stage 0 makes it"):
        read_datadir("data/absent")


def test_what_is_not_utf8_is_told_with_its_line(folder):
    put(folder, {"text": b"s1-a x\ns1-b gr\xf6\xdfer\ns2-a z\n"})
    with pytest.raises(DataError, match=r"data/train/text:2: not UTF-8"):
        validate_datadir(folder)


def test_twenty_faults_are_shown_and_all_are_counted(folder):
    put(folder, {"text": "".join(f"s1-{i:03}\n" for i in range(200))})
    with pytest.raises(DataError) as caught:
        read_datadir(folder)
    lines = str(caught.value).split("\n")
    assert lines[0] == "data/train: 809 faults"
    assert lines[21].strip() == "... and 789 more"
    assert len(lines) == 23


def test_a_full_disk_leaves_the_old_file(folder, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    data = read_datadir(folder)
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DataError, match="the disk is full"):
        write_datadir(dataclasses.replace(data, text=dict.fromkeys(UTTS, "new")))
    assert (folder / "text").read_bytes() == FILES["text"].encode()
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_subset(folder, tmp_path):
    part = subset(read_datadir(folder), tmp_path / "part", ["s2-a", "s1-a"])
    write_datadir(part)
    assert faults_of(tmp_path / "part") == []
    assert list(read_datadir(tmp_path / "part").text) == ["s1-a", "s2-a"]
    with pytest.raises(DataError, match=r"data/train: no utterance s3-x; 1 of 2"):
        subset(read_datadir(folder), tmp_path / "part", ["s3-x", "s1-a"])


def test_split_keeps_speakers_and_recordings_together():
    utts = [f"s{speaker}-{i}" for speaker in range(10) for i in range(10)]
    segments = {utt: Segment("shared" if utt in ("s0-0", "s1-0") else utt, 0.0, 1.0) for utt in utts}
    recordings = {segment.recording: "x" for segment in segments.values()}
    data = DataDir(Path("d"), dict.fromkeys(utts, "w"), {u: u[:2] for u in utts}, recordings, {}, segments)
    rest, held_out = split(data, "rest", "dev", share=0.2)
    assert (str(rest.path), str(held_out.path)) == ("rest", "dev")
    assert sorted([*rest.text, *held_out.text]) == sorted(utts)
    assert 20 <= len(held_out.text) <= 30
    assert not set(rest.utt2spk.values()) & set(held_out.utt2spk.values())
    assert not set(rest.video) & set(held_out.video)
    assert split(data, "rest", "dev", share=0.2)[1] == held_out
    assert any(split(data, "rest", "dev", share=0.2, seed=seed)[1] != held_out for seed in range(2, 6))
    with pytest.raises(DataError, match="no speaker can be held out"):
        split(subset(data, "x", ["s3-1", "s3-2"]), "rest", "dev", share=0.5)


# ---- leaks


def leaks_of(*paths):
    return [str(fault) for fault in check_leaks(paths)]


def other_set(folder, name, media, utts=("s3-a",)):
    data = DataDir(folder.parent / name, dict.fromkeys(utts, "w"), {u: u[:2] for u in utts}, dict.fromkeys(utts, media))
    write_datadir(data)
    return data.path


def test_sets_with_nothing_in_common(folder):
    Path("corpus/new.mp4").write_bytes(b"\x09" * 100)  # as long as the others
    assert leaks_of(folder, other_set(folder, "test", "corpus/new.mp4")) == []


def test_the_same_path_in_two_sets(folder):
    Path("link").symlink_to("corpus")
    dev = other_set(folder, "dev", "link/../corpus/b.wav")
    assert leaks_of(folder, dev) == ["data/dev: uses link/../corpus/b.wav, which data/train uses too (as corpus/b.wav)"]


def test_a_copy_under_another_name(folder):
    shutil.copy("corpus/b.mp4", "corpus/copy.avi")
    test = other_set(folder, "test", "corpus/copy.avi")
    assert leaks_of(folder, test) == ["data/test: corpus/copy.avi is a copy of corpus/b.mp4, which data/train uses"]


def test_two_names_for_one_set(folder):
    Path("data/dev").symlink_to("train")
    assert leaks_of(folder, "data/dev")[0] == "data/dev: is the same set as data/train"
    assert leaks_of(folder, "data/../data/train")[0] == "data/../data/train: is the same set as data/train"


def test_shared_utterances(folder):
    Path("corpus/new.mp4").write_bytes(b"new")
    test = other_set(folder, "test", "corpus/new.mp4", utts=("s1-a", "s3-a"))
    assert leaks_of(folder, test) == ["data/test: has 1 utterances in common with data/train, for example s1-a"]


def test_what_a_killed_run_left_half_written_goes(folder):
    data = read_datadir(folder)
    (data.path / ".text.7.tmp").write_text("half", encoding="utf-8")
    write_datadir(data)
    assert sorted(path.name for path in data.path.iterdir()) == sorted(FILES)
