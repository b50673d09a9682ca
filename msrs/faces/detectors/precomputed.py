"""Landmarks that were made elsewhere or earlier, read from a folder."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from msrs.config import config
from msrs.errors import DataError, MediaError
from msrs.faces.landmarks import read_landmarks


class PrecomputedDetector:
    """Reads `<folder>/<recording>.npz` or `<folder>/<speaker>/<recording>.npz`, as msrs.faces.landmarks has them."""

    @config
    class Config:
        """Settings of the detector."""

        type: Literal["precomputed"] = "precomputed"
        landmarks: str  # the folder

    def __init__(self, config: Config):
        self.config = config

    def prepare(self) -> None:
        """Look for the folder. Raises: DataError where there is none."""
        if not Path(self.config.landmarks).is_dir():
            raise DataError(f"{self.config.landmarks}: no such folder; expected one with <recording>.npz files.")

    def fingerprint(self, recording: str, speaker: str) -> str:
        """Name, size and time of the recording's file."""
        path = self._find(recording, speaker)
        state = path.stat()
        return f"precomputed {path} {state.st_size} {state.st_mtime_ns}"

    def detect(self, recording: str, speaker: str, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Yields: for each frame that the file covers a list of one face (68, 2) float32, or of none.

        Raises: MediaError where the recording has no landmarks or its file is damaged.
        """
        try:
            face, _ = read_landmarks(self._find(recording, speaker))
        except DataError as error:
            raise MediaError(str(error)) from None
        for points, track in zip(face.points, face.track, strict=True):
            yield [points] if track >= 0 else []

    def _find(self, recording: str, speaker: str) -> Path:
        folder = Path(self.config.landmarks)
        candidates = folder / f"{recording}.npz", folder / speaker / f"{recording}.npz"
        for path in candidates:
            if path.is_file():
                return path
        raise MediaError(f"{recording}: no landmarks; expected {candidates[0]} or {candidates[1]}.")
