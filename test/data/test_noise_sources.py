"""Babble never has the target's own voice, recordings are looped, and what cannot be used is told."""

import av
import numpy as np
import pytest

from msrs.data import noise_sources
from msrs.data.ark import ArkWriter
from msrs.data.noise_sources import Babble, NoiseFolder, cut
from msrs.errors import DataError, MediaError, StageError
from msrs.files import write_text
from msrs.seeding import keyed_rng


def write_dump(folder, speakers, silent=()):
    """Utterance i of all is a tone of 100 (i + 1) Hz, so that a spectrum tells who is heard."""
    times = np.arange(16000) / 16000
    with ArkWriter(folder / "audio.ark", folder / "audio.scp") as ark:
        for i, utt_id in enumerate(speakers):
            tone = (1000 + 700 * i) * np.sin(2 * np.pi * 100 * (i + 1) * times)
            ark.write(utt_id, (tone * (utt_id not in silent)).astype(np.int16))
    write_text(folder / "utt2spk", "".join(f"{utt_id} {speaker}\n" for utt_id, speaker in speakers.items()))
    return folder


def heard(babble, utt_id, rng, speakers):
    """Ids of the utterances in a babble of one second."""
    spectrum = np.abs(np.fft.rfft(babble(16000, utt_id, rng))) / 8000  # a tone of unit power has the root of two
    return {name for i, name in enumerate(speakers) if spectrum[100 * (i + 1)] > 0.5}


def write_sound(path, samples, rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.asarray(samples, np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


SPEAKERS = {f"{speaker}-{i}": speaker for speaker in "abcd" for i in range(3)}


def test_babble_never_has_the_target_s_speaker(tmp_path):
    babble = Babble(write_dump(tmp_path, SPEAKERS), tmp_path, (3, 5))
    counts = set()
    for seed in range(40):
        for utt_id in ("a-0", "d-2"):
            voices = heard(babble, utt_id, keyed_rng(seed, utt_id), SPEAKERS)
            assert SPEAKERS[utt_id] not in {SPEAKERS[voice] for voice in voices}
            assert len({SPEAKERS[voice] for voice in voices}) == 3  # all others come before one comes twice
            counts.add(len(voices))
    assert counts == {3, 4, 5}


def test_voices_have_equal_power(tmp_path):
    babble = Babble(write_dump(tmp_path, SPEAKERS), tmp_path, (9, 9))
    spectrum = np.abs(np.fft.rfft(babble(16000, "a-0", keyed_rng(1)))) / 8000
    assert spectrum[[100 * (i + 1) for i in range(3, 12)]] == pytest.approx(2**0.5, rel=0.01)


def test_a_small_set_gives_the_voices_that_it_has(tmp_path):
    babble = Babble(write_dump(tmp_path, SPEAKERS, silent=("b-1",)), tmp_path, (30, 30))
    assert heard(babble, "a-0", keyed_rng(1), SPEAKERS) == {u for u in SPEAKERS if u[0] != "a" and u != "b-1"}


def test_a_voice_that_never_moves_is_none(tmp_path):
    pool = write_dump(tmp_path / "pool", SPEAKERS)
    with ArkWriter(pool / "audio.ark", pool / "audio.scp") as ark:
        for utt_id in SPEAKERS:
            ark.write(utt_id, np.full(16000, 900, np.int16))
    with pytest.raises(DataError, match="behind a-0 all other utterances are silent"):
        Babble(pool, pool, (3, 3))(100, "a-0", keyed_rng(1))


def test_babble_of_another_dump_leaves_the_speaker_out_too(tmp_path):
    pool = write_dump(tmp_path / "train", SPEAKERS)
    feats = write_dump(tmp_path / "test", {"a-7": "a", "x-0": "x"})
    babble = Babble(pool, feats, (12, 12))
    assert {u[0] for u in heard(babble, "a-7", keyed_rng(1), SPEAKERS)} == {"b", "c", "d"}
    assert {u[0] for u in heard(babble, "x-0", keyed_rng(1), SPEAKERS)} == {"a", "b", "c", "d"}


def test_one_speaker_babbles_behind_himself_and_a_warning_tells(tmp_path, caplog):
    speakers = {f"a-{i}": "a" for i in range(4)}
    babble = Babble(write_dump(tmp_path, speakers), tmp_path, (5, 5))
    assert caplog.text.count("has one speaker") == 1
    assert heard(babble, "a-1", keyed_rng(1), speakers) == {"a-0", "a-2", "a-3"}


def test_the_same_key_draws_the_same_babble(tmp_path):
    babble = Babble(write_dump(tmp_path, SPEAKERS), tmp_path, (2, 4))
    first = babble(5000, "a-0", keyed_rng(1))
    babble(900, "b-0", keyed_rng(2))
    assert np.array_equal(first, babble(5000, "a-0", keyed_rng(1)))
    assert not np.array_equal(first, babble(5000, "a-0", keyed_rng(3)))


def test_faults_of_a_dump_name_the_stage(tmp_path):
    with pytest.raises(DataError, match="one utterance alone makes no babble"):
        Babble(write_dump(tmp_path / "one", {"a-0": "a"}), tmp_path / "one", (1, 1))
    write_dump(tmp_path, SPEAKERS, silent=tuple(SPEAKERS))
    with pytest.raises(DataError, match="behind a-0 all other utterances are silent"):
        Babble(tmp_path, tmp_path, (1, 1))(100, "a-0", keyed_rng(1))
    write_text(tmp_path / "utt2spk", "a-0 a\n")
    with pytest.raises(StageError, match="a-1 has no speaker in utt2spk; rerun stage 2"):
        Babble(tmp_path, tmp_path, (1, 1))
    (tmp_path / "utt2spk").unlink()
    with pytest.raises(StageError, match="utt2spk: missing; babble has to know who speaks"):
        Babble(tmp_path, tmp_path, (1, 1))
    (tmp_path / "audio.scp").unlink()
    with pytest.raises(StageError, match="utt2spk|no sound to make babble of"):
        Babble(tmp_path, tmp_path, (1, 1))


def test_a_short_recording_is_looped_from_a_drawn_place():
    samples = np.arange(1, 101, dtype=np.int16)
    starts = set()
    for seed in range(50):
        part = cut(samples, 350, keyed_rng(seed))
        starts.add(int(part[0]))
        assert np.array_equal(part, (np.arange(350) + part[0] - 1) % 100 + 1)
    assert len(starts) > 20
    for seed in range(50):  # a longer one is never wrapped
        assert (np.diff(cut(samples, 90, keyed_rng(seed))) == 1).all()
    assert cut(samples, 100, keyed_rng(1)).tolist() == samples.tolist()


def test_a_pause_is_never_taken_for_noise():
    samples = np.zeros(10000, np.int16)
    samples[7000] = -32768
    assert all(cut(samples, 50, keyed_rng(seed)).any() for seed in range(30))


def test_a_pause_off_zero_is_a_pause_too():
    samples = np.repeat([0, 5, 5, -3], 100).astype(np.int16)
    assert all(np.ptp(cut(samples, 50, keyed_rng(seed))) for seed in range(30))


def test_recordings_of_any_rate_and_place_are_read(tmp_path):
    wave = 8000 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    write_sound(tmp_path / "deep/er/a.wav", wave, rate=8000)
    write_text(tmp_path / "README", "noise")
    write_text(tmp_path / "._b.wav", "what macOS leaves")
    noise = NoiseFolder(tmp_path)
    (samples,) = noise.recordings
    assert samples.dtype == np.int16 and len(samples) == pytest.approx(16000, abs=50)
    part = noise(40000, "a", keyed_rng(1))
    assert int(np.abs(np.fft.rfft(part)).argmax()) == pytest.approx(1100, abs=5)  # 440 Hz over 2.5 s


def test_a_large_folder_is_kept_in_bounds(tmp_path, monkeypatch, caplog):
    for i in range(5):
        write_sound(tmp_path / f"{i}.wav", np.resize([0, 100 * (i + 1)], 16000 * 4))
    monkeypatch.setattr(noise_sources, "KEPT_SECONDS", 10)
    monkeypatch.setattr(noise_sources, "SHORTEST_SECONDS", 1)
    assert [len(one) for one in NoiseFolder(tmp_path).recordings] == [32000] * 5
    monkeypatch.setattr(noise_sources, "SHORTEST_SECONDS", 5)
    kept = NoiseFolder(tmp_path).recordings
    assert [len(one) for one in kept] == [64000] * 2
    assert "5 recordings, of which every 2.5th is used" in caplog.text


def test_faults_of_a_folder_name_the_file(tmp_path):
    with pytest.raises(DataError, match="nowhere is no folder"):
        NoiseFolder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no recordings such as noise.wav"):
        NoiseFolder(tmp_path)
    write_sound(tmp_path / "quiet.wav", np.zeros(1000))
    with pytest.raises(MediaError, match=r"quiet.wav: silent.*take it out of the folder"):
        NoiseFolder(tmp_path)
    for constant in (np.full(1000, 700), [700]):  # nothing that can be heard: normalisation takes it away
        write_sound(tmp_path / "quiet.wav", constant)
        with pytest.raises(MediaError, match=r"quiet.wav: silent.*take it out of the folder"):
            NoiseFolder(tmp_path)
    (tmp_path / "quiet.wav").write_bytes(b"no sound at all")
    with pytest.raises(MediaError, match=r"quiet.wav.*take it out of the folder, or mend it"):
        NoiseFolder(tmp_path)


def test_a_constant_offset_is_no_part_of_a_noise(tmp_path):
    """Else a level would be that of the offset, and the noise itself weaker."""
    sound = np.random.default_rng(1).integers(-200, 200, 16000)
    write_sound(tmp_path / "noise.wav", sound + 6000)
    noise = NoiseFolder(tmp_path)(16000, "a-0", keyed_rng(1))
    assert abs(noise.mean()) <= 0.5
    assert noise.std() == pytest.approx(sound.std(), rel=1e-3)
