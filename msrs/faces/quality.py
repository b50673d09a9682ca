"""What a crop is worth: measured on the landmarks, the transforms and the patches themselves."""

import dataclasses

import numpy as np

from msrs.data.media import VideoInfo
from msrs.faces.align import STABLE, source_scale
from msrs.faces.track import TrackedFace

DARK_LEVEL = 16.0  # a patch whose mean grey is below this shows nothing


@dataclasses.dataclass(frozen=True)
class Quality:
    """One line of quality.tsv. Pixels are those of the recording unless the name says patch."""

    recording: str
    frames: int  # at 25 a second
    fps_in: float
    width_px: int
    height_px: int
    found_share: float  # frames in which the face was seen
    gap_frames: int  # frames whose landmarks were interpolated or repeated
    longest_gap_frames: int
    num_tracks: int  # different faces used in turn (cuts)
    max_faces: int  # most faces in view at once
    face_px: float  # median height of the face, brow to chin
    source_scale: float  # median pixels of the recording per pixel of the patch; below 1 the patch is enlarged
    jitter_patch_px: float  # mean second difference of the face's place, in pixels of the patch
    max_roll_degrees: float
    outside_share: float  # of the patches' area beyond the border of the picture
    brightness: float  # mean grey, 0..255
    dark_share: float  # patches that are black
    sharpness: float  # mean absolute difference of neighbouring patch pixels

    def alarms(self) -> list[str]:
        """What a person should look at, in a few words each; empty where nothing stands out."""
        checks = (
            (self.found_share < 0.9, f"face in {self.found_share:.0%}"),
            (self.longest_gap_frames > 12, f"gap of {self.longest_gap_frames} frames"),
            (self.num_tracks > 1, f"{self.num_tracks} faces in turn"),
            (self.max_faces > 1, f"{self.max_faces} faces in view"),
            (self.source_scale < 0.6, f"enlarged {1 / max(self.source_scale, 1e-3):.1f}x"),
            (self.jitter_patch_px > 2.0, f"jitter {self.jitter_patch_px:.1f} px"),
            (self.max_roll_degrees > 30, f"tilted {self.max_roll_degrees:.0f} degrees"),
            (self.outside_share > 0.05, f"{self.outside_share:.0%} outside"),
            (self.dark_share > 0, f"{self.dark_share:.0%} black"),
            (self.brightness < 40, "dark"),
            (self.brightness > 220, "overexposed"),
            (self.sharpness < 1.0, "blurred"),
        )
        return [text for is_raised, text in checks if is_raised]

    def badness(self) -> float:
        """Orders recordings for the contact sheet, the worst highest."""
        doubts = 1 - self.found_share, self.jitter_patch_px / 4, self.outside_share, self.dark_share
        return len(self.alarms()) + sum(min(doubt, 1.0) for doubt in doubts)


class PatchMeter:
    """Gathers the measures of patches one at a time; `add` returns the patch, so that it can sit in a stream."""

    def __init__(self):
        self.count = self.dark = 0
        self.grey = self.edges = 0.0

    def add(self, patch: np.ndarray) -> np.ndarray:
        """Args: patch (H, W) uint8."""
        level = float(patch.mean())
        signed = patch.astype(np.int16)
        self.count += 1
        self.dark += level < DARK_LEVEL
        self.grey += level
        self.edges += float(np.abs(np.diff(signed, axis=0)).mean() + np.abs(np.diff(signed, axis=1)).mean()) / 2
        return patch


def measure(
    recording: str, info: VideoInfo, face: TrackedFace, filled: np.ndarray, transforms: np.ndarray, meter: PatchMeter
) -> Quality:
    """All measures of one crop.

    Args: filled (T, 68, 2), the landmarks without gaps; transforms (T, 2, 3), patch to frame; meter of all patches.
    """
    scale = float(np.median(source_scale(transforms)))
    missing = face.track < 0
    roll = np.degrees(np.arctan2(transforms[:, 1, 0], transforms[:, 0, 0]))
    count = max(meter.count, 1)
    return Quality(
        recording=recording,
        frames=meter.count,
        fps_in=round(info.fps, 3),
        width_px=info.width,
        height_px=info.height,
        found_share=round(float(1 - missing.mean()), 4),
        gap_frames=int(missing.sum()),
        longest_gap_frames=longest_run(missing),
        num_tracks=len(np.unique(face.track[~missing])),
        max_faces=int(face.num_faces.max()),
        face_px=round(face_height(filled), 1),
        source_scale=round(scale, 3),
        jitter_patch_px=round(_jitter(filled) / scale, 3),
        max_roll_degrees=round(float(np.abs(roll).max()), 1),
        outside_share=round(_outside(transforms, info), 4),
        brightness=round(meter.grey / count, 1),
        dark_share=round(meter.dark / count, 4),
        sharpness=round(meter.edges / count, 2),
    )


def face_height(points: np.ndarray) -> float:
    """Median over time of the landmarks' vertical extent in pixels. Args: points (T, 68, 2); NaN rows do not count."""
    known = points[~np.isnan(points).any(axis=(1, 2))]
    return float(np.median(np.ptp(known[:, :, 1], axis=1))) if len(known) else 0.0


def longest_run(claims: np.ndarray) -> int:
    """Length of the longest stretch of True.

    >>> longest_run(np.array([True, False, True, True]))
    2
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], claims, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _jitter(points: np.ndarray) -> float:
    place = points[:, STABLE].mean(axis=1)
    return float(np.linalg.norm(np.diff(place, n=2, axis=0), axis=1).mean()) if len(place) > 2 else 0.0


def _outside(transforms: np.ndarray, info: VideoInfo) -> float:
    """Share of the patches' area beyond the picture, on a grid of 12x12 places of a 96-pixel patch."""
    steps = np.arange(4, 96, 8, dtype=float)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    places = grid @ np.swapaxes(transforms[:, :, :2], 1, 2) + transforms[:, None, :, 2]
    within = (places >= -0.5) & (places <= np.array([info.width, info.height]) - 0.5)
    return float(1 - within.all(axis=-1).mean())
