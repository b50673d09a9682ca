"""Two runs never work in one folder."""

import subprocess
import sys

import pytest

from msrs.errors import DataError, TrainingError
from msrs.train.lock import locked

pytest.importorskip("fcntl")


def test_a_second_run_is_told_and_a_killed_one_leaves_no_lock(tmp_path, root):
    program = "import sys, time; from pathlib import Path; from msrs.train.lock import locked\n"
    program += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], cwd=root, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TrainingError, match="another msrs-train"), locked(tmp_path, 0.1):
            pass
        other.kill()
        other.wait()
    with locked(tmp_path, 5.0):
        pass


def test_a_folder_that_cannot_be_written_is_told_as_such(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match=r"file/exp: cannot be written"), locked(tmp_path / "file/exp"):
        pass
    with pytest.raises(DataError, match=r"x: cannot be written .File name too long"), locked(tmp_path / ("x" * 300)):
        pass
