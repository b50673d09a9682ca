"""Models that a run keeps: a mean never mixes masks, and a mask that never moved costs no model."""

import pytest
import torch

from msrs import config
from msrs.errors import TrainingError
from msrs.train import checkpoint
from msrs.train.experiment import train
from msrs.train.kept import KeptModels
from msrs.train.options import TrainConfig


def test_models_with_weights_outside_the_mask_are_forgotten(tmp_path):
    kept, mask = KeptModels(tmp_path, 3), torch.tensor([True, True, False])
    scores = {}
    for epoch, weights in ((1, [1.0, 1.0, 1.0]), (2, [2.0, 0.0, 0.0]), (3, [4.0, 2.0, 0.0])):
        scores[epoch] = 1.0 / epoch
        kept.keep({"w": torch.tensor(weights), "b": torch.ones(2)}, epoch, scores)
    assert kept.forget({"w": mask}) == [2, 3]
    kept.average()
    assert checkpoint.load(tmp_path / "average.pt")["model"]["w"].tolist() == [3.0, 1.0, 0.0]
    assert kept.forget(None) == [] and not list(tmp_path.glob("epoch_*.pt"))


def test_a_damaged_model_is_left_out_of_the_mean_and_told(tmp_path, log):
    kept = KeptModels(tmp_path, 3)
    for epoch in (1, 2, 3):
        kept.keep({"w": torch.full((3,), float(epoch))}, epoch, {1: 0.3, 2: 0.2, 3: 0.1})
    (tmp_path / "epoch_00002.pt").write_bytes(b"half")
    kept.average()
    assert checkpoint.load(tmp_path / "average.pt")["model"]["w"].tolist() == [2.0, 2.0, 2.0]
    assert "left out: " in log.text and "epoch_00002.pt: not a whole checkpoint" in log.text
    assert kept.forget({"w": torch.ones(3, dtype=torch.bool)}) == [1, 3]


def test_a_run_without_any_whole_model_says_what_is_left(tmp_path):
    with pytest.raises(TrainingError, match=r"epoch_N.pt.*--checkpoint resume_N"):
        KeptModels(tmp_path, 3).average()


@pytest.mark.parametrize(
    ("words", "epochs"),
    [
        (["sparse.type=static"], "2, 3"),  # the mask of the whole run never moves
        (["sparse.type=set", "sparse.interval=1", "sparse.end=1.0"], "3"),
        (["sparse.type=static", "sparse.epochs=2", "sparse.finish=dense"], "2, 3"),  # free since the end of epoch 2
    ],
)
def test_a_run_is_the_mean_of_its_last_models_of_one_mask(dumps, tmp_path, caplog, words, epochs):
    caplog.set_level("INFO")
    options = config.load(TrainConfig, dumps / "train.yaml", ["train.select_by=last", *words])
    train(options, dumps / "train", dumps / "dev", dumps / "tokens", tmp_path, "cpu", ["test"])
    assert f"is the mean of epochs {epochs}\n" in caplog.text
