import math

import numpy as np
import pytest
from PIL import ImageColor

from msrs.report.chart import COLOURS, HEIGHT_PX, LEFT_PX, RIGHT_PX, WIDTH_PX, Line, Panel, draw_panels


def pixels_of(image, colour):
    """Row and column of the pixels that have nearly this colour, right of the legend's swatches and below them."""
    difference = np.abs(np.asarray(image, dtype=int) - ImageColor.getrgb(colour)).sum(-1)
    rows, columns = np.nonzero(difference < 30)
    inside = rows > 74
    return rows[inside], columns[inside]


def test_line_rises_from_corner_to_corner():
    image = draw_panels([Panel("t", [Line("a", range(100), range(100))], from_zero=True)])
    assert image.size == (WIDTH_PX, HEIGHT_PX)
    rows, columns = pixels_of(image, COLOURS[0])
    assert columns.min() <= LEFT_PX + 4
    assert columns.max() >= WIDTH_PX - RIGHT_PX - 2
    assert np.corrcoef(rows, columns)[0, 1] < -0.999


def test_gap_stays_open():
    y = [1.0] * 40 + [math.nan] * 20 + [1.0] * 20 + [math.inf] + [1.0] * 19
    _, columns = pixels_of(draw_panels([Panel("t", [Line("a", range(100), y)])]), COLOURS[0])
    width = WIDTH_PX - LEFT_PX - RIGHT_PX
    assert not ((columns > LEFT_PX + 0.42 * width) & (columns < LEFT_PX + 0.58 * width)).any()
    assert (columns > LEFT_PX + 0.9 * width).any()


def test_noise_of_a_long_line_is_averaged():
    rows, _ = pixels_of(draw_panels([Panel("t", [Line("a", range(6000), [i % 2 for i in range(6000)])])]), COLOURS[0])
    assert rows.max() - rows.min() < 6


def test_one_point_is_a_dot():
    rows, columns = pixels_of(draw_panels([Panel("t", [Line("a", [500], [98.0])])]), COLOURS[0])
    assert 9 <= len(rows) <= 60
    assert np.ptp(rows) == np.ptp(columns)


@pytest.mark.parametrize(("number", "size"), [(1, (1, 1)), (2, (2, 1)), (3, (2, 2))])
def test_panels_stand_in_rows(number, size):
    panels = [Panel("t", [Line("a", [0, 1], [0, k + 1])]) for k in range(number)]
    assert draw_panels(panels).size == (size[0] * WIDTH_PX, size[1] * HEIGHT_PX)


def test_panels_share_the_range_of_x():
    image = draw_panels([Panel("t", [Line("a", [0, end], [1, 1])]) for end in (1000, 500)])
    _, columns = pixels_of(image.crop((WIDTH_PX, 0, 2 * WIDTH_PX, HEIGHT_PX)), COLOURS[0])
    assert columns.max() == pytest.approx(LEFT_PX + (WIDTH_PX - LEFT_PX - RIGHT_PX) / 2, abs=5)


def test_many_names_take_more_rows():
    lines = [Line(f"a rather long name of line {i}", [0, 1], [i, i + 1]) for i in range(9)]
    image = np.asarray(draw_panels([Panel("t", lines)]))
    ink = (image[74:90] < 250).any(-1)
    assert ink[:, LEFT_PX : LEFT_PX + 200].any()  # where one row of names would leave the axes' empty top
    assert not (image[: HEIGHT_PX // 2, -RIGHT_PX + 6 :] < 250).any()


def test_same_input_same_picture():
    panel = Panel("t", [Line("a", range(9), [1, 5, 2, 6, 3, 7, 4, 8, 5])], is_log=True)
    assert draw_panels([panel]).tobytes() == draw_panels([panel]).tobytes()
