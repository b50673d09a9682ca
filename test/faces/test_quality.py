import dataclasses

import numpy as np
import pytest

from msrs.data.media import VideoInfo
from msrs.faces.align import CropGeometry, patch_transforms
from msrs.faces.quality import PatchMeter, Quality, face_height, longest_run, measure
from msrs.faces.track import TrackedFace

INFO = VideoInfo(20, 25.0, 256, 240, 0.8, False)
GOOD = Quality("r", 20, 25.0, 256, 240, 1.0, 0, 0, 1, 1, 120.0, 1.0, 0.2, 3.0, 0.0, 120.0, 0.0, 3.0)


def measured(points: np.ndarray, patches: np.ndarray, track: np.ndarray | None = None) -> Quality:
    track = np.zeros(len(points), np.int16) if track is None else track
    face = TrackedFace(points.astype(np.float32), track, np.ones(len(points), np.int16))
    meter = PatchMeter()
    for patch in patches:
        assert meter.add(patch) is patch
    return measure("r", INFO, face, points, patch_transforms(points, [slice(0, len(points))], CropGeometry()), meter)


def test_still_face_has_no_jitter_and_known_measures(face):
    grey = np.full((20, 96, 96), 100, np.uint8)
    quality = measured(np.repeat(face[None], 20, 0), grey)
    assert quality.jitter_patch_px == 0
    assert quality.source_scale == pytest.approx(1, abs=1e-3)
    assert quality.face_px == pytest.approx(np.ptp(face[:, 1]), abs=0.1)
    assert quality.brightness == 100
    assert quality.sharpness == 0
    assert quality.outside_share == 0
    assert quality.alarms() == ["blurred"]


def test_jitter_counts_in_pixels_of_the_patch(face):
    shake = np.where(np.arange(20) % 2, 1.0, -1.0)[:, None, None]
    quality = measured(2 * (np.repeat(face[None], 20, 0) + shake), np.full((20, 96, 96), 100, np.uint8))
    assert quality.jitter_patch_px == pytest.approx(4 * np.sqrt(2), rel=0.01)


def test_gaps_and_border_are_counted(face):
    track = np.array([0] * 5 + [-1] * 3 + [0] * 10 + [-1] * 2, np.int16)
    quality = measured(np.repeat(face[None] - [[200, 0]], 20, 0), np.full((20, 96, 96), 100, np.uint8), track)
    assert (quality.found_share, quality.gap_frames, quality.longest_gap_frames) == (0.75, 5, 3)
    assert quality.outside_share == 1


def test_black_patches_are_told(face):
    patches = np.full((20, 96, 96), 120, np.uint8)
    patches[:5] = 3
    quality = measured(np.repeat(face[None], 20, 0), patches)
    assert quality.dark_share == 0.25
    assert "25% black" in quality.alarms()


def test_sharpness_is_the_difference_of_neighbours(face):
    stripes = np.zeros((20, 96, 96), np.uint8)
    stripes[:, :, ::2] = 100
    assert measured(np.repeat(face[None], 20, 0), stripes).sharpness == 50


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"found_share": 0.6}, "60%"),
        ({"longest_gap_frames": 13}, "13"),
        ({"num_tracks": 2}, "turn"),
        ({"max_faces": 3}, "3 faces"),
        ({"source_scale": 0.25}, "4.0x"),
        ({"jitter_patch_px": 3.0}, "jitter"),
        ({"max_roll_degrees": 45.0}, "tilted"),
        ({"outside_share": 0.2}, "20% outside"),
        ({"dark_share": 0.1}, "black"),
        ({"brightness": 20.0}, "dark"),
        ({"brightness": 240.0}, "overexposed"),
        ({"sharpness": 0.5}, "blurred"),
    ],
)
def test_each_fault_raises_its_own_alarm(change, word):
    assert GOOD.alarms() == []
    bad = dataclasses.replace(GOOD, **change)
    assert len(bad.alarms()) == 1
    assert word in bad.alarms()[0]
    assert bad.badness() > GOOD.badness()


def test_longest_run_of_none_and_all():
    assert longest_run(np.zeros(4, bool)) == 0
    assert longest_run(np.ones(4, bool)) == 4


def test_height_passes_over_unseen_frames(face):
    assert face_height(np.stack([face, face * np.nan])) == pytest.approx(np.ptp(face[:, 1]))
    assert face_height(face[None] * np.nan) == 0
