"""Kaldi archives: many small arrays in one file, found again by the list beside it."""

import contextlib
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import kaldiio
import numpy as np

from msrs.data.kaldi_table import is_pipe
from msrs.errors import DataError
from msrs.files import atomic_path, read_lines


class ArkWriter:
    """Context that writes an archive and its list; both appear when it is left without an error, else neither.

    Arrays of any shape and number type, stored as numpy's own format within the archive (kaldiio reads them).
    Raises: DataError on a key that is empty, contains white space or comes twice, and where the disk is full.
    """

    def __init__(self, path_ark: str | Path, path_scp: str | Path):
        self.path_ark, self.path_scp = Path(path_ark), Path(path_scp)
        self._lines: dict[str, str] = {}
        self._files = self._open()

    def __enter__(self) -> "ArkWriter":
        return self._files.__enter__()

    def __exit__(self, *error) -> bool | None:
        return self._files.__exit__(*error)

    @contextlib.contextmanager
    def _open(self) -> Iterator["ArkWriter"]:
        with atomic_path(self.path_scp) as scp, atomic_path(self.path_ark) as ark:
            with open(ark, "wb") as self._handle:
                yield self
            scp.write_text("".join(line for _, line in sorted(self._lines.items())), encoding="utf-8", newline="\n")
            self.path_scp.unlink(missing_ok=True)  # an old list must never point into the new archive

    def write(self, key: str, array: np.ndarray) -> None:
        """Append an array under a key."""
        if key in self._lines:
            raise DataError(f"{self.path_ark}: {key} is written twice; keys must be unique.")
        if not key or key.split() != [key]:
            raise DataError(f"{self.path_ark}: {key!r} cannot be a key; expected a word without white space.")
        offset = self._handle.tell() + len(f"{key} ".encode())
        kaldiio.save_ark(self._handle, {key: array}, write_function="numpy")
        self._lines[key] = f"{key} {self.path_ark}:{offset}\n"


class ArkReader(Mapping[str, np.ndarray]):
    """Arrays by key, in any order, from any number of processes and threads: no open file is kept.

    An archive that has moved together with its list is found beside it.
    Args: path_scp, lines `key archive:offset`.
    Raises: DataError on a missing or wrong list, a shell pipe, a pickled entry, a cut-off archive; KeyError.
    """

    def __init__(self, path_scp: str | Path):
        self.path_scp = Path(path_scp)
        self._places: dict[str, tuple[str, int]] = {}
        moved: dict[str, str] = {}
        for number, line in enumerate(read_lines(self.path_scp), 1):
            key, place = self._parse(f"{self.path_scp}:{number}", line)
            archive = moved.setdefault(place[0], self._find(place[0]))
            self._places[key] = (archive, place[1])

    def _parse(self, where: str, line: str) -> tuple[str, tuple[str, int]]:
        key, _, value = line.partition(" ")
        archive, _, offset = value.strip().rpartition(":")
        if is_pipe(value.strip()):
            raise DataError(f"{where}: {key} is a shell command, refused; expected `key archive:offset`.")
        if not key or not archive or not offset.isdecimal():
            raise DataError(f"{where}: expected `key archive:offset`, given {line!r}.")
        if key in self._places:
            raise DataError(f"{where}: {key} is given twice.")
        return key, (archive, int(offset))

    def _find(self, archive: str) -> str:
        beside = self.path_scp.parent / Path(archive).name
        return str(beside) if beside.exists() and not Path(archive).exists() else archive

    def __getitem__(self, key: str) -> np.ndarray:
        archive, offset = self._places[key]
        try:
            with open(archive, "rb") as handle:
                handle.seek(offset)
                if handle.read(3) == b"PKL":  # loading a pickle runs code of whoever wrote it
                    raise DataError(f"{archive}: {key} is a pickled object, refused; expected an array.")
                handle.seek(offset)
                array = kaldiio.matio.read_kaldi(handle)
        except OSError as error:
            raise DataError(f"{archive}: {key} cannot be read ({error.strerror}); rerun stage 2.") from None
        except (ValueError, EOFError, AssertionError, IndexError, UnicodeDecodeError, struct.error):
            raise DataError(
                f"{archive}: {key} is not whole, or {self.path_scp} is not its list; rerun stage 2."
            ) from None
        if not isinstance(array, np.ndarray):
            raise DataError(f"{archive}: {key} is {type(array).__name__}, expected an array.")
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places
