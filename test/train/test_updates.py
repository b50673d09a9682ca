"""What an update passes, and normalisation statistics that are estimated anew when a soft mask has become a hard one."""

from collections import defaultdict

import pytest
import torch
import torch.nn.functional as F

from msrs import config
from msrs.batch_norm import joint_norms
from msrs.data.dataset import UtteranceDataset, collate
from msrs.models.recogniser import Recogniser
from msrs.text.tokenizer import Tokenizer
from msrs.train import trainer as trainer_module
from msrs.train.distributed import World
from msrs.train.options import TrainConfig
from msrs.train.shares import Share
from msrs.train.trainer import Trainer
from msrs.train.updates import Part, Update, estimate_statistics, pass_parts


@pytest.fixture
def make_trainer(dumps, tmp_path):
    tokenizer = Tokenizer.load(dumps / "tokens")

    def make(*overrides):
        options = config.load(TrainConfig, dumps / "train.yaml", ["train.max_epochs=1", *overrides])
        arguments = (tokenizer.encode, "audiovisual", options.augment)
        sets = [UtteranceDataset(dumps / name, *arguments) for name in ("train", "dev")]
        torch.manual_seed(0)
        model = Recogniser(options.model, "audiovisual", tokenizer.size)
        trainer = Trainer(options, model, *sets, tokenizer.decode, tmp_path / "checkpoints", {}, World())
        trainer.resume(None)
        return trainer

    return make


def test_statistics_are_the_mean_of_the_batches_own_without_dropout_and_without_a_draw(make_trainer, monkeypatch):
    trainer = make_trainer("batching.max_frames=60")
    model, norms = trainer.model, joint_norms(trainer.model)
    updates = list(trainer.feed.single_batches(0, 4))
    assert [update.num_batches for update in updates] == [1] * 4
    seen = defaultdict(list)
    batch_norm = F.batch_norm

    def noted(x, running_mean, *others):
        seen[running_mean.data_ptr()].append(x.transpose(0, 1).flatten(1))
        return batch_norm(x, running_mean, *others)

    model.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad(), monkeypatch.context() as patched:
        patched.setattr(F, "batch_norm", noted)
        for update in updates:
            model(update.parts[0].batch)
    model.train()
    random = torch.get_rng_state()
    estimate_statistics(model, updates, trainer.world, trainer.autocast)
    assert torch.equal(random, torch.get_rng_state())
    assert model.training and all(norm.training and norm.momentum == 0.1 for norm in norms)
    for norm in norms:
        batches = seen[norm.running_mean.data_ptr()]
        assert len(batches) == 4
        torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(1) for x in batches]).mean(0))
        torch.testing.assert_close(norm.running_var, torch.stack([x.var(1) for x in batches]).mean(0))


def test_norms_of_torch_are_estimated_too_and_nothing_is_passed_where_there_is_no_norm(make_trainer):
    trainer = make_trainer()
    model = trainer.model
    updates = list(trainer.feed.single_batches(0, 2))
    plain = torch.nn.BatchNorm1d(model.ctc.output.in_features)
    encoder = model.encoder.forward
    model.encoder.norm_of_someone = plain
    model.encoder.forward = lambda *inputs: plain(encoder(*inputs).transpose(1, 2)).transpose(1, 2)
    estimate_statistics(model, updates, trainer.world, trainer.autocast)
    assert plain.training
    assert plain.num_batches_tracked == 2
    assert plain.momentum == 0.1

    class Called(torch.nn.Linear):
        def forward(self, *inputs):
            raise AssertionError

    estimate_statistics(Called(2, 2), updates, trainer.world, trainer.autocast)


def test_how_an_update_is_cut_into_batches_changes_neither_its_loss_nor_its_gradient(make_trainer):
    trainer = make_trainer()
    model, train_set, world = trainer.model.eval(), trainer.feed.train_set, trainer.world
    by_length = sorted(range(len(train_set)), key=lambda number: len(train_set[0, number].tokens))
    found = []
    for batches in ([by_length], [by_length[:1], by_length[1:4], by_length[4:]]):
        parts = [
            Part(collate([train_set[0, number] for number in batch]), Share(place, tuple(batch), (0,)))
            for place, batch in enumerate(batches)
        ]
        model.zero_grad()
        means = pass_parts(model, Update(parts, len(parts), True), world, trainer.autocast).means
        found.append((means, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}))
    (one, gradient), (three, other) = found
    assert one.keys() == three.keys()
    for name, value in one.items():
        assert three[name] == pytest.approx(value, rel=1e-5), name
    for name, value in gradient.items():
        torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "is_due"),
    [
        (["sparse.type=msrs", "sparse.steps=2"], True),  # within an epoch
        (["sparse.type=msrs"], True),  # with the run
        (["sparse.type=msrs", "sparse.forward={curve:straight_through}"], False),
        (["sparse.type=continuous", "sparse.target_density=0.5"], True),
        (["sparse.type=rigl", "sparse.interval=2"], False),
    ],
)
def test_they_are_estimated_once_when_a_soft_mask_ends(make_trainer, monkeypatch, settings, is_due):
    calls = []

    def estimate(model, updates, *others):
        calls.append(trainer.sparse.phase)
        before = joint_norms(model)[0].running_mean.clone()
        estimate_statistics(model, updates, *others)
        assert not torch.equal(before, joint_norms(model)[0].running_mean)

    monkeypatch.setattr(trainer_module, "estimate_statistics", estimate)
    trainer = make_trainer(*settings, "train.ema=0.5")
    trainer.run()
    assert trainer.sparse.phase != "search"
    assert calls == [trainer.sparse.phase] * is_due
