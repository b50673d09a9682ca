"""Recordings in and out: pictures at a steady rate, mono sound aligned with them, H.264 with AAC.

Time zero of a recording is its first picture. Everything wrong with a file is a MediaError that names it.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np

from msrs.data.container import decoded, first_video, opened, video_stream
from msrs.data.encoder import encode_video, write_video
from msrs.data.sound import read_audio, stream_audio
from msrs.errors import MediaError

__all__ = [
    "VideoInfo",
    "count_frames",
    "encode_video",
    "has_pictures",
    "media_seconds",
    "probe",
    "read_audio",
    "read_video",
    "read_video_array",
    "stream_audio",
    "write_video",
]
Pixel = Literal["rgb", "gray"]
Drawer = Callable[[av.VideoFrame], np.ndarray]
FORMATS = {"rgb": "rgb24", "gray": "gray"}
MAX_GAP_SECONDS = 10.0  # a longer jump between two pictures is a broken clock, not a pause
SHORT_SECONDS = 1.0  # a file that ends this much before its header says so is cut off
TIE_SECONDS = 1e-3  # containers with a millisecond clock round this much
MAX_STRETCH = 4  # pixels that are wider or higher than this many are a broken header, not a camera's


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a recording is: `num_frames` is the header's word (None where it has none), sizes are as displayed."""

    num_frames: int | None
    fps: float
    width: int
    height: int
    duration_seconds: float
    has_audio: bool


def probe(path: str | Path) -> VideoInfo:
    """Rate, size and length of a recording; its first picture is decoded, so that the answer is no mere promise.

    Raises: MediaError where it cannot be opened, holds no video, or its first picture cannot be decoded.
    """
    with opened(path) as (container, name):
        stream = video_stream(container, name)
        _, frame = next(_timed_frames(container, stream, name))
        height, width = _drawer(stream, "gray")(frame).shape
        rate = stream.average_rate or stream.guessed_rate or 0
        if stream.duration:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = (container.duration or 0) / av.time_base
        return VideoInfo(stream.frames or None, float(rate), width, height, seconds, bool(container.streams.audio))


def media_seconds(path: str | Path) -> float | None:
    """Length of a recording with or without pictures by its header; None where that does not say.

    Raises: MediaError where it cannot be opened.
    """
    with opened(path) as (container, _):
        return container.duration / av.time_base if container.duration else None


def has_pictures(path: str | Path) -> bool:
    """Whether a recording has a track of pictures. Raises: MediaError where it cannot be opened."""
    with opened(path) as (container, _):
        return first_video(container) is not None


def read_video(
    path: str | Path | bytes, fps: float = 25.0, pixel: Pixel = "rgb", max_seconds: float | None = None
) -> Iterator[np.ndarray]:
    """Pictures at a steady rate, one at a time, whatever the file's own rate.

    Picture k shows what was visible (k + 0.5) / fps seconds after the first picture appeared. It is shown as a player
    shows it: turned and mirrored as the file asks for, its pixels square.
    Yields: contiguous uint8 (H, W, 3) for "rgb", (H, W) for "gray"; a fresh array each.
    Raises: MediaError where the file cannot be opened, holds no video, is damaged or cut off, or changes its size.
    """
    with opened(path) as (container, name):
        stream = video_stream(container, name)
        draw = _drawer(stream, pixel)
        shown = None  # the picture on the screen; converted only when a tick of the clock falls on it
        ticks = 0
        for start, frame in _timed_frames(container, stream, name):
            until = start - TIE_SECONDS if shown else 0.0
            for picture in _repeat(shown, until, ticks, fps, draw, max_seconds):
                yield picture
                ticks += 1
            if max_seconds is not None and (ticks + 0.5) / fps >= max_seconds:
                return
            shown = frame or shown
            if frame is None and ticks == 0:  # a lone picture shorter than half a tick
                yield draw(shown)


def _repeat(
    frame: av.VideoFrame | None, until: float, tick: int, fps: float, draw: Drawer, max_seconds: float | None
) -> Iterator[np.ndarray]:
    """Copies of `frame` for the ticks from `tick` on whose middle lies before `until` seconds."""
    end = until if max_seconds is None else min(until, max_seconds)
    picture = None
    while frame is not None and (tick + 0.5) / fps < end:
        picture = draw(frame) if picture is None else picture.copy()
        yield picture
        tick += 1


def read_video_array(path: str | Path | bytes, pixel: Pixel = "gray") -> np.ndarray:
    """All pictures of a short clip as they lie in the file, with no change of rate.

    Args: path, or the file's bytes. Returns: (T, H, W) uint8 for "gray", (T, H, W, 3) for "rgb".
    Raises: MediaError as `read_video`.
    """
    with opened(path) as (container, name):
        stream = video_stream(container, name)
        draw = _drawer(stream, pixel)
        return np.stack([draw(frame) for _, frame in _timed_frames(container, stream, name) if frame is not None])


def count_frames(path: str | Path | bytes) -> int:
    """Pictures that can really be decoded, whatever the header says. Raises: MediaError as `read_video`."""
    with opened(path) as (container, name):
        return sum(frame is not None for _, frame in _timed_frames(container, video_stream(container, name), name))


def _timed_frames(container, stream, name: str) -> Iterator[tuple[float, av.VideoFrame | None]]:
    """(seconds since the first picture, picture) in order; the last entry is (end of the last picture, None)."""
    usual = 1.0 / float(stream.average_rate or stream.guessed_rate or 25)
    zero, last, size, length = None, None, None, usual
    for packet in container.demux(stream):
        for frame in decoded(packet, name, started=last is not None):
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise MediaError(f"{name}: pictures change from {size} to {(frame.width, frame.height)} pixels.")
            zero = zero if zero is not None else frame.time or 0.0
            time = 0.0 if last is None else last + usual if frame.time is None else frame.time - zero
            if last is not None and time <= last:  # the clock stands or was set back: go on at the usual pace
                zero -= last + usual - time
                time = last + usual
            if last is not None and time - last > MAX_GAP_SECONDS:
                raise MediaError(f"{name}: the clock jumps by {time - last:.0f} s after {last:.2f} s; re-encode it.")
            length = float(frame.duration * frame.time_base) if frame.duration else usual
            last = time
            yield time, frame
    if last is None:
        raise MediaError(f"{name}: no picture of its video stream can be decoded.")
    end = last + min(length, 1.0)
    if stream.duration and end + SHORT_SECONDS < stream.duration * stream.time_base:
        promised = float(stream.duration * stream.time_base)
        raise MediaError(f"{name}: ends after {end:.2f} of {promised:.2f} s; the file is cut off or damaged.")
    yield end, None


def _drawer(stream: av.VideoStream, pixel: Pixel) -> Drawer:
    """Frames of `stream` as arrays, the way a player shows them: square pixels, turned, mirrored."""
    shape = stream.sample_aspect_ratio or 1
    if not 1 / MAX_STRETCH <= shape <= MAX_STRETCH:
        shape = 1
    return lambda frame: _pixels(frame, pixel, max(shape, 1), max(1 / shape, 1))


def _pixels(frame: av.VideoFrame, pixel: Pixel, wider: Fraction | int, higher: Fraction | int) -> np.ndarray:
    # Rows are padded in FFmpeg's memory, and landmark detectors ignore strides: always a contiguous copy.
    width, height = round(frame.width * wider), round(frame.height * higher)
    if pixel == "gray" and frame.format.name == "yuv420p" and (width, height) == (frame.width, frame.height):
        picture = _grey(frame)
    else:
        picture = frame.to_ndarray(format=FORMATS[pixel], width=width, height=height)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        picture = _upright(picture, *np.frombuffer(matrix, np.int32)[[0, 1, 3, 4]])
    return np.array(picture, order="C", copy=True)


def _upright(picture: np.ndarray, xx: int, xy: int, yx: int, yy: int) -> np.ndarray:
    """The picture by quarter turns and mirrors: a pixel at (x, y) is shown at (xx x + yx y, xy x + yy y)."""
    if abs(xy) > abs(xx):
        picture, xx, yy = picture.swapaxes(0, 1), yx, xy
    return picture[:: -1 if yy < 0 else 1, :: -1 if xx < 0 else 1]


def _grey(frame: av.VideoFrame) -> np.ndarray:
    """As `to_ndarray(format="gray")`, ten times as fast: that sets up a converter for each picture anew.

    Grey is the first plane, its values spread from 16..235 to 0..255; the converter itself is asked once for which is which.
    """
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    values = rows.tobytes().translate(_grey_of_luma(int(frame.color_range)))
    return np.frombuffer(values, np.uint8).reshape(rows.shape)


@functools.cache
def _grey_of_luma(color_range: int) -> bytes:
    """The grey level of each of the 256 levels of the first plane."""
    frame = av.VideoFrame(16, 16, "yuv420p")
    frame.color_range = color_range
    for plane, values in zip(frame.planes, (bytes(range(256)), bytes([128]), bytes([128])), strict=True):
        side = 16 if len(values) > 1 else 8
        rows = np.full((plane.buffer_size // plane.line_size, plane.line_size), values[0], np.uint8)
        rows[:side, :side] = np.frombuffer(values * (1 if len(values) > 1 else side * side), np.uint8).reshape(
            side, side
        )
        plane.update(rows.tobytes())
    return frame.to_ndarray(format="gray").tobytes()
