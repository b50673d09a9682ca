"""What worker processes meet with is told like anything else: in a sentence, by its own kind of error."""

import multiprocessing
import os
import queue
import signal
import time

import pytest
import torch

from msrs import config
from msrs.data.dataset import UtteranceDataset
from msrs.errors import ConfigError, DataError, TrainingError
from msrs.text.tokenizer import Tokenizer
from msrs.train.distributed import World
from msrs.train.experiment import train
from msrs.train.feed import Feed, lost_workers_told
from msrs.train.options import TrainConfig


@pytest.fixture
def make_feed(dumps):
    """Feed of the tiny dump, with so many workers."""

    def make(num_workers, *words):
        options = config.load(TrainConfig, dumps / "train.yaml", [f"train.num_workers={num_workers}", *words])
        arguments = (Tokenizer.load(dumps / "tokens").encode, options.modality, options.augment, options.seed)
        sets = (UtteranceDataset(dumps / name, *arguments) for name in ("train", "dev"))
        return Feed(options, *sets, torch.device("cpu"), World())

    return make


def test_an_utterance_over_the_budget_is_named_with_what_to_do(make_feed):
    with pytest.raises(ConfigError, match=r"max_frames is 26, .* utterance, a-08, has up to 27.*27 or more"):
        make_feed(0, "batching.max_frames=26")


def test_workers_change_nothing(make_feed):
    alone, helped = (list(make_feed(count).updates(1, 0)) for count in (0, 2))
    assert len(alone) == len(helped) > 1
    for one, other in zip(alone, helped, strict=True):
        for name, value in vars(one.parts[0].batch).items():
            seen = getattr(other.parts[0].batch, name)
            assert torch.equal(value, seen) if isinstance(value, torch.Tensor) else value == seen, name


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_expected_failure_arrives_as_what_it_is(make_feed, monkeypatch, num_workers):
    feed = make_feed(num_workers)

    def damaged(key):
        raise DataError(f"video.ark: ends within {key}.")

    monkeypatch.setattr(feed.train_set, "frames", damaged)
    with pytest.raises(DataError, match=r"^video.ark: ends within a-\d\d\.$"):
        next(feed.updates(0, 0))


def test_a_worker_that_is_killed_is_told(make_feed, monkeypatch):
    feed, trainer = make_feed(1), os.getpid()

    def killed(key):
        if os.getpid() != trainer:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(feed.train_set, "frames", killed)
    with pytest.raises(TrainingError, match=r"has died .*signal: Killed.*train.num_workers"), lost_workers_told():
        next(feed.updates(0, 0))


def test_a_run_whose_worker_is_killed_says_so(dumps, tmp_path, monkeypatch):
    trainer = os.getpid()
    frames = UtteranceDataset.frames

    def killed(self, utt_id):
        if os.getpid() != trainer:
            os.kill(os.getpid(), signal.SIGKILL)
        return frames(self, utt_id)

    monkeypatch.setattr(UtteranceDataset, "frames", killed)
    options = config.load(TrainConfig, dumps / "train.yaml", ["train.num_workers=1"])
    with pytest.raises(TrainingError, match="has died .*goes on from the last checkpoint"):
        train(options, dumps / "train", dumps / "dev", dumps / "tokens", tmp_path / "exp", "cpu", ["test"])


def test_a_worker_that_dies_while_nobody_waits_for_it_is_told(make_feed):
    before = set(children())
    with pytest.raises(TrainingError, match=r"has died .*train.num_workers"), lost_workers_told():
        updates = make_feed(1).updates(0, 0)
        next(updates)
        (worker,) = set(children()) - before
        os.kill(worker, signal.SIGKILL)
        end = time.monotonic() + 20
        while time.monotonic() < end:  # a long update
            time.sleep(0.01)
        next(updates)


def test_a_death_that_only_its_silence_tells_is_told():
    told = r"has died \(DataLoader worker \(pid\(s\) 7\) exited unexpectedly\)"
    with pytest.raises(TrainingError, match=told), lost_workers_told():
        raise RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly") from queue.Empty()


def children():
    """Process numbers of this process's children."""
    return [process.pid for process in multiprocessing.active_children()]


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), ValueError("DataLoader worker")])
def test_other_failures_are_left_alone(error):
    with pytest.raises(type(error), match=str(error)), lost_workers_told():
        raise error
