"""Two runs never work in one folder."""

import subprocess
import sys

import pytest

from msrs.errors import TrainingError
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
