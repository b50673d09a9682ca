"""Landmarks on disk: one .npz a recording, written by msrs-crop, readable by it again and by anyone with numpy.

`frames` (T,) int: frame numbers at 25 frames a second, the recording's first is 0; `points` (T, 68, 2) float32 in
pixels, NaN rows where no face was seen ((T, 478, 2) is read as well). Optional: `track` (T,) int, which face it is, -1
for none; `num_faces` (T,); `made_by`, a hash of what the landmarks were made from.
"""

import zipfile
from pathlib import Path

import numpy as np

from msrs.errors import DataError
from msrs.faces.align import MESH_TO_68
from msrs.faces.track import TrackedFace
from msrs.files import atomic_path

MESH_SIZES = (468, 478)  # the mesh without and with the irises
STEPS_PER_PIXEL = 64  # finer digits are noise, and rounded numbers pack to half the size


def to_68_points(points: np.ndarray, source: str) -> np.ndarray:
    """The 68 points (..., 68, 2) float32 of a mesh or of 68 points. Raises: DataError, naming `source`, on others."""
    if points.ndim < 2 or points.shape[-1] < 2 or points.shape[-2] not in (68, *MESH_SIZES):
        raise DataError(f"{source}: points have the shape {points.shape}; expected (frames, 68 or 478, 2).")
    points = np.asarray(points[..., :2], dtype=np.float32)
    if points.shape[-2] == 68:
        return points
    first, second = np.array([(one, one) if isinstance(one, int) else one for one in MESH_TO_68]).T
    return (points[..., first, :] + points[..., second, :]) / 2


def round_points(points: np.ndarray) -> np.ndarray:
    """Points at the precision in which they are stored, so that a first run and one from stored landmarks agree."""
    return (np.rint(points * STEPS_PER_PIXEL) / STEPS_PER_PIXEL).astype(np.float32)


def write_landmarks(path: str | Path, face: TrackedFace, made_by: str) -> None:
    """Write a recording's landmarks, whole or not at all."""
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            frames=np.arange(len(face.points), dtype=np.int32),
            points=round_points(face.points),
            track=face.track,
            num_faces=face.num_faces,
            made_by=np.array(made_by),
        )


def read_landmarks(path: str | Path) -> tuple[TrackedFace, str]:
    """A recording's landmarks and the hash of what they were made from (empty where the file does not say).

    Frames that the file leaves out count as unseen. Raises: DataError naming the file where it is not as described.
    """
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable .npz file of landmarks ({error}).") from None
    if "points" not in arrays:
        raise DataError(f"{path}: holds {', '.join(arrays) or 'nothing'}; expected an array `points`.")
    given = to_68_points(arrays["points"], str(path))
    if given.ndim != 3:
        raise DataError(f"{path}: points have {given.ndim} axes; expected (frames, points, 2).")
    frames = arrays.get("frames", np.arange(len(given)))
    increasing = frames.shape == (len(given),) and np.all(np.diff(frames) > 0) and (not len(frames) or frames[0] >= 0)
    if not increasing:
        raise DataError(f"{path}: `frames` must be {len(given)} rising numbers, one for each row of `points`.")
    total = int(frames[-1]) + 1 if len(frames) else 0
    points = np.full((total, 68, 2), np.nan, dtype=np.float32)
    points[frames] = given
    seen = ~np.isnan(points).any(axis=(1, 2))
    track = _spread(arrays.get("track"), frames, np.where(seen, 0, -1))
    num_faces = _spread(arrays.get("num_faces"), frames, seen.astype(int))
    return TrackedFace(points, np.where(seen, track, -1).astype(np.int16), num_faces), str(arrays.get("made_by", ""))


def _spread(given: np.ndarray | None, frames: np.ndarray, default: np.ndarray) -> np.ndarray:
    result = default.astype(np.int16)
    if given is not None and given.shape == frames.shape:
        result[frames] = given
    return result
