"""Looking into a run changes nothing of it, and what is seen is right."""

import contextlib
import dataclasses
import json

import pytest
import torch
from torch import nn

from msrs import config
from msrs.data.dataset import UtteranceDataset, collate
from msrs.models.recogniser import Recogniser
from msrs.text.tokenizer import Tokenizer
from msrs.train.checkpoint import load
from msrs.train.experiment import train
from msrs.train.options import TrainConfig
from msrs.train.watch import branch_shares, histograms, split, watch_update


def run(dumps, exp, *overrides):
    options = config.load(TrainConfig, dumps / "train.yaml", overrides)
    train(options, dumps / "train", dumps / "dev", dumps / "tokens", exp, "cpu", ["msrs-train", "--probe"])
    lines = [json.loads(line) for line in (exp / "metrics.jsonl").read_text().splitlines()]
    return load(exp / "checkpoints" / "average.pt")["model"], lines


@pytest.fixture
def model_and_batch(dumps):
    options = config.load(TrainConfig, dumps / "train.yaml")
    tokenizer = Tokenizer.load(dumps / "tokens")
    data = UtteranceDataset(dumps / "train", tokenizer.encode, options.modality, options.augment)
    torch.manual_seed(0)
    model = Recogniser(options.model, options.modality, tokenizer.size)
    return model.train(), collate([data[None, i] for i in range(5)])


def test_a_watched_run_is_bitwise_the_run_that_nobody_watches(dumps, tmp_path):
    msrs = ["sparse.type=msrs", "sparse.steps=5", "sparse.calibration_steps=2"]
    seen, lines = run(dumps, tmp_path / "seen", "train.watch_every_updates=1", *msrs)
    unseen, few = run(dumps, tmp_path / "unseen", "train.watch_every_updates=0", *msrs)
    assert all(torch.equal(value, unseen[name]) for name, value in seen.items())
    assert {line["kind"] for line in few} == {"train", "dev", "sparse"}
    watched = [line for line in lines if line["kind"] == "watch"]
    assert [line["num_updates"] for line in watched] == list(range(len(watched)))
    for name in ("grad_norm/encoder.blocks.0", "branch_share/encoder.blocks.0.attention"):
        assert all(line[name] > 0 for line in watched), name
    ratios = [line["grad_snr/encoder.blocks.0"] for line in watched if "grad_snr/encoder.blocks.0" in line]
    assert min(ratios) > 0 and len(ratios) >= len(watched) - 3  # an update of a single utterance has none
    spread = [line for line in lines if line["kind"] == "histogram"]
    assert [line["epoch"] for line in spread] == [1, 2, 3]
    assert "encoder.blocks.0" in spread[0]["weights"]
    assert spread[0]["logits"] and not spread[-1]["logits"]


def test_the_passes_leave_no_trace(model_and_batch):
    model, batch = model_and_batch
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    watch_update(model, [batch], contextlib.nullcontext)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_the_norm_is_that_of_the_update_where_nothing_is_drawn(model_and_batch):
    model, batch = model_and_batch
    model.eval()  # no dropout, fixed statistics: the parts' gradients add up to the whole one
    numbers = watch_update(model, [batch], contextlib.nullcontext)
    model(batch).total.backward()
    name = "encoder.blocks.0.attention.query.weight"
    norm = float(dict(model.named_parameters())[name].grad.norm())
    assert numbers[f"grad_norm/{name}"] == pytest.approx(norm, rel=1e-3)


def test_a_batch_is_split_without_loss(model_and_batch):
    _, batch = model_and_batch
    parts = split(batch, 3)
    assert [len(part) for part in parts] == [2, 2, 1]
    assert [utt_id for part in parts for utt_id in part.utt_ids] == batch.utt_ids
    assert torch.equal(torch.cat([part.video for part in parts]), batch.video)
    assert len(split(batch, 8)) == 5


def test_branch_shares_are_ratios_of_norms():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm_a, self.scale_a = nn.Identity(), nn.Identity()

        def forward(self, x):
            return x + self.scale_a(3 * self.norm_a(x))

    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Block()])

        def forward(self, x, lengths):
            return self.blocks[0](x)

    model = nn.ModuleDict({"stack": Stack()})
    with branch_shares(model) as shares:
        model["stack"](torch.randn(4, 2), torch.tensor([2, 2, 1, 2]))
    assert shares == {"stack.blocks.0.a": [pytest.approx(3.0)]}
    model["stack"](torch.randn(4, 2), torch.tensor([2, 2, 1, 2]))
    assert len(shares["stack.blocks.0.a"]) == 1


def test_branch_shares_do_not_depend_on_padding(model_and_batch):
    model, batch = model_and_batch
    model.eval()
    lengths = batch.video_lengths - torch.tensor([0, 9, 9, 9, 9])
    batch = dataclasses.replace(batch, video_lengths=lengths, audio_lengths=lengths * 640)
    padded = dataclasses.replace(
        batch,
        video=nn.functional.pad(batch.video, (0, 0, 0, 0, 0, 20)),
        audio=nn.functional.pad(batch.audio, (0, 20 * 640)),
        tokens=nn.functional.pad(batch.tokens, (0, 20)),
    )
    with branch_shares(model) as shares, torch.no_grad():
        model(batch)
        model(padded)
    assert {"encoder.blocks.0.attention", "decoder.blocks.0.self"} < set(shares)
    for name, (share, with_padding) in shares.items():
        assert with_padding == pytest.approx(share, rel=1e-4), name


def test_histograms_count_every_value_by_block():
    tensors = {"e.blocks.0.w": torch.tensor([[0.0, 1.0], [1.0, 0.5]]), "e.blocks.0.v": torch.zeros(2, 2)}
    spread = histograms(tensors)
    assert list(spread) == ["e.blocks.0"]
    assert (spread["e.blocks.0"]["low"], spread["e.blocks.0"]["high"]) == (0.0, 1.0)
    assert sum(spread["e.blocks.0"]["counts"]) == 8
    assert spread["e.blocks.0"]["counts"][0] == 5
    (constant,) = histograms({"e.w": torch.ones(3)}).values()
    assert sum(constant["counts"]) == 3
