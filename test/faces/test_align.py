import numpy as np
import pytest

from msrs.faces.align import (
    MEAN_FACE,
    MESH_TO_68,
    MOUTH,
    STABLE,
    CropGeometry,
    PatchWarper,
    apply_transform,
    fit_similarity,
    patch_transforms,
    smooth_landmarks,
    source_scale,
)


def similarity(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    a, b = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[a, -b, x], [b, a, y]])


def identity_at(x: float, y: float, scale: float = 1.0) -> np.ndarray:
    return np.array([[scale, 0, x], [0, scale, y]])


def test_table_of_points_has_68_different_entries():
    assert len(MESH_TO_68) == len(set(MESH_TO_68)) == 68


@pytest.mark.parametrize(("scale", "degrees", "x", "y"), [(1, 0, 0, 0), (0.4, 30, 50, -20), (3, -170, -9, 400)])
def test_known_similarity_is_recovered(scale, degrees, x, y):
    known = similarity(scale, degrees, x, y)
    target = apply_transform(known[None], MEAN_FACE[None])[0]
    np.testing.assert_allclose(fit_similarity(MEAN_FACE[None], target), known[None], atol=1e-9)


def test_fit_is_the_least_squares_solution():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(8, 2)) * 30, rng.normal(size=(8, 2)) * 30
    rows = [row for x, y in source for row in ((x, -y, 1, 0), (y, x, 0, 1))]
    a, b, x, y = np.linalg.lstsq(np.array(rows), target.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(fit_similarity(source[None], target)[0], [[a, -b, x], [b, a, y]], atol=1e-9)


def test_points_in_one_place_give_no_nan():
    assert np.isfinite(fit_similarity(np.full((1, 8, 2), 7.0), MEAN_FACE)).all()


def test_smoothing_equals_the_plain_definition():
    points = np.random.default_rng(1).normal(size=(30, 5, 2)) * 10
    smooth = smooth_landmarks(points, 6)
    for t in range(30):
        margin = min(6, t, 29 - t)
        mean = points[t - margin : t + margin + 1].mean(0)
        np.testing.assert_allclose(smooth[t], mean - mean.mean(0) + points[t].mean(0), atol=1e-9)


def test_smoothing_keeps_position_and_a_rigid_shape():
    shape = np.random.default_rng(2).normal(size=(1, 68, 2))
    path = np.random.default_rng(3).normal(size=(20, 1, 2)) * 50
    np.testing.assert_allclose(smooth_landmarks(shape + path, 6), shape + path, atol=1e-9)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_short_recordings_are_smoothed_too(face, frames):
    points = np.repeat(face[None], frames, 0)
    np.testing.assert_allclose(smooth_landmarks(points, 6), points)


def test_patch_of_a_turned_face_shows_the_mean_face(face):
    known = similarity(1.7, 25, 40, 10)
    seen = apply_transform(known[None], face[None])
    transform = patch_transforms(np.repeat(seen, 15, 0), [slice(0, 15)], CropGeometry())[7]
    corner = face[list(MOUTH)].mean(0) - 48
    expected = apply_transform(known[None], (np.array([[0, 0], [95, 0], [10, 70]]) + corner)[None])[0]
    found = apply_transform(transform[None], np.array([[[0.0, 0], [95, 0], [10, 70]]]))[0]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(source_scale(transform[None]), [1.7])


def test_patch_size_shifts_the_corner_and_keeps_the_scale(face):
    points = np.repeat(face[None], 3, 0)
    small, large = (patch_transforms(points, [slice(0, 3)], CropGeometry(size=size))[0] for size in (96, 128))
    np.testing.assert_allclose(small[:, :2], large[:, :2])
    np.testing.assert_allclose(small[:, 2] - large[:, 2], [16, 16])


def test_segments_are_smoothed_apart(face):
    points = np.concatenate([np.repeat(face[None], 10, 0), np.repeat(2 * face[None], 10, 0)])
    apart = patch_transforms(points, [slice(0, 10), slice(10, 20)], CropGeometry())
    np.testing.assert_allclose(source_scale(apart), [1.0] * 10 + [2.0] * 10)
    together = source_scale(patch_transforms(points, [slice(0, 20)], CropGeometry()))
    assert 1.05 < together[9] < 1.95  # what the segments are for


def test_warp_without_motion_is_a_copy():
    frame = np.random.default_rng(4).integers(0, 256, (150, 160), dtype=np.uint8)
    patch = PatchWarper(96, 1)(frame, identity_at(20, 30))
    np.testing.assert_array_equal(patch, frame[30:126, 20:116])


def test_warp_equals_bilinear_interpolation_pixel_by_pixel():
    frame = np.random.default_rng(5).integers(0, 256, (60, 70), dtype=np.uint8)
    transform = similarity(0.8, 17, 12.3, -3.4)
    patch = PatchWarper(32, 1)(frame, transform)
    padded = np.zeros((200, 200))
    padded[50:110, 50:120] = frame
    for i, j in [(0, 0), (0, 31), (31, 0), (13, 21), (31, 31), (2, 5)]:
        x, y = transform[:, :2] @ (j, i) + transform[:, 2] + 50
        c, r = int(x), int(y)
        square = padded[r : r + 2, c : c + 2]
        expected = np.array([1 - (y - r), y - r]) @ square @ np.array([1 - (x - c), x - c])
        assert abs(int(patch[i, j]) - expected) <= 0.51


@pytest.mark.parametrize(("x", "y"), [(-48, -48), (100, 0), (0, 100), (-500, 10), (10, 900)])
def test_beyond_the_border_all_is_black_and_the_size_stays(x, y):
    frame = np.full((100, 100), 200, dtype=np.uint8)
    patch = PatchWarper(96, 1)(frame, identity_at(x, y))
    assert patch.shape == (96, 96)
    rows, columns = np.mgrid[0:96, 0:96]
    inside = (columns + x >= 0) & (columns + x < 100) & (rows + y >= 0) & (rows + y < 100)
    np.testing.assert_array_equal(patch, np.where(inside, 200, 0))


def test_fine_texture_of_a_large_face_is_averaged_not_picked():
    rows, columns = np.mgrid[0:400, 0:400]
    checks = np.where((rows + columns) % 2, 255, 0).astype(np.uint8)
    transforms = np.repeat(identity_at(5, 5, scale=4.0)[None], 3, 0)
    warp = PatchWarper.for_transforms(transforms, 64)
    assert warp.oversampling == 4
    assert np.abs(warp(checks, transforms[0])[1:-1, 1:-1].astype(int) - 128).max() <= 2
    assert np.ptp(PatchWarper(64, 1)(checks, identity_at(5, 5, scale=4.0))) == 0  # a lattice hits one colour only


def test_oversampling_keeps_the_place():
    columns = np.tile(np.arange(256, dtype=np.uint8), (256, 1))  # a ramp is its own average
    plain, fine = (PatchWarper(40, factor)(columns, identity_at(30, 30, scale=3.0)) for factor in (1, 3))
    assert np.abs(plain.astype(int) - fine.astype(int)).max() <= 1


def test_stable_points_are_the_eight_of_the_published_geometry():
    assert STABLE == (28, 33, 36, 39, 42, 45, 48, 54)
    eyes = MEAN_FACE[[2, 3, 4, 5]]
    assert np.ptp(eyes[:, 1]) < 2
    assert np.all(np.diff(eyes[:, 0]) > 0)
    np.testing.assert_allclose(np.linalg.norm(MEAN_FACE[7] - MEAN_FACE[6]), 45.0, atol=0.1)
