"""A run that masked whole units, exported: fewer weights, the same outputs, loaded as any checkpoint."""

import torch

from msrs import config
from msrs.bin.export import main
from msrs.data.dataset import UtteranceDataset, collate
from msrs.train.checkpoint import load_model
from msrs.train.experiment import train
from msrs.train.options import TrainConfig

UNITS = ["sparse.type=msrs", "sparse.granularity=neuron", "sparse.strength=steered", "sparse.target_density=0.3"]
UNITS += ["sparse.epochs=2", "sparse.phi_travel=8", "sparse.calibration_steps=1"]


def run(dumps, exp, *words):
    options = config.load(TrainConfig, dumps / "train.yaml", words)
    train(options, dumps / "train", dumps / "dev", dumps / "tokens", exp, "cpu", ["test"])


def test_an_exported_run_is_smaller_and_says_the_same(dumps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(dumps, tmp_path, *UNITS, "sparse.finish=sparse")
    assert main(["--exp", str(tmp_path)]) == 0
    wide, tokenizer, options = load_model(tmp_path)
    slim, _, _ = load_model(tmp_path, "average_narrow")
    assert main(["--exp", str(tmp_path), "--checkpoint", "checkpoints/epoch_00003.pt"]) == 0
    assert (tmp_path / "checkpoints/epoch_00003_narrow.pt").exists()
    dev = UtteranceDataset(dumps / "dev", tokenizer.encode, options.modality, options.augment)
    batch = collate([dev[None, index] for index in range(len(dev))])
    with torch.no_grad():
        (one, lengths), (two, _) = wide.encode(batch), slim.encode(batch)
        for model, memory in ((wide, one), (slim, two)):
            assert torch.isfinite(model.losses(batch, memory, lengths).total)
        assert torch.allclose(one, two, atol=1e-5)
        assert torch.allclose(wide(batch).total, slim(batch).total, atol=1e-5)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (wide, slim)]
    assert sizes[1] < sizes[0]
    files = [(tmp_path / f"checkpoints/{name}.pt").stat().st_size for name in ("average", "average_narrow")]
    assert files[1] < files[0]


def test_a_run_without_empty_units_is_refused(dumps, tmp_path, caplog):
    run(dumps, tmp_path, "train.max_epochs=1")
    assert main(["--exp", str(tmp_path)]) == 1
    assert "average has no empty unit to cut out" in caplog.text
    assert not (tmp_path / "checkpoints/average_narrow.pt").exists()
