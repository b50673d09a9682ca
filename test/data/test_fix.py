"""Mending a data directory: what stays, what goes and why."""

from pathlib import Path

import pytest

from msrs.data.datadir import read_datadir, validate_datadir
from msrs.data.fix import fix_datadir
from msrs.errors import DataError

GOOD = {"s1-a": "bin blue", "s2-b": "set red"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A directory with one utterance for each thing that can be wrong, in the wrong order."""
    monkeypatch.chdir(tmp_path)
    Path("m.mp4").write_bytes(b"m")
    texts = GOOD | {
        "s1-bell": "a\x07b", "s1-nospk": "x", "s1-noscp": "x", "s1-pipe": "x", "s1-gone": "x", "s1-empty": "",
        "s1-two": "x",
    }  # fmt: skip
    lines = {
        "text": [f"{utt} {text}" for utt, text in texts.items()] + ["s1-a bin blue", "s1-two y", ""],
        "utt2spk": [f"{utt} {utt[:2]}" for utt in texts if utt != "s1-nospk"] + ["s1-notext s1"],
        "video.scp": [f"{utt} m.mp4" for utt in texts if utt not in ("s1-noscp", "s1-pipe", "s1-gone")]
        + ["s1-pipe cat m.mp4 |", "s1-gone gone.mp4"],
    }
    (tmp_path / "set").mkdir()
    for name, rows in lines.items():
        (tmp_path / "set" / name).write_text("".join(f"{row}\n" for row in reversed(rows)), encoding="utf-8")
    return Path("set")


EXPECTED = {
    "s1-bell": "control character in the transcript",
    "s1-nospk": "not in utt2spk",
    "s1-notext": "not in text",
    "s1-noscp": "recording not in video.scp",
    "s1-pipe": "shell command in video.scp",
    "s1-gone": "missing file in video.scp",
    "s1-empty": "empty transcript",
    "s1-two": "given twice in text, differently",
}


def test_what_goes_and_why(folder, log):
    assert validate_datadir(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert fix_datadir(folder) == EXPECTED
    assert "set: 2 utterances kept, 8 dropped (dropped.tsv)" in log.text
    assert "faults met" not in log.text
    assert validate_datadir(folder) == []
    assert read_datadir(folder).text == GOOD
    rows = (folder / "dropped.tsv").read_text().splitlines()
    assert rows[0] == "id\treason"
    assert dict(row.split("\t") for row in rows[1:]) == EXPECTED
    assert {path.name: path.read_bytes() for path in (folder / ".backup").iterdir()} == before


def test_a_second_time_changes_nothing(folder):
    fix_datadir(folder)
    before = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "dropped.tsv"
    }
    assert fix_datadir(folder) == {}
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "dropped.tsv"}
    assert after == before


def test_broken_segments_go(folder):
    fix_datadir(folder)
    (folder / "segments").write_text("s2-b r 1 2\ns1-a r 2 1\n")
    (folder / "video.scp").write_text("r m.mp4\n")
    assert fix_datadir(folder) == {"s1-a": "segment does not end after it starts, or starts before its recording"}
    assert read_datadir(folder).segments["s2-b"].end_seconds == 2.0


def test_names_are_not_changed(folder):
    fix_datadir(folder)
    (folder / "utt2spk").write_text("s1-a ann\ns2-b s2\n")
    assert fix_datadir(folder) == {}
    assert "does not begin with its speaker" in str(validate_datadir(folder)[0])


def test_nothing_is_written_where_nothing_would_remain(folder):
    (folder / "utt2spk").write_text("")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataError, match=r"nothing was changed\. First: s1-a: not in utt2spk"):
        fix_datadir(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
