"""The running mean of weights: what it is, its zeros, and that a run with it goes on exactly."""

import json

import pytest
import torch
from torch import nn

from msrs import config
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.mask_file import load_masks
from msrs.sparse.msrs import Msrs
from msrs.train.checkpoint import load
from msrs.train.ema import RunningMean
from msrs.train.experiment import train
from msrs.train.options import TrainConfig
from msrs.train.trainer import Trainer


def attached(name, finish):
    """A model with a sparse method whose phase has three steps."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(8, 8), nn.BatchNorm1d(8)])})
    own = {"granularity": "weight", "strength": 0.1} if name == "msrs" else {}
    options = SPARSE_METHODS[name].Config(include=("*.0.weight",), steps=3, finish=finish, **own)
    sparse = SPARSE_METHODS.build(options)
    sparse.attach(model, 10, 5, seed=1)
    return model, sparse


@pytest.fixture
def static():
    """A model with a fixed random mask."""
    return attached("static", "sparse")


def step(model, sparse, number):
    sparse.before_forward(number)
    sparse.after_backward(number)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    sparse.after_step(number, None)


def test_it_is_the_exponential_mean(static):
    model, sparse = static
    mean = RunningMean(model, sparse, 0.9)
    name = "blocks.0.bias"
    expected = model.state_dict()[name].clone()
    for number in range(2):
        step(model, sparse, number)
        mean.update()
        decay = (2 + number) / (11 + number)  # of the first steps, in which the mean is to follow
        expected = decay * expected + (1 - decay) * model.state_dict()[name]
    torch.testing.assert_close(mean.mean[name], expected)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with mean.applied():
        assert torch.equal(model.state_dict()[name], mean.mean[name])
        assert torch.equal(model.state_dict()["blocks.1.running_mean"], mean.mean["blocks.1.running_mean"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_zeros_of_the_mask_are_zeros_of_the_mean_in_every_phase(static):
    model, sparse = static
    mean = RunningMean(model, sparse, 0.9)
    for number in range(6):
        step(model, sparse, number)
        mean.update()
        masks = sparse.masks()
        assert all(torch.equal(mean.mean[name] != 0, mask) for name, mask in masks.items()), sparse.phase
    assert sparse.phase == "sparse"


@pytest.mark.parametrize(("name", "finish"), [("static", "dense"), ("msrs", "sparse"), ("msrs", "dense")])
def test_it_begins_anew_where_the_end_of_the_mask_phase_changes_the_network(name, finish):
    model, sparse = attached(name, finish)
    mean = RunningMean(model, sparse, 0.9)
    for number in range(3):
        step(model, sparse, number)
        mean.update()
    assert mean.count == 0 and sparse.phase == finish
    assert all(torch.equal(value, mean.mean[name]) for name, value in model.state_dict().items() if name in mean.mean)


def test_it_goes_on_where_zeros_have_been_exact_all_along(static):
    model, sparse = static
    mean = RunningMean(model, sparse, 0.9)
    for number in range(3):
        before = mean.mean["blocks.0.weight"].clone()
        step(model, sparse, number)
        mean.update()
    assert sparse.phase == "sparse" and mean.count == 3
    decay = 4 / 13
    expected = decay * before + (1 - decay) * model.state_dict()["blocks.0.weight"]
    torch.testing.assert_close(mean.mean["blocks.0.weight"], expected)


def test_a_killed_run_with_a_running_mean_ends_bitwise_the_same(dumps, tmp_path, monkeypatch):
    words = [
        "train.ema=0.8",
        "sparse.type=msrs",
        "sparse.steps=5",
        "sparse.calibration_steps=2",
        "sparse.finish=sparse",
    ]
    options = config.load(TrainConfig, dumps / "train.yaml", words)

    def run(exp):
        train(options, dumps / "train", dumps / "dev", dumps / "tokens", exp, "cpu", ["test"])

    run(tmp_path / "whole")
    original = Trainer.update

    def dies(self, update):
        if self.place.update == 7:
            raise KeyboardInterrupt
        original(self, update)

    monkeypatch.setattr(Trainer, "update", dies)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed")
    monkeypatch.setattr(Trainer, "update", original)
    run(tmp_path / "killed")
    whole, killed = (load(tmp_path / name / "checkpoints/average.pt")["model"] for name in ("whole", "killed"))
    assert all(torch.equal(value, killed[name]) for name, value in whole.items())
    newest = load(sorted((tmp_path / "whole/checkpoints").glob("resume_*.pt"))[-1])
    kept = load(sorted((tmp_path / "whole/checkpoints").glob("epoch_*.pt"))[-1])["model"]
    assert any(not torch.equal(value, newest["model"][name]) for name, value in kept.items())
    assert all(torch.equal(value, kept[name]) for name, value in newest["ema"]["mean"].items())
    lines = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    density = [line for line in lines if line["kind"] == "sparse"][-1]["density"]
    masked = [value for name, value in kept.items() if name in newest["sparse"]["mask"]]
    assert density < 1
    assert sum(int((value == 0).sum()) for value in masked) >= (1 - density) * 0.999 * sum(v.numel() for v in masked)


def test_a_phase_that_ends_between_steps_leaves_its_zeros_in_what_is_kept(dumps, tmp_path, monkeypatch):
    monkeypatch.setattr(
        Msrs, "judge_epoch", lambda self, epoch, optimizer: self.finish(optimizer)
    )  # as stop_flips does
    words = ["train.ema=0.8", "sparse.type=msrs", "sparse.epochs=2", "sparse.finish=sparse", "train.max_epochs=1"]
    options = config.load(TrainConfig, dumps / "train.yaml", words)
    train(options, dumps / "train", dumps / "dev", dumps / "tokens", tmp_path, "cpu", ["test"])
    masks = load_masks(tmp_path / "masks.npz")
    kept = load(tmp_path / "checkpoints/average.pt")["model"]
    assert sum(int((~mask).sum()) for mask in masks.values()) > 0
    assert all(not kept[name][~mask].any() for name, mask in masks.items())
