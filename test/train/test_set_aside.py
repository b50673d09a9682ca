"""A run that is set aside is whole elsewhere, and never takes another's place."""

import pytest

from msrs.errors import TrainingError
from msrs.files import write_text
from msrs.train.lock import locked
from msrs.train.record import recorded_origin
from msrs.train.set_aside import set_aside


def test_each_run_that_is_set_aside_keeps_a_folder_of_its_own(tmp_path, log):
    exp = tmp_path / "train_video"
    for text in ("first", "second"):
        (exp / "checkpoints").mkdir(parents=True)
        (exp / "checkpoints/average.pt").write_text(text)
        set_aside(exp)
        assert not exp.exists()
    kept = [(tmp_path / f"train_video.old{number}/checkpoints/average.pt").read_text() for number in (1, 2)]
    assert kept == ["first", "second"]
    assert f"is set aside: it is in {exp}.old2 now" in log.text


def test_a_folder_without_a_checkpoint_stays(tmp_path):
    assert set_aside(tmp_path / "none") is None
    (tmp_path / "exp/checkpoints").mkdir(parents=True)
    (tmp_path / "exp/train.log").write_text("ERROR")
    assert set_aside(tmp_path / "exp") is None
    assert (tmp_path / "exp/train.log").exists()


def test_what_a_run_without_a_checkpoint_began_from_is_forgotten(tmp_path):
    write_text(tmp_path / "exp/data.json", '{"init": ["a"]}')
    assert recorded_origin(tmp_path / "exp") == ["a"]
    assert set_aside(tmp_path / "exp") is None
    assert recorded_origin(tmp_path / "exp") == []


def test_a_run_that_is_at_work_stays(tmp_path, monkeypatch):
    (tmp_path / "exp/checkpoints").mkdir(parents=True)
    (tmp_path / "exp/checkpoints/resume_00000001.pt").touch()
    monkeypatch.setattr("msrs.train.set_aside.locked", lambda exp: locked(exp, patience_seconds=0))
    with locked(tmp_path / "exp"), pytest.raises(TrainingError, match="another msrs-train is at work"):
        set_aside(tmp_path / "exp")
    assert (tmp_path / "exp/checkpoints").is_dir()
