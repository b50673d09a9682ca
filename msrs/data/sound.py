"""The sound of a recording: mono, at one rate, aligned with the first picture."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from msrs.data.container import decoded, first_video, opened
from msrs.errors import MediaError

DRIFT_SECONDS = 0.1  # sound that arrives later than this after the last is a hole, filled with silence
MAX_SILENCE_SECONDS = 600.0


def read_audio(path: str | Path, sample_rate: int = 16000) -> np.ndarray:
    """The sound, mixed to one channel, sample 0 at time zero (the first picture; without pictures, the first sample).

    Sound that starts late or stops in between is filled with silence; what comes before the first picture is cut off.
    Returns: (S,) float32 in [-1, 1]. Raises: MediaError where there is no sound or it cannot be decoded.
    """
    return np.concatenate(list(stream_audio(path, sample_rate)))


def has_sound(path: str | Path) -> bool:
    """Whether a recording has a track of sound. Raises: MediaError where it cannot be opened."""
    with opened(path) as (container, _):
        return bool(container.streams.audio)


def recorded_rate_hz(path: str | Path) -> int:
    """Samples a second of a recording's sound as it lies in the file. Raises: MediaError where there is no sound."""
    with opened(path) as (container, name):
        return _audio_stream(container, name).rate


def _audio_stream(container, name: str):
    if not container.streams.audio:
        raise MediaError(f"{name}: has no sound; expected an audio stream.")
    return container.streams.audio[0]


def stream_audio(path: str | Path, sample_rate: int = 16000) -> Iterator[np.ndarray]:
    """As `read_audio`, in consecutive blocks (S,) float32, for recordings that should not lie in memory whole."""
    with opened(path) as (container, name):
        _audio_stream(container, name)
        position = None  # where in the output the next sample belongs; negative: before the first picture
        for start, block in _resampled(container, name, sample_rate):
            place = round(start * sample_rate) if start is not None else position or 0
            if position is None:
                position = min(place, 0)
            if place > position:
                yield np.zeros(place - position, np.float32)
                position = place
            kept = block[max(0, -position) :]
            position += len(block)
            if len(kept):
                yield kept
        if position is None or position <= 0:
            raise MediaError(f"{name}: its audio stream holds no sound that can be decoded.")


def _resampled(container, name: str, sample_rate: int) -> Iterator[tuple[float | None, np.ndarray]]:
    """Blocks of mono sound; the first after a hole, or of all, comes with its time in seconds since time zero."""
    resampler, form, start, end = None, None, None, None
    for time, frame in _audio_frames(container, name):
        gap = 0.0 if end is None else time - end
        if gap > MAX_SILENCE_SECONDS or end is None and abs(time) > MAX_SILENCE_SECONDS:
            raise MediaError(f"{name}: sound is {gap or time:.0f} s away from what precedes it; its clock is broken.")
        new_form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or new_form != form or gap > DRIFT_SECONDS:
            if resampler is not None:
                yield from _mono(resampler, None, start)
            # Averaging two channels here keeps the level; the resampler's own mix to mono would raise it by 3 dB.
            layout = "stereo" if frame.layout.nb_channels > 1 else "mono"
            resampler = av.AudioResampler(format="fltp", layout=layout, rate=sample_rate)
            start, form = (time if end is None or gap > DRIFT_SECONDS else None), new_form
        end = (time if end is None or abs(gap) > DRIFT_SECONDS else end) + frame.samples / frame.sample_rate
        for part in _mono(resampler, frame, start):
            yield part
            start = None
    if resampler is not None:
        yield from _mono(resampler, None, start)  # without this the tail stays inside


def _mono(resampler, frame, start: float | None) -> Iterator[tuple[float | None, np.ndarray]]:
    if frame is not None:
        frame.pts = None  # the resampler counts samples; holes are filled outside
    for part in resampler.resample(frame):
        if part.samples:
            yield start, np.clip(part.to_ndarray().mean(0, dtype=np.float32), -1.0, 1.0)
            start = None


def _audio_frames(container, name: str) -> Iterator[tuple[float, av.AudioFrame]]:
    """Decoded sound with its time in seconds since the first picture."""
    audio = container.streams.audio[0]
    video = first_video(container)
    zero, waiting = None, []
    for packet in container.demux(audio if video is None else (video, audio)):
        if packet.stream.type == "video" and zero is not None:
            continue
        for frame in decoded(packet, name, started=True, lenient=packet.stream.type == "video"):
            if isinstance(frame, av.VideoFrame):
                zero = zero if zero is not None else frame.time or 0.0
                continue
            if video is None and zero is None:
                zero = frame.time or 0.0
            waiting.append(frame)
        while zero is not None and waiting:
            yield (waiting[0].time if waiting[0].time is not None else zero) - zero, waiting.pop(0)
    for frame in waiting:  # pictures that cannot be decoded give no time zero: the sound's own start has to do
        zero = zero if zero is not None else frame.time or 0.0
        yield (frame.time if frame.time is not None else zero) - zero, frame
