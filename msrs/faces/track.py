"""One face through a recording: the largest, kept by overlap from frame to frame; gaps filled.

Several people may be in view. Faces are linked into tracks, and the track that is large and long wins; another one is
used only where the first is not in view at all (after a cut).
"""

import dataclasses

import numpy as np

MIN_OVERLAP = 0.2  # intersection over union with the face's last place
MAX_LOST_FRAMES = 25  # a face that was away for longer is taken for a new one
MIN_SECOND_FRAMES = 5  # shorter tracks beside the main one are taken for false alarms


@dataclasses.dataclass
class _Track:
    first: int
    frames: list[int] = dataclasses.field(default_factory=list)
    points: list[np.ndarray] = dataclasses.field(default_factory=list)
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    weight: float = 0.0

    def add(self, frame: int, points: np.ndarray) -> None:
        self.frames.append(frame)
        self.points.append(points)
        self.box = bounding_box(points)
        self.weight += _area(self.box)


@dataclasses.dataclass
class TrackedFace:
    """A recording's face: points (T, 68, 2) float32, NaN where unseen; track (T,) int16, -1 there; num_faces (T,)."""

    points: np.ndarray
    track: np.ndarray
    num_faces: np.ndarray


class FaceTracker:
    """Links faces over frames: `add` each frame's faces in order, then `result`."""

    def __init__(self):
        self.tracks: list[_Track] = []
        self.counts: list[int] = []

    def add(self, faces: list[np.ndarray]) -> None:
        """Args: the frame's faces, each (68, 2)."""
        now = len(self.counts)
        self.counts.append(len(faces))
        active = [track for track in self.tracks if now - track.frames[-1] <= MAX_LOST_FRAMES]
        boxes = [bounding_box(face) for face in faces]
        pairs = sorted(
            ((overlap(track.box, box), i, k) for i, track in enumerate(active) for k, box in enumerate(boxes)),
            key=lambda pair: (-pair[0], pair[1], pair[2]),
        )
        linked: dict[int, int] = {}
        for value, i, k in pairs:
            if value >= MIN_OVERLAP and i not in linked.values() and k not in linked:
                linked[k] = i
        for k, face in enumerate(faces):
            if k not in linked:
                self.tracks.append(_Track(now))
            (active[linked[k]] if k in linked else self.tracks[-1]).add(now, face)

    def result(self) -> TrackedFace:
        """The main face of all frames added so far."""
        total = len(self.counts)
        points = np.full((total, 68, 2), np.nan, dtype=np.float32)
        track = np.full(total, -1, dtype=np.int16)
        chosen: list[_Track] = []
        for candidate in sorted(self.tracks, key=lambda one: (-one.weight, one.first)):
            apart = all(candidate.frames[-1] < one.first or candidate.first > one.frames[-1] for one in chosen)
            if not chosen or apart and len(candidate.frames) >= MIN_SECOND_FRAMES:
                chosen.append(candidate)
        for number, one in enumerate(sorted(chosen, key=lambda one: one.first)):
            points[one.frames] = one.points
            track[one.frames] = number
        return TrackedFace(points, track, np.array(self.counts, dtype=np.int16))


def bounding_box(points: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of points (K, 2) in pixels."""
    left, top = points.min(axis=0)
    right, bottom = points.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def _area(box: tuple[float, float, float, float]) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def overlap(one: tuple[float, float, float, float], two: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom).

    >>> overlap((0, 0, 2, 1), (1, 0, 3, 1))
    0.3333333333333333
    """
    common = _area((max(one[0], two[0]), max(one[1], two[1]), min(one[2], two[2]), min(one[3], two[3])))
    union = _area(one) + _area(two) - common
    return common / union if union > 0 else 0.0


def face_segments(track: np.ndarray) -> list[slice]:
    """Stretches of one face that together cover all frames; a gap between two faces is cut in its middle.

    Args: track (T,), -1 where no face was seen. Returns: at least one slice where T > 0.

    >>> face_segments(np.array([-1, 0, 0, -1, -1, 1]))
    [slice(0, 4, None), slice(4, 6, None)]
    """
    seen = np.flatnonzero(track >= 0)
    changes = np.flatnonzero(np.diff(track[seen]))
    cuts = [int(seen[i] + seen[i + 1]) // 2 + 1 for i in changes]
    return [slice(start, stop) for start, stop in zip([0, *cuts], [*cuts, len(track)], strict=True)]


def seen_stretches(track: np.ndarray, most_missing: int) -> list[tuple[int, int]]:
    """Stretches in which a face is in view but for gaps of at most `most_missing` frames, also at the ends.

    Args: track (T,), -1 where no face was seen. Returns: (first frame, frame after the last) of each.

    >>> seen_stretches(np.array([-1, 0, 0, -1, 0, -1, -1, 1, -1, -1]), 1)
    [(0, 5), (7, 8)]
    """
    seen = np.flatnonzero(track >= 0)
    if not len(seen):
        return []
    breaks = np.flatnonzero(np.diff(seen) - 1 > most_missing)
    stretches = list(zip(seen[[0, *(breaks + 1)]].tolist(), (seen[[*breaks, -1]] + 1).tolist(), strict=True))
    if stretches[0][0] <= most_missing:
        stretches[0] = (0, stretches[0][1])
    if len(track) - stretches[-1][1] <= most_missing:
        stretches[-1] = (stretches[-1][0], len(track))
    return stretches


def fill_gaps(points: np.ndarray, segments: list[slice]) -> np.ndarray:
    """Unseen frames from the seen ones around them: linear between two, repeated at the ends of a segment.

    Args: points (T, K, 2), NaN rows where unseen; each segment holds a seen frame. Returns: (T, K, 2) float64.
    """
    filled = np.asarray(points, dtype=np.float64).copy()
    for part in segments:
        view = filled[part]
        known = ~np.isnan(view).any(axis=(1, 2))
        seen, missing = np.flatnonzero(known), np.flatnonzero(~known)
        if not len(missing):
            continue
        right = np.searchsorted(seen, missing).clip(max=len(seen) - 1)
        left = np.where(seen[right] < missing, right, np.maximum(np.searchsorted(seen, missing) - 1, 0))
        span = np.maximum(seen[right] - seen[left], 1)
        share = ((missing - seen[left]) / span).clip(0, 1)[:, None, None]
        view[missing] = view[seen[left]] * (1 - share) + view[seen[right]] * share
    return filled
