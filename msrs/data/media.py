"""Recordings in and out: pictures at a steady rate, mono sound aligned with them, H.264 with AAC.

Time zero of a recording is its first picture. Everything wrong with a file is a MediaError that names it.
"""

import contextlib
import dataclasses
import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np

from msrs.data.transcode import transcoded
from msrs.errors import MediaError
from msrs.files import atomic_path

Pixel = Literal["rgb", "gray"]
FORMATS = {"rgb": "rgb24", "gray": "gray"}
# Demuxers that take any text for a film, or that follow a list to other files.
REFUSED_FORMATS = {"tty", "hls", "concat", "dash"}
MAX_GAP_SECONDS = 10.0  # a longer jump between two pictures is a broken clock, not a pause
SHORT_SECONDS = 1.0  # a file that ends this much before its header says so is cut off
TIE_SECONDS = 1e-3  # containers with a millisecond clock round this much
DRIFT_SECONDS = 0.1  # sound that arrives later than this after the last is a hole, filled with silence
MAX_SILENCE_SECONDS = 600.0
# A title in another encoding must not make a film unreadable; from 19 on PyAV takes care of that and has no option.
TOLERANT = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


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
    with _opened(path) as (container, name):
        stream = _video_stream(container, name)
        _, frame = next(_timed_frames(container, stream, name))
        width, height = frame.width, frame.height
        if frame.rotation % 180:
            width, height = height, width
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
    with _opened(path) as (container, _):
        return container.duration / av.time_base if container.duration else None


def read_video(
    path: str | Path | bytes, fps: float = 25.0, pixel: Pixel = "rgb", max_seconds: float | None = None
) -> Iterator[np.ndarray]:
    """Pictures at a steady rate, one at a time, whatever the file's own rate.

    Picture k shows what was visible (k + 0.5) / fps seconds after the first picture appeared; rotation is undone.
    Yields: contiguous uint8 (H, W, 3) for "rgb", (H, W) for "gray"; a fresh array each.
    Raises: MediaError where the file cannot be opened, holds no video, is damaged or cut off, or changes its size.
    """
    with _opened(path) as (container, name):
        shown = None  # the picture on the screen; converted only when a tick of the clock falls on it
        ticks = 0
        for start, frame in _timed_frames(container, _video_stream(container, name), name):
            until = start - TIE_SECONDS if shown else 0.0
            for picture in _repeat(shown, until, ticks, fps, pixel, max_seconds):
                yield picture
                ticks += 1
            if max_seconds is not None and (ticks + 0.5) / fps >= max_seconds:
                return
            shown = frame or shown
            if frame is None and ticks == 0:  # a lone picture shorter than half a tick
                yield _pixels(shown, pixel)


def _repeat(
    frame: av.VideoFrame | None, until: float, tick: int, fps: float, pixel: Pixel, max_seconds: float | None
) -> Iterator[np.ndarray]:
    """Copies of `frame` for the ticks from `tick` on whose middle lies before `until` seconds."""
    end = until if max_seconds is None else min(until, max_seconds)
    picture = None
    while frame is not None and (tick + 0.5) / fps < end:
        picture = _pixels(frame, pixel) if picture is None else picture.copy()
        yield picture
        tick += 1


def read_video_array(path: str | Path | bytes, pixel: Pixel = "gray") -> np.ndarray:
    """All pictures of a short clip as they lie in the file, with no change of rate.

    Args: path, or the file's bytes. Returns: (T, H, W) uint8 for "gray", (T, H, W, 3) for "rgb".
    Raises: MediaError as `read_video`.
    """
    with _opened(path) as (container, name):
        timed = _timed_frames(container, _video_stream(container, name), name)
        return np.stack([_pixels(frame, pixel) for _, frame in timed if frame is not None])


def count_frames(path: str | Path | bytes) -> int:
    """Pictures that can really be decoded, whatever the header says. Raises: MediaError as `read_video`."""
    with _opened(path) as (container, name):
        return sum(frame is not None for _, frame in _timed_frames(container, _video_stream(container, name), name))


def read_audio(path: str | Path, sample_rate: int = 16000) -> np.ndarray:
    """The sound, mixed to one channel, sample 0 at time zero (the first picture; without pictures, the first sample).

    Sound that starts late or stops in between is filled with silence; what comes before the first picture is cut off.
    Returns: (S,) float32 in [-1, 1]. Raises: MediaError where there is no sound or it cannot be decoded.
    """
    return np.concatenate(list(stream_audio(path, sample_rate)))


def stream_audio(path: str | Path, sample_rate: int = 16000) -> Iterator[np.ndarray]:
    """As `read_audio`, in consecutive blocks (S,) float32, for recordings that should not lie in memory whole."""
    with _opened(path) as (container, name):
        if not container.streams.audio:
            raise MediaError(f"{name}: has no sound; expected an audio stream.")
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
    video = _first_video(container)
    zero, waiting = None, []
    for packet in container.demux(audio if video is None else (video, audio)):
        if packet.stream.type == "video" and zero is not None:
            continue
        for frame in _decoded(packet, name, started=True, lenient=packet.stream.type == "video"):
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


def _timed_frames(container, stream, name: str) -> Iterator[tuple[float, av.VideoFrame | None]]:
    """(seconds since the first picture, picture) in order; the last entry is (end of the last picture, None)."""
    stream.codec_context.thread_count = 1  # one process a core is the caller's choice, and order never varies
    usual = 1.0 / float(stream.average_rate or stream.guessed_rate or 25)
    zero, last, size, length = None, None, None, usual
    for packet in container.demux(stream):
        for frame in _decoded(packet, name, started=last is not None):
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


def _decoded(packet, name: str, started: bool, lenient: bool = False) -> list:
    """Frames of one packet; before the first picture, what refers to pictures that were cut away is passed over."""
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        if started and not lenient:
            seconds = f" near {float(packet.pts * packet.time_base):.2f} s" if packet.pts is not None else ""
            raise MediaError(f"{name}: damaged {packet.stream.type} data{seconds}.") from None
        return []


def _pixels(frame: av.VideoFrame, pixel: Pixel) -> np.ndarray:
    # Rows are padded in FFmpeg's memory, and landmark detectors ignore strides: always a contiguous copy.
    picture = frame.to_ndarray(format=FORMATS[pixel])
    if frame.rotation % 360:
        picture = np.rot90(picture, round(frame.rotation / 90))
    return np.array(picture, order="C", copy=True)


def _first_video(container):
    picture_in_music = av.stream.Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & picture_in_music), None)


def _video_stream(container, name: str):
    stream = _first_video(container)
    if stream is None:
        raise MediaError(f"{name}: has no video stream; expected a recording with pictures.")
    return stream


@contextlib.contextmanager
def _opened(source: str | Path | bytes) -> Iterator[tuple[av.container.InputContainer, str]]:
    """An open container and its name for messages; where PyAV fails, through the ffmpeg binary if there is one."""
    name = f"<{len(source)} bytes>" if isinstance(source, bytes) else str(source)
    with contextlib.ExitStack() as stack:
        try:
            container = stack.enter_context(_open(source, name))
        except av.error.FFmpegError as error:
            copy = None if isinstance(source, bytes) else stack.enter_context(transcoded(source))
            if copy is None:
                raise MediaError(f"{name}: not a recording that can be read ({error.strerror}).") from None
            container = stack.enter_context(_open(copy, name))
        try:
            yield container, name
        except (av.error.FFmpegError, OSError) as error:
            raise MediaError(f"{name}: cannot be decoded ({error.strerror}).") from error


def _open(source: str | Path | bytes, name: str) -> av.container.InputContainer:
    if not isinstance(source, bytes):
        path = Path(source).absolute()  # absolute, so that no name is taken for a protocol
        if not path.is_file():
            raise MediaError(f"{name}: no such file.")
        if path.stat().st_size == 0:
            raise MediaError(f"{name}: the file is empty.")
    file = io.BytesIO(source) if isinstance(source, bytes) else str(path)
    options = {} if isinstance(source, bytes) else {"protocol_whitelist": "file"}
    # Not `options`: until 17.1 PyAV crashes with them on MPEG files, whose streams show up while it reads.
    container = av.open(file, container_options=options, **TOLERANT)
    if container.format.name in REFUSED_FORMATS:
        container.close()
        raise MediaError(f"{name}: not a recording (a text or a list, read as {container.format.name}).")
    return container


def encode_video(frames: Iterable[np.ndarray], fps: float = 25, crf: int = 18) -> bytes:
    """The bytes of an mp4 without sound. Args: frames, uint8 (T, H, W) grey or (T, H, W, 3) RGB, even H and W."""
    buffer = io.BytesIO()
    _encode(buffer, "<encoder>", frames, fps, None, 16000, crf)
    return buffer.getvalue()


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float = 25,
    audio: np.ndarray | None = None,
    sample_rate: int = 16000,
    crf: int = 18,
) -> None:
    """Write an mp4 (H.264 yuv420p, AAC) that any player shows; whole or not at all, the same bytes every time.

    Args: frames, iterable of uint8 (H, W) grey or (H, W, 3) RGB, even H and W; audio, (S,) float in [-1, 1].
    Raises: MediaError on no frames or a size that cannot be coded; DataError where the disk is full.
    """
    with atomic_path(path) as temporary:
        _encode(str(temporary.absolute()), str(path), frames, fps, audio, sample_rate, crf)


def _encode(target, name: str, frames: Iterable[np.ndarray], fps, audio, sample_rate: int, crf: int) -> None:
    rate = Fraction(fps).limit_denominator(1001)
    count = 0
    with av.open(target, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=rate)
        # One thread leaves the other cores to other processes. x264's macroblock tree gives other bytes, and other
        # pixels, from run to run even so; without it the same frames gave the same bytes in every trial.
        video.options = {"crf": str(crf), "threads": "1", "x264-params": "mbtree=0"}
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
