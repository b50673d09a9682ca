"""msrs-average: which checkpoints, and where the mean goes."""

import json

import pytest
import torch

from msrs.bin.average import main
from msrs.train.checkpoint import load, save


@pytest.fixture
def exp(tmp_path):
    """Four kept models whose weight is their epoch; the second is the best by errors, the fourth by loss."""
    for epoch in (1, 2, 3, 4):
        weights = {"w": torch.full((2, 2), float(epoch)), "n": torch.tensor(epoch)}
        save({"model": weights}, tmp_path / f"checkpoints/epoch_{epoch:05d}.pt")
    lines = [{"kind": "dev", "epoch": epoch, "wer": abs(epoch - 2), "loss": -epoch} for epoch in (1, 2, 3, 4)]
    text = "".join(json.dumps(line) + "\n" for line in [{"kind": "train", "epoch": 1}, *lines])
    (tmp_path / "metrics.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--last", "2"], "last2", 3.5),
        (["--best", "1"], "best1", 2.0),
        (["--best", "2"], "best2", 2.5),
        (["--best", "2", "--by", "loss", "--name", "mine"], "mine", 3.5),
        (["--last", "2", "--name", "mine.pt"], "mine", 3.5),
    ],
)
def test_the_best_or_the_last(exp, words, name, value):
    assert main(["--exp", str(exp), *words]) == 0
    mean = load(exp / f"checkpoints/{name}.pt")["model"]
    assert mean["w"].unique().tolist() == [value]


def test_files_of_ones_choice(exp, tmp_path):
    files = [str(exp / f"checkpoints/epoch_0000{epoch}.pt") for epoch in (1, 4)]
    assert main(["--checkpoints", *files, "--out", str(tmp_path / "mean.pt")]) == 0
    assert load(tmp_path / "mean.pt")["model"]["w"].unique().tolist() == [2.5]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--last", "9"], "9 models are to be averaged, 4 are there"),
        (["--best", "0"], "at least 1"),
        (["--checkpoints", "a.pt"], "--out"),
        (["--best", "1", "--name", "a/b"], "--name a/b: expected a word without a slash"),
        (["--best", "1", "--by", "loss", "--name", "epoch_00001.pt/x"], "without a slash"),
        (
            ["--best", "1", "--name", "resume_00000099"],
            "resume_00000099.pt: resume_N and epoch_N are names of the run's own",
        ),
        (["--last", "1", "--name", "epoch_00002"], "epoch_00002.pt: resume_N and epoch_N are names of the run's own"),
        (["--last", "1", "--name", "average.pt"], "--name average: that"),
        (["--checkpoints", "a.pt", "--out", "b/mean"], "b/mean: expected a name that ends in .pt"),
        (["--last", "1", "--name", "average"], "--name average: that is the model that the run itself has made"),
        (["--last", "1", "--out", "mean.pt"], "--out goes with --checkpoints"),
        (["--checkpoints", "a.pt", "--out", "b/resume_1.pt"], "b/resume_1.pt: resume_N and epoch_N are names"),
    ],
)
def test_what_cannot_be_is_told(exp, log, words, told):
    before = sorted(exp.rglob("*"))
    assert main(["--exp", str(exp), *words]) == 1
    assert told in log.text
    assert sorted(exp.rglob("*")) == before


def test_models_with_other_masks_make_a_denser_mean_and_a_warning(exp, log):
    for epoch in (3, 4):
        weights = {"w": torch.tensor([[0.0, 1.0], [1.0, 0.0]] if epoch == 3 else [[1.0, 0.0], [0.0, 1.0]])}
        save({"model": weights}, exp / f"checkpoints/epoch_{epoch:05d}.pt")
    assert main(["--exp", str(exp), "--last", "2"]) == 0
    assert "denser" in log.text


@pytest.mark.parametrize(
    ("metrics", "told"), [(None, "cannot be read"), ('{"kind": "dev"}\n', "no wer of enough of the models")]
)
def test_without_scores_there_is_no_best(exp, log, metrics, told):
    (exp / "metrics.jsonl").unlink()
    if metrics:
        (exp / "metrics.jsonl").write_text(metrics, encoding="utf-8")
    assert main(["--exp", str(exp), "--best", "1"]) == 1
    assert "metrics.jsonl: " in log.text and told in log.text


def test_a_mean_cannot_take_a_folders_name(exp, log):
    assert main(["--checkpoints", str(exp / "checkpoints/epoch_00001.pt"), "--out", str(exp / "checkpoints")]) == 1
    assert "choose another" in log.text
