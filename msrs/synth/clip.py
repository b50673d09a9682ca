"""One clip: how the head moves and blinks while its mouth follows the speech, and the sound that goes with it."""

import math
from dataclasses import dataclass

import numpy as np

from msrs.synth.head import FRAME_PX, Head
from msrs.synth.speakers import Stance, Voice
from msrs.synth.speech import SAMPLE_RATE_HZ, Speech, SpeechRequest
from msrs.synth.visemes import Phoneme, mouth_track

FPS = 25
SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FPS
LEAD_SECONDS = (0.16, 0.32)  # of silence before the speech
TAIL_SECONDS = 0.20
PIVOT = np.array([FRAME_PX / 2, 0.62 * FRAME_PX])  # the head turns and grows about its mouth
NOISE = 3e-4  # standard deviation of the room's noise
PEAK = 0.5
BLINK_SECONDS, BLINKS_APART_SECONDS = 0.06, 3.2


@dataclass(frozen=True)
class Clip:
    """frames (T,224,224,3) uint8 at 25 a second; samples (T·640,) float32 at 16 kHz."""

    frames: np.ndarray
    samples: np.ndarray


def speech_request(voice: Voice, text: str, rng: np.random.Generator) -> SpeechRequest:
    """The voice with its small changes of pace and pitch between one sentence and the next."""
    pace = round(voice.words_per_minute * rng.uniform(0.93, 1.07))
    return SpeechRequest(text, voice.name, pace, voice.pitch + int(rng.integers(-3, 4)))


def make_clip(stance: Stance, head: Head, speech: Speech, rng: np.random.Generator) -> Clip:
    """Show the head saying the speech; the same generator state gives the same clip."""
    lead_samples = round(rng.uniform(*LEAD_SECONDS) * SAMPLE_RATE_HZ)
    lead_seconds = lead_samples / SAMPLE_RATE_HZ
    num_frames = math.ceil((lead_seconds + len(speech.samples) / SAMPLE_RATE_HZ + TAIL_SECONDS) * FPS)
    phonemes = [Phoneme(lead_seconds + start, lead_seconds + end, name) for start, end, name in speech.phonemes]
    samples = rng.normal(0, NOISE, num_frames * SAMPLES_PER_FRAME)
    loudness = PEAK * 10 ** (rng.uniform(-4, 4) / 20) / np.abs(speech.samples).max()
    samples[lead_samples : lead_samples + len(speech.samples)] += loudness * speech.samples
    frame_seconds = (np.arange(num_frames) + 0.5) / FPS
    mouths = mouth_track(phonemes, num_frames, FPS)
    poses, lids = _poses(stance, frame_seconds, rng), _lids(frame_seconds, rng)
    frames = head.render(mouths, lids, poses, exposure=rng.uniform(0.92, 1.06))
    return Clip(frames, samples.clip(-1, 1).astype(np.float32))


def _poses(stance: Stance, frame_seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T,2,3): for every frame the map from its points to those of the unmoved head.

    The clip has a place, size and tilt of its own around the speaker's usual ones; on these the head drifts and sways.
    """
    phases = rng.uniform(0, 2 * math.pi, 4)
    rates = np.array([1.7, 1.1, 1.3, 2.1])  # radians a second
    sway = stance.sway * np.sin(rates * frame_seconds[:, None] + phases)  # (T,4)
    drift_px = rng.normal(0, 1.5, 2) * (frame_seconds[:, None] - frame_seconds.mean())
    angle = np.radians(stance.roll_degrees + rng.normal(0, 1.2) + 1.6 * sway[:, 0])
    scale = stance.scale * rng.uniform(0.96, 1.04) * (1 + 0.012 * sway[:, 1])
    centre = PIVOT + stance.offset_px + rng.normal(0, 2.5, 2) + drift_px + sway[:, 2:] * (2.2, 1.5)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    linear = turn / scale[:, None, None]
    shift = PIVOT - (linear @ centre[:, :, None])[:, :, 0]
    return np.concatenate([linear, shift[:, :, None]], axis=2)


def _lids(frame_seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T,): how far the lids are closed, with blinks at random times."""
    times = np.cumsum(rng.exponential(BLINKS_APART_SECONDS, 16))
    return np.exp(-(((frame_seconds[:, None] - times) / BLINK_SECONDS) ** 2)).max(axis=1)
