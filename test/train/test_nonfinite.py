"""A loss that is not finite: the utterances that give it by themselves are named, and their batches alone are kept."""

import json

import numpy as np
import pytest
import torch

from msrs import config
from msrs.data.dataset import UtteranceDataset
from msrs.errors import TrainingError
from msrs.train import nonfinite
from msrs.train.checkpoint import load
from msrs.train.experiment import train
from msrs.train.options import TrainConfig

PROGRAM = """
import json, sys
from pathlib import Path
from msrs import config
from msrs.data.dataset import UtteranceDataset
from msrs.errors import TrainingError
from msrs.train.distributed import joined_world
from msrs.train.experiment import train
from msrs.train.options import TrainConfig
dumps, out, shard = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "shard"
get = UtteranceDataset.__getitem__
def damaged(self, key):
    utterance = get(self, key)
    if utterance.utt_id == "a-11":
        utterance.video[:] = float("nan")
    return utterance
UtteranceDataset.__getitem__ = damaged
options = config.load(TrainConfig, dumps / "train.yaml", json.loads(sys.argv[4]))
with joined_world(use_gpu=False, is_sharded=shard) as (world, device):
    try:
        train(options, dumps / "train", dumps / "dev", dumps / "tokens", out, device, ["test"], world)
    except TrainingError as error:
        print(f"process {world.rank}: {error}")
"""


def run(dumps, exp, *overrides):
    options = config.load(TrainConfig, dumps / "train.yaml", overrides)
    train(options, dumps / "train", dumps / "dev", dumps / "tokens", exp, "cpu", ["test"])


def kept(exp, name="bad_batch.pt"):
    """Utterances of each batch that was kept."""
    return [batch["utt_ids"] for batch in load(exp / "checkpoints" / name)["batches"]]


@pytest.fixture
def damaged(monkeypatch):
    """The video of one training utterance is no number."""
    get = UtteranceDataset.__getitem__

    def getitem(self, key):
        utterance = get(self, key)
        if utterance.utt_id == "a-11":
            utterance.video[:] = float("nan")
        return utterance

    monkeypatch.setattr(UtteranceDataset, "__getitem__", getitem)


@pytest.mark.parametrize("words", [[], ["train.precision=bfloat16"], ["sparse.type=msrs", "sparse.steps=5"]])
def test_the_one_of_many_is_named_and_its_batch_alone_kept(dumps, tmp_path, damaged, words):
    with pytest.raises(TrainingError) as told:
        run(dumps, tmp_path, "batching.max_frames=60", "train.accumulate=32", "augment.speed=0", *words)
    assert "Of 14 utterances these give such a loss by themselves: a-11. The batch is in" in str(told.value)
    assert str(told.value).count("a-") == 1
    (batch,) = kept(tmp_path)
    assert "a-11" in batch and len(batch) < 5


def test_the_model_is_left_as_it_was(dumps, tmp_path, damaged, monkeypatch):
    def states(model):
        buffers = {name: value.clone() for name, value in model.state_dict().items()}
        return buffers, torch.get_rng_state(), model.training

    seen = []
    search = nonfinite._not_finite

    def watched(model, *arguments):
        before = states(model)
        found = search(model, *arguments)
        seen.append((before, states(model)))
        return found

    monkeypatch.setattr(nonfinite, "_not_finite", watched)
    with pytest.raises(TrainingError):
        run(dumps, tmp_path)
    assert len(seen) == 2
    for (weights, random, mode), (others, other_random, other_mode) in seen:
        assert all(np.array_equal(value, others[name], equal_nan=True) for name, value in weights.items())
        assert torch.equal(random, other_random) and mode == other_mode


def test_weights_that_have_run_away_are_not_laid_at_the_data_s_door(dumps, tmp_path):
    with pytest.raises(TrainingError, match="Every utterance of the update .*the weights that have run away") as told:
        run(dumps, tmp_path, "optim.lr=1e30", "train.clip_norm=1e30", "train.accumulate=32")
    assert "a-" not in str(told.value) and "optim.lr" in str(told.value)
    assert len(kept(tmp_path)) == 1


def test_a_gradient_alone_that_is_not_finite_is_told_as_such(dumps, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    with pytest.raises(TrainingError, match="gradient norm inf. No utterance gives such a loss by itself") as told:
        run(dumps, tmp_path, "batching.max_frames=60", "train.accumulate=32")
    assert str(told.value).count("a-") == nonfinite.MOST_NAMES
    assert "and 4 more" in str(told.value)
    assert sorted(utt_id for batch in kept(tmp_path) for utt_id in batch) == [f"a-{number:02d}" for number in range(14)]


@pytest.mark.parametrize("kind", ["whole", "shard"])
def test_all_processes_stop_and_name_the_same(dumps, tmp_path, run_processes, kind):
    words = ["batching.max_frames=60", "train.accumulate=32", "augment.speed=0"]
    told = run_processes(PROGRAM, 2, str(dumps), str(tmp_path), kind, json.dumps(words))
    first, second = (next(line for line in text.splitlines() if "bad_batch" in line) for text in told)
    assert first.partition(":")[2] == second.partition(":")[2]
    assert "Of 14 utterances these give such a loss by themselves: a-11." in first
    (path,) = (tmp_path / "checkpoints").glob("bad_batch*.pt")
    (batch,) = kept(tmp_path, path.name)
    assert "a-11" in batch
