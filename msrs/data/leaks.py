"""Whether two sets share a recording: by resolved path, and by content where a copy bears another name."""

import functools
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence

from msrs.files import sha256

EDGE_BYTES = 1 << 20


def shared_media(sets: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Pairs (set, sentence) for each recording that an earlier set has too.

    Copies have the same length, so that only files whose length occurs in two sets are opened; of those the first and
    last MiB are hashed, and the whole only where these agree. An LRS3 costs little more than looking at its folders.
    Args: sets, name -> media files; files that do not exist are compared by path alone.
    """
    owner: dict[str, tuple[str, str]] = {}
    by_size: dict[int, list[tuple[str, str, str]]] = {}
    real_folder = functools.cache(os.path.realpath)  # one look at the disk a file: corpora have few folders
    for name, files in sets.items():
        for file in files:
            path, size = _resolved(file, real_folder)
            first_name, first_file = owner.setdefault(path, (name, file))
            if first_name != name:
                yield name, f"uses {file}, which {first_name} uses too{_also(file, first_file)}"
            elif size is not None:
                by_size.setdefault(size, []).append((name, file, path))
    for candidates in by_size.values():
        if len({name for name, _, _ in candidates}) > 1:
            yield from _same_content(candidates)


def _resolved(file: str, real_folder: Callable[[str], str]) -> tuple[str, int | None]:
    """Real path and length (None: no such file)."""
    folder, name = os.path.split(file)
    path = os.path.join(real_folder(folder), name)
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            path = os.path.realpath(path)
            status = os.stat(path)
    except OSError:
        return path, None
    return path, status.st_size if stat.S_ISREG(status.st_mode) else None


def _also(file: str, other: str) -> str:
    return "" if file == other else f" (as {other})"


def _same_content(candidates: list[tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
    by_edges: dict[str, list[tuple[str, str, str]]] = {}
    for candidate in candidates:
        by_edges.setdefault(_edge_hash(candidate[2]), []).append(candidate)
    for group in by_edges.values():
        if len({name for name, _, _ in group}) < 2:
            continue
        first: dict[str, tuple[str, str]] = {}
        for name, file, path in group:
            first_name, first_file = first.setdefault(sha256(path), (name, file))
            if first_name != name:
                yield name, f"{file} is a copy of {first_file}, which {first_name} uses"


def _edge_hash(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        digest.update(handle.read(EDGE_BYTES))
        handle.seek(max(EDGE_BYTES, os.fstat(handle.fileno()).st_size - EDGE_BYTES))
        digest.update(handle.read(EDGE_BYTES))
    return digest.hexdigest()
