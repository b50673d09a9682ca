"""Where a long recording is cut."""

import numpy as np
import pytest

from msrs.data.media import write_video
from msrs.data.pauses import SMOOTHING_FRAMES, cut_at_pauses, loudness, motion, smoothed


def bursts(num_frames: int, quiet: list[tuple[int, int]]) -> np.ndarray:
    """(S,) sound that is loud but for some stretches of frames."""
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, num_frames * 640).astype(np.float32)
    for start, end in quiet:
        sound[start * 640 : end * 640] *= 0.01
    return sound


def test_loudness_is_that_of_each_frame(make_clip):
    sound = bursts(30, [(10, 15)])[: 29 * 640 + 100]  # the last frame is only begun
    powers = loudness(make_clip("a.wav", sound=[(0.0, sound)]))
    assert powers.shape == (30,)
    assert powers[[9, 15]].min() > 0.05
    assert powers[10:15].max() < 1e-4
    assert powers[29] == pytest.approx(np.square(sound[29 * 640 :]).sum() / 640, rel=0.01)


def test_motion_is_that_of_the_mouth(tmp_path):
    pictures = np.full((20, 96, 96), 100, np.uint8)
    pictures[8:, 40:56, 40:56] = 200  # the mouth, once
    pictures[::2, :10] = 200  # the border, all the time
    write_video(tmp_path / "a.mp4", pictures, crf=1)
    changes = motion(tmp_path / "a.mp4")
    assert changes.shape == (20,)
    assert changes[8] == pytest.approx(100 * 16 * 16 / 48**2, rel=0.1)
    assert np.delete(changes, 8).max() < 0.5


def test_the_middle_of_a_pause_is_taken_before_a_short_stop(make_clip):
    sound = bursts(200, [(80, 100), (120, 122)])
    activity = smoothed(loudness(make_clip("a.wav", sound=[(0.0, sound)])))
    assert len(activity) == 200
    ((_, cut), _) = cut_at_pauses(activity, 0, 200, 130)
    assert 80 + SMOOTHING_FRAMES // 2 <= cut <= 100 - SMOOTHING_FRAMES // 2


@pytest.mark.parametrize("most", [25, 26, 27, 28, 400])
@pytest.mark.parametrize("total", [1, 25, 26, 51, 777])
def test_pieces_cover_all_and_are_neither_too_long_nor_scraps(total, most):
    activity = np.random.default_rng(total).random(total + 10)
    pieces = cut_at_pauses(activity, 10, total + 10, most)
    assert [start for start, _ in pieces] == [10, *(end for _, end in pieces[:-1])]
    assert pieces[-1][1] == total + 10
    lengths = [end - start for start, end in pieces]
    assert max(lengths) <= most
    assert len(pieces) == 1 or min(lengths) >= most / 4


def test_without_any_pause_pieces_are_as_long_as_may_be():
    assert cut_at_pauses(np.ones(100), 0, 100, 30) == [(0, 30), (30, 60), (60, 90), (90, 100)]
