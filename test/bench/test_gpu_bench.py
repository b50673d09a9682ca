"""The list for a GPU runs dry on the CPU: every step writes its figures, and none is done twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("device", "paths", "train", "sparse", "decode", "lengths")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command = [str(ROOT / "tools/bench/gpu.sh"), "--tiny", "--out", str(folder), *words]
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(command, capture_output=True, text=True, timeout=1600, env=environment)


def test_a_dry_run_does_every_step_once(tmp_path):
    first = run(tmp_path, "--seconds", "1500")
    assert first.returncode == 0, first.stdout + first.stderr
    figures = {name: json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")) for name in STEPS}
    assert all(row["is_equal"] for row in figures["paths"]["paths"])
    assert len(figures["paths"]["paths"]) == 6
    (ours,) = figures["train"]["sides"]
    assert ours["ratio_to_peer"] is None
    assert ours["frames_per_second"] > 0
    assert ours["tflops"] > 0
    assert figures["decode"]["beams"][0]["frames_per_second"] > 0
    assert set(figures["lengths"]["lengths"]) == {"plain", "checkpointed"}
    page = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert "| plain, float32 |" in page
    assert "(lengths.png)" in page
    assert Image.open(tmp_path / "lengths.png").size == (1520, 440)
    (tmp_path / "decode.json").unlink()
    again = run(tmp_path, "--seconds", "1500")
    assert again.stdout.count("done before") == len(STEPS) - 1
    assert (tmp_path / "decode.json").exists()


def test_without_time_a_step_is_left_for_the_next_start(tmp_path):
    late = run(tmp_path, "--seconds", "0")
    assert late.returncode == 1
    assert "no time left; start again" in late.stdout
    assert not list(tmp_path.glob("*.json"))
    assert "Not done yet." in (tmp_path / "gpu.md").read_text(encoding="utf-8")


def test_a_dump_without_its_tokens_is_refused(tmp_path):
    told = run(tmp_path / "out", "--seconds", "0", "--dump", str(tmp_path))
    assert told.returncode == 2
    assert "--dump and --tokens-root go together" in told.stderr
    assert not (tmp_path / "out").exists()


def test_a_peer_that_is_none_is_told(tmp_path):
    words = ["--tiny", "--steps", "1", "--batch", "1", "--frames", "8", "--precisions", "float32", "--threads", "1"]
    command = [sys.executable, str(ROOT / "tools/bench/train.py"), *words, "--peer", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "expected a checkout of github mpc001/auto_avsr" in told.stderr
    sides = json.loads(told.stdout.splitlines()[-1])["sides"]
    assert [side["side"] for side in sides if "failed" in side] == ["peer float32"]
