import numpy as np
import pytest

from msrs.faces.track import FaceTracker, face_segments, fill_gaps, overlap


def square(x: float, y: float, side: float) -> np.ndarray:
    """68 points that fill a square."""
    steps = np.linspace(0, 1, 68)
    points = np.stack([x + side * steps, y + side * steps[::-1]], axis=1)
    return points.astype(np.float32)


def track(frames: list[list[np.ndarray]]):
    tracker = FaceTracker()
    for faces in frames:
        tracker.add(faces)
    return tracker.result()


def test_largest_face_wins_in_whatever_order_it_comes():
    small, large = square(0, 0, 30), square(100, 0, 60)
    for order in ([small, large], [large, small]):
        result = track([order] * 10)
        np.testing.assert_array_equal(result.points, np.repeat(large[None], 10, 0))
        assert result.num_faces.tolist() == [2] * 10


def test_face_is_kept_when_another_grows_larger_for_a_while():
    frames = [[square(0, 0, 50), square(100, 0, 90 if 8 <= t < 12 else 30)] for t in range(20)]
    assert track(frames).points[:, :, 0].max() <= 50


def test_moving_face_keeps_its_identity():
    frames = [[square(3 * t, 0, 50), square(150 - 3 * t, 80, 40)] for t in range(40)]
    result = track(frames)
    np.testing.assert_allclose(result.points[:, :, 0].min(1), 3.0 * np.arange(40))
    assert set(result.track) == {0}


def test_lost_face_leaves_a_gap_and_is_not_replaced_by_its_neighbour():
    frames = [[square(100, 0, 30)] if 5 <= t < 9 else [square(0, 0, 60), square(100, 0, 30)] for t in range(20)]
    result = track(frames)
    assert result.track.tolist() == [0] * 5 + [-1] * 4 + [0] * 11
    assert np.isnan(result.points[5:9]).all()


def test_after_a_cut_the_other_face_goes_on():
    frames = [[square(0, 0, 60)] if t < 10 else [square(200, 0, 50)] for t in range(30)]
    result = track(frames)
    assert result.track.tolist() == [0] * 10 + [1] * 20
    assert face_segments(result.track) == [slice(0, 10), slice(10, 30)]


def test_short_false_alarm_beside_the_face_in_time_is_dropped():
    frames = [[square(300, 300, 20)] if t < 3 else [square(0, 0, 60)] for t in range(30)]
    assert track(frames).track.tolist() == [-1] * 3 + [0] * 27


def test_no_face_at_all_gives_nan_everywhere():
    result = track([[]] * 4)
    assert np.isnan(result.points).all()
    assert result.track.tolist() == [-1] * 4


def test_overlap_of_boxes_apart_and_empty_is_zero():
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert overlap((0, 0, 4, 4), (0, 0, 4, 4)) == 1


def test_gap_is_linear_and_ends_repeat():
    points = np.full((9, 2, 2), np.nan)
    points[2], points[6] = 10.0, 18.0
    filled = fill_gaps(points, [slice(0, 9)])
    assert filled[:, 0, 0].tolist() == [10, 10, 10, 12, 14, 16, 18, 18, 18]


def test_gaps_equal_interpolation_point_by_point():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3, 2))
    missing = rng.random(50) < 0.4
    known = np.flatnonzero(~missing)
    expected = np.stack(
        [[np.interp(np.arange(50), known, points[known, k, d]) for d in (0, 1)] for k in range(3)]
    ).transpose(2, 0, 1)
    points[missing] = np.nan
    np.testing.assert_allclose(fill_gaps(points, [slice(0, 50)]), expected)


def test_no_line_is_drawn_from_one_face_to_another():
    points = np.full((8, 1, 2), np.nan)
    points[:2], points[6:] = 0.0, 100.0
    segments = face_segments(np.array([0, 0, -1, -1, -1, -1, 1, 1]))
    assert fill_gaps(points, segments)[:, 0, 0].tolist() == [0, 0, 0, 0, 100, 100, 100, 100]


@pytest.mark.parametrize("ids", [[0], [-1, 0], [0, 0, 0, -1], [2, -1, 0, 1]])
def test_segments_cover_every_frame_once(ids):
    parts = face_segments(np.array(ids))
    assert [t for part in parts for t in range(part.start, part.stop)] == list(range(len(ids)))
