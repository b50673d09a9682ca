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


def test_band_covers_the_range_and_no_more():
    x, frame = [0, 100], Line("b", [0, 100], [0, 10])
    banded, plain = (
        np.asarray(draw_panels([Panel("t", [line, frame], from_zero=True)]), dtype=int)
        for line in (Line("a", x, [5, 5], [2, 2], [8, 8]), Line("a", x, [5, 5]))
    )
    rows, columns = np.nonzero(np.abs(banded - plain).sum(-1) > 20)
    height = HEIGHT_PX - 58 - 74
    assert np.ptp(rows) == pytest.approx(0.6 / 1.04 * height, abs=4)
    assert rows.mean() == pytest.approx(HEIGHT_PX - 58 - 0.5 / 1.04 * height, abs=4)
    assert np.ptp(columns) == pytest.approx(WIDTH_PX - LEFT_PX - RIGHT_PX, abs=4)


def test_bands_over_one_another_stay_apart():
    x = [0, 100]
    lines = [Line("a", x, [1, 1], [0, 0], [6, 6]), Line("b", x, [9, 9], [4, 4], [10, 10])]
    image = np.asarray(draw_panels([Panel("t", lines)]))
    column = image[100:370, LEFT_PX + 300]
    tints = {tuple(map(int, colour)) for colour in column if 180 < colour.min() < 235 and np.ptp(colour) > 4}
    assert len(tints) >= 3  # one, the other, both


def test_mark_is_dotted_within_the_axes_and_named():
    panel = Panel("t", [Line("a", [0, 10], [0.0, 0.01])], marks=[(0.1, "0.1 nat")])
    image, plain = (
        np.asarray(draw_panels([panel]), dtype=int),
        np.asarray(draw_panels([Panel("t", panel.lines)]), dtype=int),
    )
    dark = image[74:].sum(-1) < 300
    row = dark[:, LEFT_PX + 20 : -RIGHT_PX].sum(-1)[:200].max()
    assert 100 < row < 0.7 * (WIDTH_PX - LEFT_PX - RIGHT_PX)
    names = np.s_[40:66, LEFT_PX + 60 : LEFT_PX + 200]
    assert (image[names] < 200).any()
    assert not (plain[names] < 200).any()


def test_colour_by_index_and_dashes_where_colours_come_again():
    def inked(index):
        rows, columns = pixels_of(
            draw_panels([Panel("t", [Line("a", range(100), [1.0] * 100, index=index)])]), COLOURS[2]
        )
        return len(set(columns.tolist()))

    assert inked(1) == 0
    assert 0.4 * inked(2) < inked(2 + len(COLOURS)) < 0.9 * inked(2)


def test_other_labels_of_x_have_ranges_of_their_own():
    panels = [Panel("t", [Line("a", [0, end], [1, 1])], label) for end, label in ((1000, "updates"), (5, "seconds"))]
    image = draw_panels(panels)
    _, columns = pixels_of(image.crop((WIDTH_PX, 0, 2 * WIDTH_PX, HEIGHT_PX)), COLOURS[0])
    assert columns.max() >= WIDTH_PX - RIGHT_PX - 4


def test_width_is_chosen():
    panel = Panel("t", [Line("a", [0, 1], [0, 1], [0, 0], [1, 2])])
    assert draw_panels([panel], width_px=900).size == (900, HEIGHT_PX)
