"""kill -9 at any time, a full disk, half a file: nothing is lost, and the end is that of an uninterrupted run."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from msrs import config
from msrs.errors import DataError
from msrs.train import checkpoint
from msrs.train.experiment import train
from msrs.train.options import TrainConfig

WORDS = ["sparse.type=msrs", "sparse.steps=12", "sparse.calibration_steps=2", "train.max_epochs=6", "train.ema=0.9"]
WORDS += ["train.save_every_updates=1", "train.watch_every_updates=1"]
PROGRAM = """
import json, sys
from pathlib import Path
from msrs import config
from msrs.train.experiment import train
from msrs.train.options import TrainConfig
dumps = Path(sys.argv[1])
options = config.load(TrainConfig, dumps / "train.yaml", json.loads(sys.argv[3]))
print("ready", flush=True)
train(options, dumps / "train", dumps / "dev", dumps / "tokens", Path(sys.argv[2]), "cpu", ["test"])
"""


def run(dumps, exp, *words):
    options = config.load(TrainConfig, dumps / "train.yaml", [*WORDS, *words])
    train(options, dumps / "train", dumps / "dev", dumps / "tokens", exp, "cpu", ["test"])


def outcome(exp):
    """Weights and all numbers but the times."""
    lines = [json.loads(line) for line in (exp / "metrics.jsonl").read_text().splitlines()]
    numbers = [{key: value for key, value in line.items() if "seconds" not in key} for line in lines]
    return checkpoint.load(exp / "checkpoints/average.pt")["model"], numbers


@pytest.fixture(scope="module")
def whole(dumps, tmp_path_factory):
    """What the uninterrupted run gives."""
    exp = tmp_path_factory.mktemp("whole")
    run(dumps, exp)
    return outcome(exp)


def check_same(first, second):
    assert first[1] == second[1]
    assert first[0].keys() == second[0].keys()
    assert all(torch.equal(value, second[0][name]) for name, value in first[0].items())


def test_killed_again_and_again_at_random_moments(dumps, tmp_path, root, whole):
    rng = random.Random(0)
    command = [sys.executable, "-c", PROGRAM, str(dumps), str(tmp_path), json.dumps(WORDS)]
    kills = 0
    while kills < 3:
        newest = max(
            (number for number, _ in checkpoint.numbered(tmp_path / "checkpoints", checkpoint.RESUME)), default=0
        )
        with subprocess.Popen(command, cwd=root, env=os.environ, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            # Some updates further, and then at a moment that no clock of the training knows.
            goal = newest + rng.randint(1, 3)
            while process.poll() is None and not (tmp_path / f"checkpoints/resume_{goal:08d}.pt").exists():
                time.sleep(0.002)
            time.sleep(rng.uniform(0.0, 0.1))
            process.send_signal(signal.SIGKILL)
        if process.returncode == 0:
            break  # it was quicker
        kills += 1
    assert kills >= 1
    # A process that dies while it writes leaves a file without its name, and perhaps the newest one cut off.
    folder = tmp_path / "checkpoints"
    (folder / ".resume_00000099.7.tmp.pt").write_bytes(b"half")
    newest = checkpoint.numbered(folder, checkpoint.RESUME)[-1][1]
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    run(dumps, tmp_path)
    check_same(outcome(tmp_path), whole)
    assert not list(folder.glob(".*.tmp.pt"))


def test_killed_before_the_first_checkpoint_it_begins_anew(dumps, tmp_path, monkeypatch, whole):
    words = ["train.save_every_updates=1000"]  # so that the model of the first epoch is kept before any checkpoint

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_resume", dies)
        with pytest.raises(KeyboardInterrupt):
            run(dumps, tmp_path, *words)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["epoch_00001.pt"]
    assert (tmp_path / "metrics.jsonl").read_text()
    run(dumps, tmp_path, *words)
    check_same(outcome(tmp_path), whole)


def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(dumps, tmp_path, monkeypatch, whole):
    save = torch.save
    written = []

    def fills_up(state, handle):
        written.append(handle.name)
        if len(written) == 8:
            handle.write(b"half of it")
            raise OSError(28, "No space left on device", str(handle.name))
        save(state, handle)

    monkeypatch.setattr(torch, "save", fills_up)
    with pytest.raises(DataError, match="disk is full"):
        run(dumps, tmp_path)
    monkeypatch.undo()
    kept = checkpoint.numbered(tmp_path / "checkpoints", checkpoint.RESUME)
    assert kept
    assert all(checkpoint.load(path)["place"]["update"] == number for number, path in kept)
    run(dumps, tmp_path)
    check_same(outcome(tmp_path), whole)
