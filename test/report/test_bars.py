import numpy as np
import pytest
from PIL import ImageColor

from msrs.report.bars import Bars, draw_bars
from msrs.report.canvas import COLOURS


def widths(image, colour):
    """Length of each row's run of a colour, below the legend."""
    same = (np.asarray(image)[80:] == ImageColor.getrgb(colour)).all(-1)
    return same.sum(-1)


def test_bars_are_as_long_as_their_values():
    runs = [Bars("a", {"x": (0.2, 0.2, 0.2), "y": (0.4, 0.4, 0.4)}, 0), Bars("b", {"x": (0.1, 0.1, 0.1)}, 1)]
    image = draw_bars("t", runs)
    blue, red = widths(image, COLOURS[0]), widths(image, COLOURS[1])
    assert blue.max() == pytest.approx(4 * red.max(), rel=0.02)
    assert sorted(set(blue[blue > 0].tolist()))[0] == pytest.approx(2 * red.max(), rel=0.02)


def test_range_of_seeds_reaches_beyond_the_bar():
    def inked(low, high):
        image = np.asarray(draw_bars("t", [Bars("a", {"x": (0.2, low, high), "y": (1.0, 1.0, 1.0)}, 0)]))
        return int((image[80:100, 60:] == ImageColor.getrgb("#333333")).all(-1).sum())

    assert inked(0.1, 0.4) > inked(0.2, 0.2) + 100


def test_all_zero_and_an_eighth_run():
    image = draw_bars("t", [Bars(str(i), {"x": (0.0, 0.0, 0.0), "y": (i, i, i)}, i) for i in range(9)])
    blue = widths(image, COLOURS[0])  # the first run's bar has no length, so it is the eighth's
    assert (blue > 100).sum() == 4  # its outline alone
