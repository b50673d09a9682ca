"""Files that are whole or absent: written under a temporary name, synchronised, renamed."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from msrs.errors import DataError


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on failure it is removed.

    The temporary name keeps the suffix, because encoders choose their container by it.
    Raises: DataError naming the file and the remedy where the disk is full or not writable, or the name is taken or none.
    """
    path = Path(path)
    if not path.name:
        raise DataError(f"{path}: names no file; give the name of the one that is to be written.")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def append_text(path: str | Path, text: str) -> None:
    """Add UTF-8 text to the end of a file; where that fails, a part of it may be there. Raises: DataError as `atomic_path`."""
    try:
        with open(path, "a", encoding="utf-8", newline="\n") as handle:
            handle.write(text)
    except OSError as error:
        raise write_error(path, error) from error


def remove_half_written(folder: str | Path) -> None:
    """Remove what `atomic_path` left in a folder, or deeper, when its process was killed; nobody may be writing there."""
    for path in Path(folder).rglob(".*.[0-9]*.tmp*"):
        path.unlink(missing_ok=True)


def write_error(path: str | Path, error: OSError) -> Exception:
    """The DataError for a failed write where the disk, its permissions or the name are to blame, else `error` itself."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(f"{path}: the disk is full; what was there before is intact. Free some space and start again.")
    if error.errno == errno.EFBIG:
        return DataError(
            f"{path}: could not be written whole ({error.strerror}); what was there before is intact. Raise the limit of the "
            f"size of files (ulimit -f) and start again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DataError(f"{path}: cannot be written ({error.strerror}); choose a folder that you may write to.")
    if error.errno == errno.ENAMETOOLONG:
        return DataError(f"{path}: cannot be written ({error.strerror}); choose a shorter one.")
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        return DataError(
            f"{path}: cannot be written, for a file has a folder's name or a folder its own; choose another."
        )
    return error


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def read_lines(path: str | Path) -> list[str]:
    """Lines of a UTF-8 file without their ends. Raises: DataError if missing, a directory or not UTF-8."""
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line}: not UTF-8 text; convert it, for example with iconv -t utf-8.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    # Only "\n" ends a line: str.splitlines would also cut at U+2028 and friends inside a transcript.
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return lines[:-1] if lines and lines[-1] == "" else lines


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
