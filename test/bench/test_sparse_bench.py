"""The bench of sparse methods runs at a tiny size and prints what it promises."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_ratios_and_exports_are_printed():
    words = ["--size", "64", "--num-blocks", "1", "--batch", "2", "--steps", "2"]
    command = [sys.executable, str(ROOT / "tools/bench/sparse.py"), *words]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout.splitlines()[-1])
    assert figures["ratios"]["none"] == 1.0
    assert set(figures["ratios"]) >= {"msrs", "rigl", "sr_ste"}
    assert all(export["largest_difference"] < 1e-4 for export in figures["exports"])
    assert all(export["share_of_parameters"] < 0.9 for export in figures["exports"])
