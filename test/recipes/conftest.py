"""A copy of a recipe with what it leans on, so that a test leaves nothing in the checkout."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The tests' own environment stands in for the one that tools/setup_env.sh makes.
ENVIRONMENT = f"#!/bin/sh\necho {sys.prefix}\n"


class RecipeCopy:
    """`egs/<name>` in a folder of its own. `run` types a command line, `kill_when` ends one in the middle."""

    def __init__(self, root: Path, name: str):
        self.folder = root / "egs" / name
        shutil.copytree(ROOT / "utils", root / "utils")
        generated = shutil.ignore_patterns("data", "dump", "exp", "RESULTS.md", "__pycache__")
        shutil.copytree(ROOT / "egs" / name, self.folder, ignore=generated)
        (root / "tools").mkdir()
        script = root / "tools/setup_env.sh"
        script.write_text(ENVIRONMENT, encoding="utf-8")
        script.chmod(0o755)

    def start(self, *words: str) -> subprocess.Popen:
        """Start ./run.sh in a group of processes of its own."""
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(
            ["./run.sh", *words], cwd=self.folder, start_new_session=True, text=True, encoding="utf-8", **streams
        )

    def run(self, *words: str, code: int = 0) -> str:
        """Run ./run.sh to its end, which has to be of the given exit code. Returns: what it printed."""
        process = self.start(*words)
        printed, _ = process.communicate(timeout=900)
        assert process.returncode == code, printed
        return printed

    def kill_when(self, is_time, *words: str) -> None:
        """Run ./run.sh until `is_time()`, then kill -9 all of it; it must not have ended before."""
        process = self.start(*words)
        deadline = time.monotonic() + 600
        while not is_time():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"ended before it could be killed:\n{process.communicate()[0]}")
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def copy_recipe(tmp_path_factory):
    """A function of a recipe's name that returns a fresh copy."""
    return lambda name: RecipeCopy(tmp_path_factory.mktemp(name), name)
