"""The bench of sparse methods runs at a tiny size and prints what it promises."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


RIVALS = {"continuous", "static", "snip", "grasp", "set", "rigl", "gmp", "granet", "sr_ste"}


def run(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tools/bench/sparse.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


def test_times_memory_and_exports_are_printed():
    done = run("--size", "64", "--num-blocks", "1", "--batch", "2", "--steps", "2")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    rows = {row["method"]: row for row in figures["methods"]}
    assert set(rows) >= {"none", "msrs, alternate", "msrs, 2:4", "msrs, neuron", *RIVALS}
    assert all(0.3 < row["ratio"] < 3 and row["own"] < 1 for row in rows.values())

    def between(low: float, high: float, *names: str, when: str = "bytes_held") -> bool:
        return all(low <= rows[name][when] <= high for name in names)

    # Logits and Adam's two moments, 12 bytes a weight, and a bit of the mask at the epoch's start.
    searching = ("msrs", "msrs, steered", "msrs, alternate", "msrs, 2:4", "continuous")
    assert between(12.12, 12.14, *searching)
    assert between(16.12, 17.14, *searching, when="bytes_in_step")  # effective weights; the hard mask of 2:4
    assert between(16.12, 16.14, "msrs", when="bytes_in_step")
    assert between(0.1, 0.2, "msrs, neuron")  # 64 weights a unit share its 12 bytes
    assert between(4.1, 4.2, "msrs, neuron", when="bytes_in_step")
    for when in ("bytes_held", "bytes_in_step"):
        assert between(0, 0, "none", when=when)
        assert between(0.125, 0.125, "msrs, then dense", when=when)
        assert between(1, 1, "msrs, then sparse", "static, then sparse", when=when)
        assert between(0, 0.02, "msrs, neuron, then dense", "msrs, neuron, then sparse", when=when)
        assert between(1, 1.13, "static", "snip", "set", "rigl", when=when)
    assert all(export["largest_difference"] < 1e-4 for export in figures["exports"])
    assert all(export["share_of_parameters"] < 0.9 for export in figures["exports"])


def test_rows_are_chosen_by_pattern_and_an_unknown_one_is_refused():
    size = ("--size", "64", "--num-blocks", "1", "--batch", "1", "--steps", "1")
    done = run(*size, "--methods", "none", "*neuron, then*")
    assert [row["method"] for row in json.loads(done.stdout.splitlines()[-1])["methods"]] == [
        "none", "msrs, neuron, then dense", "msrs, neuron, then sparse",
    ]  # fmt: skip
    done = run(*size, "--methods", "rigel")
    assert done.returncode == 1
    assert "--methods" in done.stderr and "rigl" in done.stderr
