import math

import numpy as np
import pytest

from msrs.report.canvas import NOTHING, ramp
from msrs.report.heat import HeatMap, colour_scale, draw_heat_maps
from msrs.report.scale import Scale

NAMES = {"encoder.blocks.0": "first", "encoder.blocks.1": "second"}


def draw(*maps, scale=None):
    maps = [HeatMap(f"run {i}", rows) for i, rows in enumerate(maps)]
    return np.asarray(draw_heat_maps("title", maps, NAMES, scale or colour_scale(maps)))


def colours(image):
    """All colours of the picture with how many pixels they have."""
    whole, counts = np.unique(image.astype(int) @ [1 << 16, 1 << 8, 1], return_counts=True)
    return {(value >> 16, value >> 8 & 255, value & 255): n for value, n in zip(whole.tolist(), counts.tolist())}


def colour_of(value, scale):
    return tuple(int(channel) for channel in ramp(np.array(scale(value))))


def places(image, colour):
    return np.nonzero((image == np.array(colour)).all(-1))


def test_equal_values_are_equal_in_colour_in_both_runs_and_others_differ():
    scale = Scale(1e-3, 1, is_log=True)
    row = {0: 0.5, 10: 0.02}
    image = draw(
        dict.fromkeys(NAMES, row), {"encoder.blocks.0": row, "encoder.blocks.1": {0: 0.02, 10: 0.3}}, scale=scale
    )
    for value, cells in ((0.5, 3), (0.02, 4), (0.3, 1)):
        rows, columns = places(image, colour_of(value, scale))
        assert len(rows) > 1000 * cells
    left, right = np.array_split(image, 2, axis=1)
    for half in (left, right):
        assert len(places(half, colour_of(0.02, scale))[0]) > 1000
    assert len(places(left, colour_of(0.3, scale))[0]) < 100  # nothing but a part of the colour bar could have it
    assert len({colour_of(value, scale) for value in (0.5, 0.02, 0.3)}) == 3


def test_the_first_row_is_at_the_bottom_and_time_runs_to_the_right():
    scale = Scale(0, 1)
    image = draw({"encoder.blocks.0": {0: 0.1, 10: 0.3}, "encoder.blocks.1": {0: 0.6, 10: 0.8}}, scale=scale)
    middle = {value: [axis.mean() for axis in places(image, colour_of(value, scale))] for value in (0.1, 0.3, 0.6, 0.8)}
    assert middle[0.1][0] > middle[0.6][0] + 20
    assert middle[0.3][1] > middle[0.1][1] + 100
    assert middle[0.8][1] > middle[0.6][1] + 100


def test_a_shorter_run_ends_earlier():
    scale = Scale(0, 1)
    image = draw(
        {"encoder.blocks.0": dict.fromkeys(range(0, 101, 10), 0.3)},
        {"encoder.blocks.0": {0: 0.7, 10: 0.7}},
        scale=scale,
    )
    long, short = (np.ptp(places(image[100:-60, :-100], colour_of(value, scale))[1]) for value in (0.3, 0.7))
    assert short == pytest.approx(0.15 * long, abs=4)


def test_no_number_is_grey_and_no_row_white():
    grey = tuple(int(NOTHING[k : k + 2], 16) for k in (1, 3, 5))
    whole = colours(draw(dict.fromkeys(NAMES, {0: 1.0, 10: 2.0})))
    assert whole.get(grey, 0) < 50
    broken = colours(draw({"encoder.blocks.0": {0: 1.0, 10: math.nan}, "encoder.blocks.1": {0: 1.0, 10: 2.0}}))
    assert broken[grey] > 5000
    lacking = colours(draw({"encoder.blocks.0": {0: 1.0, 10: 2.0}}))
    assert lacking[(255, 255, 255)] > whole[(255, 255, 255)] + 10000


def test_zero_has_the_lowest_colour():
    lowest = tuple(int(channel) for channel in ramp(np.array(0.0)))
    assert colours(draw({"encoder.blocks.0": {0: 0.0, 10: 1.0}, "encoder.blocks.1": {0: 1.0, 10: 1.0}}))[lowest] > 5000


def test_one_update_fills_its_map():
    scale = Scale(0, 1)
    for update in (0, 7):
        _, columns = places(draw({"encoder.blocks.0": {update: 0.3}}, scale=scale), colour_of(0.3, scale))
        assert np.ptp(columns) > 500


def test_one_update_of_a_longer_run_is_no_wider_than_what_came_before_it():
    scale = Scale(0, 1)
    image = draw({"encoder.blocks.0": {10: 0.3}}, {"encoder.blocks.0": {10: 0.6, 100: 0.8}}, scale=scale)
    widths = {value: np.ptp(places(image[:-70], colour_of(value, scale))[1]) for value in (0.3, 0.8)}
    assert 0.1 < widths[0.3] / widths[0.8] < 0.3  # 10 of 100 updates beside 45


def test_many_runs_take_further_rows():
    one = {"encoder.blocks.0": {0: 1.0, 5: 3.0}}
    assert draw(*[one] * 4).shape == draw(one).shape
    assert draw(*[one] * 5).shape[0] > 1.7 * draw(one).shape[0]


def test_scale_spans_all_runs():
    maps = [HeatMap("a", {"x": {1: 0.5, 2: 0.0}}), HeatMap("b", {"y": {1: 20.0, 2: math.inf}})]
    assert colour_scale(maps) == Scale(0.5, 20.0, is_log=True)
    assert colour_scale(maps[:1], highest=1.0) == Scale(0.1, 1.0, is_log=True)


def test_ramp_grows_lighter():
    brightness = ramp(np.linspace(0, 1, 50)).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness) > 0).all()
