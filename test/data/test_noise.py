"""Noise: the level is exactly the one asked for, clean is clean, and the options say what is wrong with them."""

import numpy as np
import pytest
import torch

from msrs import config
from msrs.data.noise import NoiseConfig, NoiseMixer, fixed_noise, mix, noise_digest, open_noise
from msrs.data.noise_sources import white
from msrs.errors import ConfigError
from msrs.files import write_text
from msrs.seeding import keyed_rng

SPEECH = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)) + 0.02


def build(text):
    return config.build(NoiseConfig, config.parse_document(text, "conf/train.yaml"))


def measured_db(clean, noisy):
    """Ratio of the speech's power to that of what was added."""
    added = (noisy - clean).double()
    return float(10 * torch.log10(clean.double().square().mean() / added.square().mean()))


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 7.5, 20.0, 40.0])
def test_the_level_is_exact(snr_db):
    noise = 300.0 * white(16000, "a", keyed_rng(1)) + 50.0
    assert measured_db(SPEECH, mix(SPEECH, noise, snr_db)) == pytest.approx(snr_db, abs=0.01)
    mixer = NoiseMixer(NoiseConfig(sources=("white",), snr_db=(snr_db,)), [white])
    assert measured_db(SPEECH, mixer.add(SPEECH, "a", keyed_rng(2))) == pytest.approx(snr_db, abs=0.01)


@pytest.mark.parametrize("spelling", ["clean", "null", "inf", ".inf", "+inf"])
def test_clean_is_untouched(spelling):
    options = build(f"snr_db: [{spelling}]")
    assert options.snr_db == ("clean",)
    assert NoiseMixer(options, [white]).add(SPEECH, "a", keyed_rng(1)) is SPEECH


def test_all_levels_and_sources_are_drawn_and_zero_is_one_of_them():
    options = build("{sources: [white, babble], snr_db: [-5, 0, clean]}")
    mixer = NoiseMixer(options, [white, lambda size, utt_id, rng: np.ones(size, np.float32)])
    noisy = [mixer.add(SPEECH, "a", keyed_rng(i)) for i in range(300)]
    levels = [None if sound is SPEECH else round(measured_db(SPEECH, sound)) for sound in noisy]
    assert all(80 < levels.count(level) < 120 for level in (-5, 0, None))
    steady = [bool((sound - SPEECH).std() < 1e-6) for sound in noisy if sound is not SPEECH]
    assert 0.4 < np.mean(steady) < 0.6


def test_silence_stays_silence():
    silence = torch.zeros(700)
    assert torch.equal(mix(silence, white(700, "a", keyed_rng(1)), 0.0), silence)


def test_a_level_changes_the_loudness_alone():
    noises = []
    for snr_db in ("0", "20"):
        mixer = NoiseMixer(fixed_noise("white", snr_db), [white])
        noises.append(mixer.add(SPEECH, "a", keyed_rng("test noise", "a")) - SPEECH)
    assert torch.allclose(noises[0], 10.0 * noises[1], atol=1e-5)


def test_options_survive_being_written():
    options = build("{sources: [white, folder], folder: a b, snr_db: [-5, clean], babble_voices: [2, 2]}")
    assert build(config.to_yaml(options)) == options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources: [folder]", "conf/train.yaml.*needs both: `folder` among the sources"),
        ("folder: noise", "needs both"),
        ("snr_db: []", "at least one source and one level"),
        (
            "snr_db: [0, loud]",
            r"conf/train.yaml:1: snr_db.1: expected a number of decibels from -100 to 100, or clean, given 'loud'",
        ),
        ("babble_voices: [9, 2]", "begins with the smaller number"),
        ("snr_db: [nan]", "snr_db.0: expected a number of decibels from -100 to 100, or clean, given"),
        ("snr_db: [-101]", "snr_db.0: expected a number of decibels from -100 to 100"),
        ("snr: [0]", "snr is not a key of Noise; did you mean snr_db?"),
    ],
)
def test_faults_name_key_and_remedy(text, message):
    with pytest.raises(ConfigError, match=message):
        build(text)


def test_a_test_has_one_source_and_one_level():
    assert fixed_noise("babble", "0") == NoiseConfig(sources=("babble",), snr_db=(0.0,), babble_voices=(20, 20))
    assert fixed_noise("my/noise", "inf") == NoiseConfig(
        sources=("folder",), folder="my/noise", snr_db=("clean",), babble_voices=(20, 20)
    )
    with pytest.raises(ConfigError, match="--snr-db x: snr_db.0: expected a number"):
        fixed_noise("white", "x")


def test_the_digest_follows_what_the_sources_are_made_of(tmp_path):
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise/a.wav").write_bytes(b"123")
    options = NoiseConfig(sources=("folder", "babble"), folder=str(tmp_path / "noise"))
    digests = [noise_digest(options, tmp_path)]
    write_text(tmp_path / "utt2spk", "a-1 a\n")
    digests.append(noise_digest(options, tmp_path))
    (tmp_path / "noise/a.wav").write_bytes(b"1234")
    digests.append(noise_digest(options, tmp_path))
    assert len(set(digests)) == 3
    assert noise_digest(options, tmp_path) == digests[-1]


def test_white_noise_needs_nothing_of_the_dump(tmp_path):
    mixer = open_noise(fixed_noise("white", "10"), tmp_path / "none")
    assert measured_db(SPEECH, mixer.add(SPEECH, "a", keyed_rng(1))) == pytest.approx(10.0, abs=0.01)
