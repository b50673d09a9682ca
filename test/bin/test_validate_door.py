"""msrs-validate from its command line."""

from pathlib import Path

import pytest

from msrs.bin.validate import main
from msrs.data.datadir import DataDir, write_datadir


@pytest.fixture
def sets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, speaker in (("train", "s1"), ("test", "s2")):
        Path(f"{name}.mp4").write_bytes(name.encode())
        utt = f"{speaker}-a"
        write_datadir(DataDir(Path("data", name), {utt: "x"}, {utt: speaker}, {utt: f"{name}.mp4"}))


def test_sound_sets(sets):
    assert main(["data/train", "data/test"]) == 0


def test_faults_and_leaks_give_exit_code_1(sets, log):
    Path("test.mp4").write_bytes(b"train")
    assert main(["data/train", "data/test"]) == 1
    assert "test.mp4 is a copy of train.mp4" in log.text
    Path("data/test/text").write_text("s2-a\n")
    assert main(["data/test"]) == 1
    assert "data/test/text:1: s2-a has an empty transcript" in log.text


def test_fix_and_no_media(sets, log):
    Path("data/train/spk2utt").unlink()
    assert main(["data/train"]) == 1
    assert main(["data/train", "--fix"]) == 0
    assert main(["data/train"]) == 0
    Path("train.mp4").unlink()
    assert main(["data/train"]) == 1
    assert main(["data/train", "--no_media"]) == 0
    assert "no such file train.mp4" in log.text
