"""Averages of checkpoints, and models that are refused."""

import pytest
import torch

from msrs.errors import TrainingError
from msrs.train.average import average_files, average_weights, best_epochs
from msrs.train.checkpoint import load_weights, save


def test_the_mean_of_weights_keeps_zeros_and_counters(tmp_path):
    for number in (1, 2):
        weight = torch.tensor([0.0, float(number)], dtype=torch.float32)
        save({"model": {"w": weight, "count": torch.tensor(number)}}, tmp_path / f"{number}.pt")
    mean = average_weights([tmp_path / "1.pt", tmp_path / "2.pt"])
    assert mean["w"].tolist() == [0.0, 1.5]
    assert mean["w"].dtype == torch.float32
    assert mean["count"] == 2


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"model": {"v": torch.ones(1)}}, "other parameters"),
        ({"model": {"w": torch.ones(2)}}, "other parameters"),
        ({"w": torch.ones(1)}, "without a model"),
        ({"model": {"w": 1.0}}, "without a model"),
        ({"model": {"w": torch.tensor([torch.nan])}}, "w has values that are not finite"),
        ([1, 2], "not a whole checkpoint .a list"),
    ],
)
def test_other_models_are_not_averaged(tmp_path, second, told):
    save({"model": {"w": torch.ones(1)}}, tmp_path / "1.pt")
    save(second, tmp_path / "2.pt")
    with pytest.raises(TrainingError, match=rf"2.pt: .*{told}"):
        average_weights([tmp_path / "1.pt", tmp_path / "2.pt"])


def test_each_file_is_read_once(tmp_path, monkeypatch):
    for number in (1, 2):
        save({"model": {"w": torch.ones(1)}}, tmp_path / f"{number}.pt")
    read = []
    monkeypatch.setattr("msrs.train.average.load_weights", lambda path: read.append(path.name) or load_weights(path))
    average_files([tmp_path / "1.pt", tmp_path / "2.pt"], tmp_path / "mean.pt")
    assert read == ["1.pt", "2.pt"]


def test_a_mean_over_several_runs_is_told_to_be_of_little_use(tmp_path, log):
    paths = [tmp_path / run / "checkpoints/epoch_00001.pt" for run in "ab"]
    for path in paths:
        save({"model": {"w": torch.ones(1)}}, path)
    average_files(paths[:1] * 2, tmp_path / "mean.pt")
    assert "WARNING" not in log.text
    average_files(paths, tmp_path / "mean.pt")
    assert "of several runs" in log.text


def test_the_best_epochs_are_those_of_the_lowest_score():
    assert best_epochs({1: 3.0, 2: 1.0, 3: 2.0, 4: 1.0}, 2) == [2, 4]
    assert best_epochs({1: 3.0}, 5) == [1]
