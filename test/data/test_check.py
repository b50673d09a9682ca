"""The validator as a whole."""

import shutil
from pathlib import Path

import pytest

from msrs.data import datadir
from msrs.data.check import check_datadirs
from msrs.data.datadir import Segment
from msrs.errors import DataError


def test_sound_sets_that_share_nothing(make_set, log):
    train, test = make_set("train"), make_set("test", utts=("s3-a", "s3-b"), frames=9)
    check_datadirs([train.path, test.path])
    assert "3 utterances, 3 recordings, 2 speakers" in log.text
    assert "the 2 sets have no utterance and no recording in common" in log.text


def test_all_sets_are_looked_at_before_stopping(make_set):
    train, test = make_set("train"), make_set("test", utts=("s3-a",))
    for data in (train, test):
        (data.path / "text").write_text("")
    with pytest.raises(DataError) as caught:
        check_datadirs([train.path, test.path])
    assert str(train.path) in str(caught.value)
    assert str(test.path) in str(caught.value)


def test_dev_is_not_test(make_set):
    data = make_set("dev")
    shutil.copytree(data.path, data.path.parent / "test")
    with pytest.raises(DataError, match="the sets have something in common") as caught:
        check_datadirs([data.path, data.path.parent / "test"])
    assert "What is trained on must not be tested on" in str(caught.value)


def test_fixing_first(make_set):
    data = make_set("train")
    rows = (data.path / "text").read_text().splitlines()
    (data.path / "text").write_text("\n".join([*reversed(rows[1:]), ""]))
    check_datadirs([data.path], is_fixed=True)
    assert (data.path / "text").read_text().splitlines() == rows[1:]


def test_media_are_opened_by_several_processes_and_told_in_the_same_order(make_set, monkeypatch):
    recordings = [f"s{i}-long" for i in range(6)]
    # Every other one is cut beyond its end; a damaged one is not this stage's to report.
    segments = {f"{rec}-u": Segment(rec, 0.0, 0.3 if i % 2 else 9.0) for i, rec in enumerate(recordings)}
    data = make_set("train", utts=recordings, segments=segments)
    Path(data.video["s4-long"]).write_bytes(b"no film")
    with pytest.raises(DataError) as alone:
        check_datadirs([data.path])
    lines = [line for line in str(alone.value).splitlines() if "already at 0.3" in line]
    assert [line.split("segments: ")[1].split()[0] for line in lines] == ["s0-long-u", "s2-long-u"]
    opened = []
    monkeypatch.setattr(datadir, "media_seconds", opened.append)  # in this process
    with pytest.raises(DataError) as shared:
        check_datadirs([data.path], num_jobs=2)
    assert str(shared.value) == str(alone.value)
    assert not opened
