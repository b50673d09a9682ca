import numpy as np
import pytest

from msrs.seeding import keyed_rng
from msrs.synth.clip import FPS, SAMPLES_PER_FRAME, make_clip, speech_request
from msrs.synth.speakers import SPEAKERS, Stance, Voice
from msrs.synth.speech import SAMPLE_RATE_HZ, Speech
from msrs.synth.visemes import Phoneme


@pytest.fixture
def speech() -> Speech:
    """A tone of 0.4 s while the mouth is wide open, then 0.4 s with lips closed and no sound."""
    seconds = np.arange(int(0.8 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = np.where(seconds < 0.4, np.sin(2 * np.pi * 200 * seconds), 0)
    return Speech(tone.astype(np.float32), (Phoneme(0.0, 0.4, "A:"), Phoneme(0.4, 0.8, "m")))


def test_a_clip_is_its_generators_and_nothing_elses(head, speech):
    one, same, other = (make_clip(Stance(), head, speech, keyed_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.frames, same.frames)
    np.testing.assert_array_equal(one.samples, same.samples)
    assert not np.array_equal(one.frames[0], other.frames[0])


def test_sound_and_pictures_are_equally_long_and_in_step(head, speech):
    clip = make_clip(Stance(sway=0), head, speech, keyed_rng(3))
    assert clip.samples.dtype == np.float32
    assert len(clip.samples) == len(clip.frames) * SAMPLES_PER_FRAME
    assert 0.2 < np.abs(clip.samples).max() < 1
    loud = np.abs(clip.samples.reshape(-1, SAMPLES_PER_FRAME)).max(axis=1) > 0.1
    # The open mouth is dark: about its middle, frames with sound are darker than the others.
    darkness = -clip.frames[:, 125:150, 95:130].astype(float).mean(axis=(1, 2, 3))
    assert abs(np.flatnonzero(loud).mean() - np.flatnonzero(darkness > np.median(darkness) + 8).mean()) < 1.5
    assert abs(loud.sum() - 0.4 * FPS) <= 1


@pytest.mark.parametrize("speaker", SPEAKERS.values(), ids=SPEAKERS)
def test_requests_stay_near_the_speakers_usual_voice(speaker):
    requests = [speech_request(speaker.voice, "one two", keyed_rng(seed)) for seed in range(20)]
    assert {request.voice for request in requests} == {speaker.voice.name}
    assert all(abs(request.words_per_minute / speaker.voice.words_per_minute - 1) < 0.08 for request in requests)
    assert all(abs(request.pitch - speaker.voice.pitch) <= 3 for request in requests)
    assert len({request.words_per_minute for request in requests}) > 5


def test_pitch_stays_in_espeaks_range():
    assert all(0 <= speech_request(Voice("en", 140, 96), "one", keyed_rng(seed)).pitch <= 99 for seed in range(50))
