"""Training: a killed run goes on as if nothing had happened, and what cannot work is refused beforehand."""

import json
import time

import numpy as np
import pytest
import torch

from msrs import config
from msrs.data.dataset import UtteranceDataset, collate
from msrs.errors import ConfigError, DataError, TrainingError
from msrs.models.recogniser import Recogniser
from msrs.sparse.mask_file import load_masks
from msrs.text.tokenizer import Tokenizer
from msrs.train.checkpoint import load, load_model
from msrs.train.experiment import train
from msrs.train.options import TrainConfig
from msrs.train.trainer import Trainer
from msrs.train.validate import validate

SPARSE = {
    "dense": [],
    "msrs": [
        *("sparse.type=msrs", "sparse.granularity=weight", "sparse.strength=quantile"),
        *("sparse.steps=5", "sparse.calibration_steps=2", "sparse.finish=sparse"),
    ],
}


def run(dumps, exp, *overrides):
    options = config.load(TrainConfig, dumps / "train.yaml", overrides)
    train(options, dumps / "train", dumps / "dev", dumps / "tokens", exp, "cpu", ["msrs-train", "--probe"])


def metrics(exp):
    """All numbers of a run but the times."""
    lines = [json.loads(line) for line in (exp / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if "seconds" not in key} for line in lines]


@pytest.mark.parametrize("kind", list(SPARSE))
@pytest.mark.parametrize("kill_at", [3, 4, 7])
def test_a_killed_run_ends_bitwise_as_an_uninterrupted_one(dumps, tmp_path, monkeypatch, kind, kill_at):
    run(dumps, tmp_path / "whole", *SPARSE[kind])
    original = Trainer.update

    def dies(self, batches):
        if self.place.update == kill_at:
            raise KeyboardInterrupt
        original(self, batches)

    monkeypatch.setattr(Trainer, "update", dies)
    with pytest.raises(KeyboardInterrupt):
        run(dumps, tmp_path / "killed", *SPARSE[kind])
    monkeypatch.setattr(Trainer, "update", original)
    torch.rand(17)  # the restarted process has another random state
    run(dumps, tmp_path / "killed", *SPARSE[kind])
    whole, killed = (load(tmp_path / name / "checkpoints" / "average.pt")["model"] for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    for name, value in whole.items():
        assert torch.equal(value, killed[name]), name
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "killed")


def test_a_sparse_finish_leaves_zeros_in_the_averaged_model(dumps, tmp_path):
    run(dumps, tmp_path, *SPARSE["msrs"])
    model, _, _ = load_model(tmp_path)
    density = [line for line in metrics(tmp_path) if line["kind"] == "sparse"][-1]["density"]
    masked = [p for name, p in model.named_parameters() if "blocks" in name and p.dim() == 2]
    zeros = sum(int((p == 0).sum()) for p in masked)
    assert 0 < density < 1
    assert zeros >= (1 - density) * 0.9 * sum(p.numel() for p in masked)


def test_means_do_not_mix_masks(dumps, tmp_path):
    run(dumps, tmp_path, *SPARSE["msrs"])
    masks = np.load(tmp_path / "masks.npz")
    assert masks.files
    epochs = {path.stem for path in (tmp_path / "checkpoints").glob("epoch_*.pt")}
    phases = [line["is_searching"] for line in metrics(tmp_path) if line["kind"] == "sparse"]
    first = phases.index(0.0) + 1
    assert all(int(name.split("_")[1]) >= first for name in epochs)


def test_a_mean_is_as_sparse_as_the_mask_where_it_moved_till_late(dumps, tmp_path):
    run(dumps, tmp_path, "sparse.type=set", "sparse.interval=2", "sparse.target_density=0.3")
    state = load(tmp_path / "checkpoints" / "average.pt")["model"]
    masks = load_masks(tmp_path / "masks.npz")
    assert all(not state[name][~mask].any() for name, mask in masks.items())


def test_a_finished_run_is_passed_over(dumps, tmp_path, monkeypatch):
    run(dumps, tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    monkeypatch.setattr(Trainer, "update", None)
    run(dumps, tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_the_experiment_folder_is_complete(dumps, tmp_path):
    run(dumps, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"config.yaml", "command.sh", "environment.json", "train.log", "metrics.jsonl", "checkpoints"} <= names
    assert config.load(TrainConfig, tmp_path / "config.yaml") == config.load(TrainConfig, dumps / "train.yaml")
    kinds = [line["kind"] for line in metrics(tmp_path)]
    assert kinds.count("dev") == 3
    assert all("vision_gap" in line and "wer" in line for line in metrics(tmp_path) if line["kind"] == "dev")
    model, tokenizer, options = load_model(tmp_path)
    assert model.vocabulary_size == tokenizer.size and options.modality == "audiovisual"


def test_a_damaged_checkpoint_is_passed_over(dumps, tmp_path, caplog):
    run(dumps, tmp_path / "whole")
    run(dumps, tmp_path / "damaged")
    folder = tmp_path / "damaged" / "checkpoints"
    newest = sorted(folder.glob("resume_*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    (folder / "average.pt").unlink()
    with caplog.at_level("WARNING", logger="msrs"):
        run(dumps, tmp_path / "damaged")
    for name, value in load(tmp_path / "whole" / "checkpoints" / "average.pt")["model"].items():
        assert torch.equal(value, load(folder / "average.pt")["model"][name])


@pytest.mark.parametrize("override", ["optim.lr=5e-4", "batching.max_frames=80", "seed=9", "model.ctc_weight=0.4"])
def test_a_changed_run_is_not_resumed(dumps, tmp_path, override):
    run(dumps, tmp_path)
    with pytest.raises(TrainingError, match="--tag"):
        run(dumps, tmp_path, override)


def test_errors_are_counted_in_the_tokenizer_s_own_spelling(dumps):
    options = config.load(TrainConfig, dumps / "train.yaml", ["modality=video"])
    tokenizer = Tokenizer.load(dumps / "tokens")
    dev_set = UtteranceDataset(dumps / "dev", tokenizer.encode, "video", options.augment)
    model = Recogniser(options.model, "video", tokenizer.size).eval()
    batch = collate([dev_set[None, index] for index in range(len(dev_set))])
    right = [row[:length].tolist() for row, length in zip(batch.tokens, batch.token_lengths, strict=True)]
    wrong = [row[tokenizer.size % 2 :] + right[0] for row in right]
    for hypotheses, is_right in ((right, True), (wrong, False)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("msrs.train.validate.ctc_greedy", lambda *_, rows=hypotheses: rows)
            metrics, shown = validate(model, [batch], tokenizer.decode, 1)
        assert (metrics["wer"] == metrics["cer"] == 0.0) is is_right
        assert metrics["wer"] != metrics["cer"] or is_right
    assert shown[0][0] == "b-00"


def test_a_warm_up_longer_than_the_run_is_refused(dumps, tmp_path):
    with pytest.raises(ConfigError, match="warmup_updates"):
        run(dumps, tmp_path, "schedule.warmup_updates=500")


def test_a_mask_phase_of_more_epochs_than_the_run_has_is_told(dumps, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(Trainer, "run", lambda self: told.append(self.sparse.num_steps == self.total_updates))
    told = []
    for epochs in (3, 4):
        assert "longer" not in caplog.text
        run(dumps, tmp_path / str(epochs), "sparse.type=msrs", f"sparse.epochs={epochs}", "train.max_epochs=3")
    assert "sparse.epochs: 4 is longer than the run, 3: " in caplog.text
    assert told == [True, True]


def test_dev_in_train_is_refused(dumps, tmp_path):
    options = config.load(TrainConfig, dumps / "train.yaml")
    with pytest.raises(DataError, match="share 14 utterances"):
        train(options, dumps / "train", dumps / "train", dumps / "tokens", tmp_path, "cpu", [])


def test_a_loss_that_is_not_finite_stops_and_keeps_the_batch(dumps, tmp_path):
    with pytest.raises(TrainingError, match=r"bad_batch.pt"):
        run(dumps, tmp_path, "optim.lr=1e30", "train.clip_norm=1e30")
    batch = load(tmp_path / "checkpoints" / "bad_batch.pt")["batches"][0]
    assert batch["utt_ids"][0].startswith("a-")


def test_accumulated_batches_give_the_update_of_one(dumps, tmp_path):
    still = ["augment.speed=0", "augment.flip=0", "augment.erase=0", "train.max_epochs=1", "schedule.warmup_updates=0"]
    still += [
        "augment.video_mask_frames=0",
        "augment.audio_mask_seconds=0",
        "model.encoder.dropout=0",
        "augment.shift_px=0",
    ]
    still += ["model.decoder.dropout=0", "model.decoder.attention_dropout=0", "model.ctc.dropout=0"]
    still += ["model.video_frontend.dropout=0", "model.audio_frontend.dropout=0", "modality=video"]
    run(dumps, tmp_path / "one", *still, "batching.max_frames=1000")
    run(dumps, tmp_path / "two", *still, "batching.max_frames=200", "train.accumulate=99")
    norms = [[line["loss"] for line in metrics(tmp_path / name) if line["kind"] == "train"] for name in ("one", "two")]
    assert [len(values) for values in norms] == [1, 1]
    # Batch norm sees other batches, so that only the objective's weighting is compared.
    assert norms[0][0] == pytest.approx(norms[1][0], rel=0.1)


def test_waiting_for_data_is_training_and_the_time_left_is_that_of_the_wall(dumps, tmp_path, monkeypatch):
    nap, shown = 0.05, []
    frames, validated = UtteranceDataset.frames, Trainer.validate

    def slow(self, utt_id):
        time.sleep(nap)
        return frames(self, utt_id)

    def slow_validate(self):
        time.sleep(1.0)
        validated(self)

    monkeypatch.setattr(UtteranceDataset, "frames", slow)
    monkeypatch.setattr(Trainer, "validate", slow_validate)
    monkeypatch.setattr("msrs.train.trainer.LINE_SECONDS", 0.0)
    monkeypatch.setattr("msrs.train.trainer.live_line", lambda *line: shown.append(line))
    start = time.monotonic()
    run(dumps, tmp_path, "train.watch_every_updates=0", "train.cache_megabytes=0")
    wall = time.monotonic() - start
    lines = metrics_with_times(tmp_path)
    seconds = lines[-1]["seconds"]
    num_frames = sum(line["frames"] for line in lines)
    assert 3 * 14 * nap <= seconds < wall - 3.0  # validation is not training
    *_, (_, update, total, _, speed, _, _, left) = shown
    assert update == total and left == 0.0
    assert speed == pytest.approx(num_frames / seconds, rel=1e-6)
    _, update, total, _, _, _, _, left = shown[
        2 * len(shown) // 3
    ]  # two of three epochs are over, validation with them
    pace = left / (total - update)
    assert pace * update > 2.0 + update / total * 3 * 14 * nap


def metrics_with_times(exp):
    """What was told of each update."""
    lines = [json.loads(line) for line in (exp / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "train"]
