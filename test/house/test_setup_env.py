"""The set-up script, as far as it can be tried without installing anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "tools/setup_env.sh")


def run(*words: str, **variables: str) -> subprocess.CompletedProcess:
    # The interpreter behind this environment: a set-up asks it for a new one.
    variables = {"MSRS_PYTHON": sys._base_executable} | variables
    return subprocess.run(
        [SCRIPT, *words],
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_names_the_variables():
    done = run("--help")
    assert done.returncode == 0
    for name in ("MSRS_VENV", "MSRS_PYTHON", "MSRS_TORCH"):
        assert name in done.stdout


def test_an_unknown_option_is_an_error():
    done = run("--hlep")
    assert done.returncode == 1
    assert "--hlep is not an option" in done.stderr


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.txt").write_text("years of work", encoding="utf-8")
    done = run(MSRS_VENV=str(folder))
    assert done.returncode == 1
    assert "no Python environment" in done.stderr
    assert (folder / "chapter1.txt").read_text(encoding="utf-8") == "years of work"


def test_a_python_that_does_not_run_is_told(tmp_path):
    broken = tmp_path / "python3.11"
    broken.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    broken.chmod(0o755)
    done = run(MSRS_VENV=str(tmp_path / "env"), MSRS_PYTHON=str(broken))
    assert done.returncode == 1
    assert "does not run" in done.stderr
    assert not (tmp_path / "env").exists()


def test_a_second_run_has_nothing_to_do():
    if not Path(sys.prefix, ".msrs-ready").exists():
        pytest.skip("this environment was not made by tools/setup_env.sh")
    done = run(MSRS_VENV=sys.prefix)
    assert done.returncode == 0
    assert done.stdout.strip() == sys.prefix
    assert done.stderr == ""
