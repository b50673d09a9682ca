"""A recording held open: its streams, its packets decoded, whatever is wrong told as a MediaError that names it."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import av

from msrs.data.transcode import transcoded
from msrs.errors import MediaError

# Demuxers that take any text for a film, or that follow a list to other files.
REFUSED_FORMATS = {"tty", "hls", "concat", "dash"}
# A title in another encoding must not make a film unreadable; from 19 on PyAV takes care of that and has no option.
TOLERANT = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


@contextlib.contextmanager
def opened(source: str | Path | bytes) -> Iterator[tuple[av.container.InputContainer, str]]:
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
            raise MediaError(f"{name}: no such file{' (a folder)' if path.is_dir() else ''}.")
        if path.stat().st_size == 0:
            raise MediaError(f"{name}: the file is empty.")
    file = io.BytesIO(source) if isinstance(source, bytes) else str(path)
    options = {} if isinstance(source, bytes) else {"protocol_whitelist": "file"}
    # Not `options`: until 17.1 PyAV crashes with them on MPEG files, whose streams show up while it reads.
    container = av.open(file, container_options=options, **TOLERANT)
    if container.format.name in REFUSED_FORMATS:
        container.close()
        raise MediaError(f"{name}: not a recording (a text or a list, read as {container.format.name}).")
    for stream in container.streams:
        if stream.codec_context is not None:
            stream.codec_context.thread_count = 1  # one process a core is the caller's choice
    return container


def first_video(container):
    """The first video stream that is not the cover of a piece of music, or None."""
    picture_in_music = av.stream.Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & picture_in_music), None)


def video_stream(container, name: str):
    """As `first_video`. Raises: MediaError where there is none."""
    stream = first_video(container)
    if stream is None:
        raise MediaError(f"{name}: has no video stream; expected a recording with pictures.")
    if stream.codec_context is None:
        raise MediaError(
            f"{name}: its video is in a form that this build of FFmpeg cannot decode; convert it to H.264."
        )
    return stream


def decoded(packet, name: str, started: bool, lenient: bool = False) -> list:
    """Frames of one packet; before the first picture, what refers to pictures that were cut away is passed over."""
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        if started and not lenient:
            seconds = f" near {float(packet.pts * packet.time_base):.2f} s" if packet.pts is not None else ""
            raise MediaError(f"{name}: damaged {packet.stream.type} data{seconds}.") from None
        return []
