"""The way round for files that PyAV cannot open: the ffmpeg binary through ffmpeg-python, where both are present."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def transcoded(path: str | Path) -> Iterator[Path | None]:
    """Yield a temporary mkv copy (visually lossless H.264, PCM) of a recording, or None where that cannot be had."""
    with tempfile.TemporaryDirectory(prefix="msrs-") as folder:
        copy = Path(folder) / "copy.mkv"
        yield copy if _transcode(Path(path).absolute(), copy) else None


def _transcode(source: Path, target: Path) -> bool:
    if shutil.which("ffmpeg") is None:
        return False
    try:
        import ffmpeg
    except ImportError:
        return False
    output = ffmpeg.output(ffmpeg.input(str(source)), str(target), vcodec="libx264", crf=10, acodec="pcm_s16le")
    try:
        output.run(quiet=True)
    except ffmpeg.Error:
        return False
    return target.exists()
