"""Geometry of the mouth patch: 68 landmarks a frame -> one similarity a frame -> one bilinear sampling of the frame.

The geometry is the one that published lip-reading models were trained on (Auto-AVSR and its relatives): landmarks
smoothed over time, eight stable points fitted to a mean face, a patch around the mean of the mouth's twenty points.
Points are (x, y) in pixels; a pixel's centre has integer coordinates.
"""

import numpy as np

from msrs.config import config

# The vertices of the 478-point face mesh that stand for the 68 points of the iBUG scheme. Point 28 lies between two:
# fitted to the mean face, vertex 197 was 3 pixels above it and 195 as much below (seven speakers of GRID).
MESH_TO_68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw, 0..16
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows, 17..26
    *(168, (197, 195), 5, 4, 75, 97, 2, 326, 305),  # nose, 27..35
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes, 36..47
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lip, 48..59
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lip, 60..67
)
# Nose bridge, nose base, four eye corners, two mouth corners: they move little while a person speaks.
STABLE = (28, 33, 36, 39, 42, 45, 48, 54)
MOUTH = tuple(range(48, 68))
# Where the stable points lie in the mean face of the published models, a canvas of 256x256 pixels.
MEAN_FACE = np.array(
    [
        [128.4885, 106.9246],
        [128.8702, 137.3025],
        [92.5225, 94.3688],
        [112.7724, 94.9436],
        [145.5251, 94.5350],
        [166.6771, 93.5656],
        [107.1676, 157.1961],
        [152.1928, 156.9871],
    ]
)


@config
class CropGeometry:
    """How the patch is cut."""

    size: int = 96  # side of the patch in pixels; the face's scale stays the same, a larger patch shows more of it
    smoothing_frames: int = 6  # frames on either side that take part in the smoothing of shape, scale and rotation


def smooth_landmarks(points: np.ndarray, half_width: int) -> np.ndarray:
    """Centred mean over time that keeps each frame's own position.

    The window shrinks evenly at both ends; then the face is moved back, so that its centroid is that of its own frame:
    shape, scale and rotation are smoothed, position is not.
    Args: points (T, K, 2), no NaN; half_width in frames. Returns: (T, K, 2) float64.
    """
    points = np.asarray(points, dtype=np.float64)
    frames = np.arange(len(points))
    margin = np.minimum(half_width, np.minimum(frames, len(points) - 1 - frames))
    sums = np.concatenate([np.zeros_like(points[:1]), np.cumsum(points, axis=0)])
    mean = (sums[frames + margin + 1] - sums[frames - margin]) / (2 * margin + 1)[:, None, None]
    return mean - mean.mean(axis=1, keepdims=True) + points.mean(axis=1, keepdims=True)


def fit_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares similarity (scale, rotation, shift) that carries each frame's points onto the target.

    Args: source (T, P, 2), target (P, 2). Returns: (T, 2, 3) float64, target ~ A[:, :2] @ source + A[:, 2].
    """
    source_mean, target_mean = source.mean(axis=1), target.mean(axis=0)
    x, y = np.moveaxis(source - source_mean[:, None], -1, 0)
    u, v = (target - target_mean).T
    norm = (x**2 + y**2).sum(axis=1)
    norm = np.where(norm > 0, norm, np.inf)  # all points in one place: a zero matrix, never a NaN
    a, b = (x * u + y * v).sum(axis=1) / norm, (x * v - y * u).sum(axis=1) / norm
    linear = np.stack([np.stack([a, -b], axis=-1), np.stack([b, a], axis=-1)], axis=1)
    shift = target_mean - (linear @ source_mean[:, :, None])[:, :, 0]
    return np.concatenate([linear, shift[:, :, None]], axis=2)


def apply_transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (T, P, 2) carried by (T, 2, 3) matrices. Returns: (T, P, 2)."""
    return points @ np.swapaxes(matrix[:, :, :2], 1, 2) + matrix[:, None, :, 2]


def patch_transforms(points: np.ndarray, segments: list[slice], geometry: CropGeometry) -> np.ndarray:
    """For each frame the map from patch pixels to frame pixels.

    Args: points (T, 68, 2) without gaps; segments, stretches of one face, smoothed apart from one another.
    Returns: (T, 2, 3) float64; column j, row i of the patch shows the frame at M[:, :2] @ (j, i) + M[:, 2].
    """
    smooth = np.concatenate([smooth_landmarks(points[part], geometry.smoothing_frames) for part in segments])
    to_face = fit_similarity(smooth[:, STABLE], MEAN_FACE)
    corner = apply_transform(to_face, smooth[:, MOUTH]).mean(axis=1) - geometry.size / 2
    inverse = np.linalg.inv(to_face[:, :, :2])
    shift = (inverse @ (corner - to_face[:, :, 2])[:, :, None])[:, :, 0]
    return np.concatenate([inverse, shift[:, :, None]], axis=2)


def source_scale(transforms: np.ndarray) -> np.ndarray:
    """Frame pixels per patch pixel. Args: (T, 2, 3). Returns: (T,)."""
    return np.hypot(transforms[:, 0, 0], transforms[:, 1, 0])


class PatchWarper:
    """Cuts patches out of grey frames, black where a patch reaches beyond the frame.

    A face larger than in the patch is sampled on a grid `oversampling` times as fine and averaged over squares, so that
    fine texture does not flicker. The factor must not change within a recording: it is fixed here.
    """

    def __init__(self, size: int, oversampling: int):
        fine = (np.arange(size * oversampling) + 0.5) / oversampling - 0.5
        self.columns, self.rows = np.meshgrid(fine.astype(np.float32), fine.astype(np.float32))
        self.size, self.oversampling = size, oversampling

    @classmethod
    def for_transforms(cls, transforms: np.ndarray, size: int) -> "PatchWarper":
        """A warper whose oversampling suits the recording's median scale."""
        return cls(size, max(1, int(np.rint(np.median(source_scale(transforms))))))

    def __call__(self, frame: np.ndarray, transform: np.ndarray) -> np.ndarray:
        """Args: frame (H, W) uint8, transform (2, 3). Returns: (size, size) uint8."""
        (a, b, c), (d, e, f) = np.asarray(transform, dtype=np.float64)
        left, top = (int(np.floor(v)) for v in (self._lowest(a, b) + c, self._lowest(d, e) + f))
        x = np.float32(a) * self.columns + np.float32(b) * self.rows + np.float32(c - left)
        y = np.float32(d) * self.columns + np.float32(e) * self.rows + np.float32(f - top)
        x, y = np.maximum(x, 0), np.maximum(y, 0)
        window = _window(frame, left, top, int(x.max()) + 2, int(y.max()) + 2)
        column, row = x.astype(np.intp), y.astype(np.intp)
        x -= column
        y -= row
        index = row * window.shape[1] + column
        flat = window.ravel()
        upper = flat[index] * (1 - x) + flat[index + 1] * x
        index += window.shape[1]
        lower = flat[index] * (1 - x) + flat[index + 1] * x
        patch = upper * (1 - y) + lower * y
        if self.oversampling > 1:
            patch = patch.reshape(self.size, self.oversampling, self.size, self.oversampling).mean(axis=(1, 3))
        return np.rint(patch).astype(np.uint8)

    def _lowest(self, per_column: float, per_row: float) -> float:
        ends = self.columns[0, [0, -1]]  # the grid is square: rows begin and end where columns do
        return float((per_column * ends).min() + (per_row * ends).min())


def _window(frame: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
    """A rectangle of the frame as float32, zero beyond its border."""
    window = np.zeros((height, width), dtype=np.float32)
    y0, y1 = max(top, 0), min(top + height, frame.shape[0])
    x0, x1 = max(left, 0), min(left + width, frame.shape[1])
    if y0 < y1 and x0 < x1:
        window[y0 - top : y1 - top, x0 - left : x1 - left] = frame[y0:y1, x0:x1]
    return window
