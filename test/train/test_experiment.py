"""Around training: augmentation that cannot work is refused before the first update, and a run with it resumes exactly."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from msrs import config
from msrs.data.media import encode_video
from msrs.errors import ConfigError, DataError, MediaError, TrainingError
from msrs.files import sha256, write_text
from msrs.train.checkpoint import load
from msrs.train.experiment import FREE_KEYS, fingerprint_of, train
from msrs.train.options import TrainConfig
from msrs.train.trainer import Trainer


@pytest.fixture
def folders(dumps, tmp_path):
    """Dumps and tokens as `dumps` has them, with two speakers in the training set."""
    for name in ("train", "dev", "tokens"):
        shutil.copytree(dumps / name, tmp_path / name)
    shutil.copy(dumps / "train.yaml", tmp_path)
    names = [line.split()[0] for line in (tmp_path / "train/text").read_text(encoding="utf-8").splitlines()]
    write_text(tmp_path / "train/utt2spk", "".join(f"{name} s{i % 2}\n" for i, name in enumerate(names)))
    return tmp_path


def read_options(folders, *overrides):
    return config.load(TrainConfig, folders / "train.yaml", ["train.max_epochs=2", *overrides])


def run(folders, name, *overrides):
    places = (folders / "train", folders / "dev", folders / "tokens", folders / name)
    train(read_options(folders, *overrides), *places, "cpu", ["msrs-train", "--probe"])


def weights(folders, name):
    return load(folders / name / "checkpoints/average.pt")["model"]


NOISY = ["augment.noise={sources: [white, babble], snr_db: [0, clean]}", "augment.spec_augment={time_masks: 1}"]


def test_a_killed_run_with_noise_and_masks_ends_bitwise_as_an_uninterrupted_one(folders, monkeypatch):
    run(folders, "whole", *NOISY)
    original = Trainer.update

    def dies(self, *arguments):
        if self.place.update == 3:
            raise KeyboardInterrupt
        original(self, *arguments)

    monkeypatch.setattr(Trainer, "update", dies)
    with pytest.raises(KeyboardInterrupt):
        run(folders, "killed", *NOISY)
    monkeypatch.setattr(Trainer, "update", original)
    run(folders, "killed", *NOISY, "train.num_workers=1")
    whole, killed = weights(folders, "whole"), weights(folders, "killed")
    assert all(torch.equal(value, killed[name]) for name, value in whole.items())


def test_other_speakers_are_another_run(folders):
    run(folders, "exp", *NOISY)
    names = (folders / "train/utt2spk").read_text(encoding="utf-8")
    write_text(folders / "train/utt2spk", names.replace("s1", "s2"))
    with pytest.raises(TrainingError, match="are not those that this run began with"):
        run(folders, "exp", *NOISY)


def test_runs_of_before_these_options_can_be_gone_on_with(folders):
    options = read_options(folders)
    values = config.to_dict(options)
    for key in FREE_KEYS:
        values["train"].pop(key)
    assert [values["augment"].pop(key) for key in ("noise", "spec_augment")] == [None, None]
    assert values["train"].pop("ema") is None
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for name in ("train/utt2num_frames", "train/text", "dev/utt2num_frames", "dev/text", "tokens/tokens.txt"):
        digest.update(sha256(folders / name).encode())
    places = [folders / "train", folders / "dev"]
    assert fingerprint_of(options, places, folders / "tokens") == digest.hexdigest()


def test_masks_need_a_front_end_with_bands(folders):
    waveform = ["model.audio_frontend={type: waveform}", NOISY[1]]
    with pytest.raises(ConfigError, match="audio_frontend.type waveform has none; take one of logmel, or leave it out"):
        run(folders, "exp", *waveform)
    assert not (folders / "exp").exists()


def test_noise_that_cannot_be_had_stops_before_the_first_update(folders):
    with pytest.raises(DataError, match="nowhere is no folder"):
        run(folders, "exp", "augment.noise={sources: [folder], folder: nowhere}")
    (folders / "noise").mkdir()
    pictures = np.zeros((3, 32, 32), np.uint8)
    (folders / "noise/mute.mp4").write_bytes(encode_video(pictures))
    with pytest.raises(MediaError, match=r"mute.mp4: has no sound.*take it out of the folder"):
        run(folders, "exp", f"augment.noise={{sources: [folder], folder: {folders}/noise}}")
    assert not (folders / "exp/config.yaml").exists()
