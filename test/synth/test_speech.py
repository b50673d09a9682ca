import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from msrs.errors import DataError, DependencyError
from msrs.synth import speech
from msrs.synth.plan import DIGITS
from msrs.synth.speakers import SPEAKERS
from msrs.synth.speech import SAMPLE_RATE_HZ, SpeechRequest, resample, speak
from msrs.synth.visemes import GLIDES, VISEMES


@pytest.fixture
def espeak():
    pytest.importorskip("espeakng_loader", reason="no espeakng-loader; pip install espeakng-loader brings it")


@pytest.fixture
def fresh(monkeypatch):
    """The library as if it had not been asked for in this process."""
    monkeypatch.setattr(speech._Espeak, "instance", None)


REQUESTS = [SpeechRequest(" ".join(DIGITS[start : start + 4]), "en+f3", 140, 50) for start in range(4)]


@pytest.mark.usefixtures("espeak")
@pytest.mark.parametrize("speaker", SPEAKERS.values(), ids=SPEAKERS)
def test_every_digit_of_every_voice_has_known_phonemes_in_order(speaker):
    voice = speaker.voice
    said = speak([SpeechRequest(digit, voice.name, voice.words_per_minute, voice.pitch) for digit in DIGITS])
    for one in said:
        seconds = len(one.samples) / SAMPLE_RATE_HZ
        assert 0.25 < seconds < 1.0
        assert np.abs(one.samples).max() > 0.1
        times = [(phoneme.start_seconds, phoneme.end_seconds) for phoneme in one.phonemes]
        assert all(start <= end for start, end in times)
        assert times == sorted(times)
        assert times[-1][1] <= seconds + 1e-3
        sounds = [phoneme.name for phoneme in one.phonemes if phoneme.name and not phoneme.name.startswith("_")]
        assert 2 <= len(sounds) <= 5
        assert [name for name in sounds if name not in VISEMES and name not in GLIDES] == []


@pytest.mark.usefixtures("espeak")
def test_the_sound_is_where_its_phonemes_are():
    (said,) = speak([SpeechRequest("one", "en+f3", 140, 50)])
    sounds = [phoneme for phoneme in said.phonemes if phoneme.name and not phoneme.name.startswith("_")]
    start, end = (round(time * SAMPLE_RATE_HZ) for time in (sounds[0].start_seconds, sounds[-1].end_seconds))
    energy = said.samples**2
    assert energy[start:end].sum() > 0.95 * energy.sum()


@pytest.mark.usefixtures("espeak")
def test_the_same_list_sounds_the_same_in_every_fresh_process():
    runs = []
    for _ in range(2):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            runs.append(pool.submit(speak, REQUESTS).result())
    for first, second in zip(*runs, strict=True):
        np.testing.assert_array_equal(first.samples, second.samples)
        assert first.phonemes == second.phonemes


@pytest.mark.usefixtures("espeak")
def test_an_unknown_voice_is_named():
    with pytest.raises(DataError, match="no voice 'xx-nobody'"):
        speak([SpeechRequest("one", "xx-nobody", 140, 50)])


@pytest.mark.usefixtures("espeak")
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system has no short names for open folders")
def test_the_library_may_lie_in_a_folder_with_a_long_name(tmp_path):
    import espeakng_loader

    deep = tmp_path / ("x" * 100) / ("y" * 100)
    deep.mkdir(parents=True)
    (deep / "espeakng_loader").symlink_to(Path(espeakng_loader.__file__).parent)
    (deep / "espeakng_loader_test.py").write_text(
        "from msrs.synth.speech import SpeechRequest, speak\n"
        "print(len(speak([SpeechRequest('one', 'en+f3', 140, 50)])[0].samples))\n",
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(deep), *sys.path])}
    command = [sys.executable, str(deep / "espeakng_loader_test.py")]
    told = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) > 4000


@pytest.mark.usefixtures("fresh")
def test_without_the_package_the_command_that_brings_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(DependencyError, match="pip install espeakng-loader"):
        speak(REQUESTS)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(22050, 16000), (16000, 22050)])
def test_a_tone_keeps_its_pitch_and_height(from_hz, to_hz):
    def tone(rate):
        seconds = np.arange(rate // 2) / rate
        return np.sin(2 * np.pi * 440 * seconds) * np.hanning(len(seconds))

    np.testing.assert_allclose(resample(tone(from_hz), from_hz, to_hz), tone(to_hz), atol=1e-3)
