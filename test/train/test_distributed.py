"""Two processes and one train the same model; what happens to one of them happens to all."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from msrs import config
from msrs.errors import TrainingError
from msrs.sparse.mask_file import load_masks
from msrs.train.checkpoint import load
from msrs.train.distributed import World
from msrs.train.experiment import train
from msrs.train.options import TrainConfig
from msrs.train.random_state import read_random, set_random

ROOT = Path(__file__).resolve().parents[2]
# Without dropout, so that nothing but rounding differs; Adam makes steps of full size out of rounding where a gradient
# is zero in theory (biases before a norm), unless its epsilon is larger than that.
STILL = [
    *("train.watch_every_updates=0", "train.save_every_updates=1000", "optim.eps=1e-3", "train.average=1"),
    *("model.encoder.dropout=0", "model.decoder.dropout=0", "model.decoder.attention_dropout=0", "model.ctc.dropout=0"),
    *("model.video_frontend.dropout=0", "model.audio_frontend.dropout=0", "batching.max_frames=60"),
]
CASES = {
    # Six batches an epoch, each split between two processes: 24 updates.
    "split": ["train.max_epochs=4", "train.validate_every_epochs=4"],
    # Whole batches, one a process: nothing but running statistics is added up in another way, so nothing is magnified.
    "dealt": ["train.accumulate=2", "train.max_epochs=3", "train.validate_every_epochs=3", "optim.eps=1e-8"],
    # Of three batches an update two are dealt out and one is split.
    "msrs": [
        *("train.accumulate=3", "train.max_epochs=10", "train.validate_every_epochs=10", "sparse.type=msrs"),
        *("sparse.steps=15", "sparse.calibration_steps=2", "sparse.finish=sparse", "sparse.phi_travel=8"),
    ],
    "snip": ["sparse.type=snip", "sparse.num_batches=3", "train.max_epochs=1"],
    "rigl": [
        "sparse.type=rigl",
        "sparse.interval=2",
        "train.max_epochs=1",
        "train.accumulate=2",
        "model.encoder.checkpoint=true",
    ],
}
PROGRAM = """
import json, sys
from pathlib import Path
from msrs import config
from msrs.errors import TrainingError
from msrs.train.distributed import joined_world
from msrs.train.experiment import train
from msrs.train.options import TrainConfig
dumps, out, cases = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
with joined_world(use_gpu=False) as (world, device):
    for name, overrides in cases.items():
        options = config.load(TrainConfig, dumps / "train.yaml", overrides)
        try:
            train(options, dumps / "train", dumps / "dev", dumps / "tokens", out / name, device, ["test"], world)
        except TrainingError as error:
            print(f"process {world.rank}: {error}")
"""


def metrics(exp, kind):
    lines = [json.loads(line) for line in (exp / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture(scope="module")
def alone(dumps, tmp_path_factory):
    """Folder of the cases trained by one process."""
    out = tmp_path_factory.mktemp("alone")
    for name, overrides in CASES.items():
        options = config.load(TrainConfig, dumps / "train.yaml", [*STILL, *overrides])
        train(options, dumps / "train", dumps / "dev", dumps / "tokens", out / name, "cpu", ["test"])
    return out


def test_two_processes_train_as_one(dumps, tmp_path, alone, run_processes):
    cases = {name: [*STILL, *overrides] for name, overrides in CASES.items()}
    run_processes(PROGRAM, 2, str(dumps), str(tmp_path), json.dumps(cases))
    for name in cases:
        one, two = (load(folder / name / "checkpoints" / "average.pt")["model"] for folder in (alone, tmp_path))
        gap = sum(float((two[key].double() - value.double()).square().sum()) for key, value in one.items())
        size = sum(float(value.double().square().sum()) for value in one.values())
        assert (gap / size) ** 0.5 < 1e-6, name
        for key, value in one.items():
            torch.testing.assert_close(
                two[key], value, rtol=1e-3, atol=3e-5, msg=lambda text, key=key: f"{key}: {text}"
            )
        for kind in ("train", "dev"):
            first, second = metrics(alone / name, kind), metrics(tmp_path / name, kind)
            assert len(first) == len(second)
            for line, other in zip(first, second, strict=True):
                assert line.keys() == other.keys()
                assert line["loss"] == pytest.approx(other["loss"], rel=1e-5)
                assert line["accuracy"] == pytest.approx(other["accuracy"], abs=1e-6)
                assert line.get("frames") == other.get("frames")
        if name == "dealt":
            assert all(torch.equal(two[key], value) for key, value in one.items() if "running" not in key)
    assert len(metrics(alone / "split", "train")) >= 20
    assert len(metrics(alone / "msrs", "train")) >= 20
    one, two = (load_masks(folder / "msrs" / "masks.npz") for folder in (alone, tmp_path))
    assert all(torch.equal(mask, two[name]) for name, mask in one.items())
    assert 0 < sum(int(mask.sum()) for mask in one.values()) < sum(mask.numel() for mask in one.values())


def test_a_loss_that_is_not_finite_stops_all(dumps, tmp_path, run_processes):
    cases = {"bad": ["optim.lr=1e30", "train.clip_norm=1e30", "train.accumulate=2"]}
    told = run_processes(PROGRAM, 2, str(dumps), str(tmp_path), json.dumps(cases))
    first, second = (next(line for line in text.splitlines() if "bad_batch" in line) for text in told)
    assert first.partition(":")[2] == second.partition(":")[2]
    assert (tmp_path / "bad/checkpoints/bad_batch.pt").exists() or (
        tmp_path / "bad/checkpoints/bad_batch_process1.pt"
    ).exists()


class Door:
    """msrs-train in two processes."""

    def __init__(self, dumps, exp, *overrides):
        words = ["--config", dumps / "train.yaml", "--train", dumps / "train", "--dev", dumps / "dev"]
        words += ["--tokens", dumps / "tokens", "--exp", exp, "--ngpu", "0", "--processes", "2"]
        words += ["--train-args", *overrides] if overrides else []
        environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")} | {
            "OMP_NUM_THREADS": "1"
        }
        self.exp = exp
        self.process = subprocess.Popen(
            [sys.executable, "-m", "msrs.bin.train", *map(str, words)],
            cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def workers(self):
        """Process numbers of the two, in the order of their start."""
        table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        rows = [tuple(map(int, line.split())) for line in table.splitlines()]
        return sorted(pid for pid, parent in rows if parent == self.process.pid)

    def wait_for_updates(self, count, timeout=200):
        """Until so many updates are in metrics.jsonl."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.process.poll() is None:
            path = self.exp / "metrics.jsonl"
            if path.exists() and path.read_text().count('"kind": "train"') >= count:
                return
            time.sleep(0.05)
        raise AssertionError(f"no {count} updates in time")

    def end(self, timeout=300):
        """Exit code, and what was said."""
        try:
            told = self.process.communicate(timeout=timeout)[1]
        finally:
            self.process.kill()
        return self.process.returncode, told


def test_killed_processes_take_all_down_and_a_restart_ends_as_if_nothing_had_happened(dumps, tmp_path):
    code, told = Door(dumps, tmp_path / "whole").end()
    assert code == 0, told
    assert told.count("vision_gap") == 3  # one process tells it, not two
    killed = Door(dumps, tmp_path / "killed")
    killed.wait_for_updates(4)
    os.kill(killed.workers()[-1], signal.SIGKILL)
    start = time.monotonic()
    code, told = killed.end()
    assert code == 1
    assert time.monotonic() - start < 40
    assert "SIGKILL" in told and "Traceback" not in told
    again = Door(dumps, tmp_path / "killed")
    again.wait_for_updates(6)
    workers = again.workers()
    os.kill(again.process.pid, signal.SIGKILL)  # the launcher: its processes must not go on alone
    again.end()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    code, told = Door(dumps, tmp_path / "killed").end()
    assert code == 0, told
    assert "resumed after update" in told
    whole, torn = (load(tmp_path / name / "checkpoints" / "average.pt")["model"] for name in ("whole", "killed"))
    assert all(torch.equal(value, torn[name]) for name, value in whole.items())
    first, second = (
        [{k: v for k, v in line.items() if k != "seconds"} for line in metrics(tmp_path / name, "train")]
        for name in ("whole", "killed")
    )
    assert first == second


def test_what_one_process_refuses_is_told_once(dumps, tmp_path):
    code, told = Door(dumps, tmp_path / "exp", "schedule.warmup_updates=500").end()
    assert code == 1
    assert told.count("the peak rate would never be reached") == 1
    assert "Traceback" not in told


def test_what_the_main_process_alone_meets_is_told_without_the_others_ends(dumps, tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    code, told = Door(dumps, tmp_path / "file/exp").end()
    assert code == 1
    assert told.count("file/exp: cannot be written") == 1
    assert "Traceback" not in told


def test_other_weights_in_another_process_are_noticed(monkeypatch):
    world, weights = World(rank=0, size=2), [torch.ones(1), torch.tensor(3)]
    monkeypatch.setattr(world, "gather", lambda own: [own, own])
    world.check_same(weights)
    monkeypatch.setattr(world, "gather", lambda own: [own, [own[0] + 1, *own[1:]]])
    with pytest.raises(TrainingError, match="process 1 holds other weights"):
        world.check_same(weights)


def test_a_run_goes_on_with_another_number_of_processes_and_says_what_changes(log):
    states = read_random(torch.device("cpu"), World())
    set_random(states, torch.device("cpu"), World(), 1, 7)
    first = torch.rand(3)
    set_random(states, torch.device("cpu"), World(), 1, 7)
    assert torch.equal(first, torch.rand(3))
    assert not log.text
    set_random(states * 2, torch.device("cpu"), World(), 1, 7)
    assert not torch.equal(first, torch.rand(3))
    assert "stopped with 2 processes and goes on with 1" in log.text


def test_a_world_of_one_asks_nobody():
    world = World()
    assert world.gather("a") == ["a"]
    assert world.sums([1.0, 2.0]) == [1.0, 2.0]
    world.check_same([torch.ones(1)])
