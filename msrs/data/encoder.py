"""Recordings written: H.264 and AAC in an mp4 that any player shows, the same bytes every time."""

import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from msrs.errors import MediaError
from msrs.files import atomic_path


def encode_video(frames: Iterable[np.ndarray], fps: float = 25, crf: int = 18) -> bytes:
    """The bytes of an mp4 without sound. Args: frames, uint8 (T, H, W) grey or (T, H, W, 3) RGB, even H and W."""
    buffer = io.BytesIO()
    _encode(buffer, "<encoder>", frames, fps, None, 16000, crf, "medium")
    return buffer.getvalue()


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float = 25,
    audio: np.ndarray | None = None,
    sample_rate: int = 16000,
    crf: int = 18,
    preset: str = "medium",
) -> None:
    """Write an mp4 (H.264 yuv420p, AAC) that any player shows; whole or not at all, the same bytes every time.

    Args: frames, iterable of uint8 (H, W) grey or (H, W, 3) RGB, even H and W; audio, (S,) float in [-1, 1];
    preset, x264's name for how long it searches: `veryfast` takes a third of the time for some 7 % more bytes.
    Raises: MediaError on no frames or a size that cannot be coded; DataError where the disk is full.
    """
    with atomic_path(path) as temporary:
        _encode(str(temporary.absolute()), str(path), frames, fps, audio, sample_rate, crf, preset)


def _encode(
    target, name: str, frames: Iterable[np.ndarray], fps, audio, sample_rate: int, crf: int, preset: str
) -> None:
    rate = Fraction(fps).limit_denominator(1001)
    count = 0
    with av.open(target, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=rate)
        # One thread leaves the other cores to other processes. x264's macroblock tree gives other bytes, and other
        # pixels, from run to run even so; without it the same frames gave the same bytes in every trial.
        video.options = {"crf": str(crf), "preset": preset, "threads": "1", "x264-params": "mbtree=0"}
        video.thread_count = 1
        video.pix_fmt = "yuv420p"
        sound = None if audio is None else _SoundWriter(container, audio, sample_rate)
        for count, picture in enumerate(frames, 1):
            if count == 1:
                video.height, video.width = picture.shape[:2]
            _check_picture(name, picture, video)
            form = "gray" if picture.ndim == 2 else "rgb24"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=form)
            frame.pts, frame.time_base = count - 1, 1 / rate
            container.mux(video.encode(frame))
            if sound:
                sound.write_until(count / float(rate))
        if count == 0:
            raise MediaError(f"{name}: no frames to write.")
        container.mux(video.encode())
        if sound:
            sound.close()


def _check_picture(name: str, picture: np.ndarray, video) -> None:
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
        raise MediaError(f"{name}: frames are {picture.dtype} {picture.shape}, expected uint8 (H, W) or (H, W, 3).")
    if picture.shape[:2] != (video.height, video.width) or video.height % 2 or video.width % 2:
        raise MediaError(f"{name}: frame of {picture.shape[:2]} pixels; expected one even size for all frames.")


class _SoundWriter:
    """Feeds AAC in step with the pictures, so that a player need not look ahead."""

    BLOCK_SAMPLES = 1024

    def __init__(self, container, audio: np.ndarray, sample_rate: int):
        self.container, self.sample_rate, self.done = container, sample_rate, 0
        self.samples = np.ascontiguousarray(audio, np.float32).reshape(1, -1)
        self.stream = container.add_stream("aac", rate=sample_rate, layout="mono")

    def write_until(self, seconds: float) -> None:
        while self.done < min(self.samples.shape[1], seconds * self.sample_rate):
            block = self.samples[:, self.done : self.done + self.BLOCK_SAMPLES]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = self.sample_rate, self.done
            frame.time_base = Fraction(1, self.sample_rate)
            self.container.mux(self.stream.encode(frame))
            self.done += block.shape[1]

    def close(self) -> None:
        self.write_until(float("inf"))
        self.container.mux(self.stream.encode())
