"""The bench of the reader runs on a small dump and prints what it promises."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from msrs.data.ark import ArkWriter
from msrs.data.media import encode_video

ROOT = Path(__file__).resolve().parents[2]


def write_dump(folder: Path) -> None:
    """Two clips of a moving square."""
    frames = np.full((20, 96, 96), 90, np.uint8)
    for number in range(20):
        frames[number, 30:60, number : number + 30] = 200
    with ArkWriter(folder / "video.ark", folder / "video.scp") as ark:
        for utt_id in ("s-a", "s-b"):
            ark.write(utt_id, np.frombuffer(encode_video(frames), np.uint8))
    (folder / "utt2num_frames").write_text("s-a 20\ns-b 20\n", encoding="utf-8")
    (folder / "text").write_text("s-a a\ns-b b\n", encoding="utf-8")


def test_rates_and_sizes_are_printed(tmp_path):
    write_dump(tmp_path)
    command = [
        sys.executable,
        str(ROOT / "tools/bench/reader.py"),
        "--dump",
        str(tmp_path),
        "--clips",
        "2",
        "--turns",
        "1",
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout.splitlines()[-1])
    assert figures["clips"] == 2
    assert figures["frames"] == 40
    assert figures["ratio"] == figures["frames_per_second_a_core"] / figures["theirs"]
    assert figures["raw_bytes_an_hour"] == 96 * 96 * 25 * 3600
    assert 10 < figures["times_smaller_than_raw"] < 10_000
