import pytest
import torch

from msrs.synth.lips import LipLines, Lips
from msrs.synth.portraits import NAMES, load_portrait
from msrs.synth.visemes import REST, VISEMES


@pytest.fixture(params=NAMES)
def lips(request) -> Lips:
    return Lips(load_portrait(request.param).landmarks, 0.9)


def lines_of(lips: Lips, *mouths) -> LipLines:
    return lips.lines(torch.tensor(mouths))


def test_the_mouths_axes_lead_there_and_back(lips):
    points = torch.tensor([[10.0, 20.0], [33.0, -4.0]], dtype=torch.float64)
    torch.testing.assert_close(lips.to_picture(lips.to_mouth(points)), points)


@pytest.mark.parametrize("name", sorted(VISEMES))
def test_lips_never_cross(lips, name):
    lines = lines_of(lips, VISEMES[name])
    heights = [lines.upper_outer, lines.upper_inner, lines.lower_inner, lines.lower_outer]
    for above, below in zip(heights, heights[1:], strict=False):
        assert (below[0, 1:-1, 1] > above[0, 1:-1, 1]).all()


def test_shapes_do_what_their_names_say(lips):
    closed, wide_open, rounded, spread = lines_of(lips, REST, VISEMES["A:"], VISEMES["u:"], VISEMES["i:"]).gap
    assert closed == 0
    assert wide_open > 2 * spread > 0
    widths = lines_of(lips, REST, VISEMES["A:"], VISEMES["u:"], VISEMES["i:"]).half_width
    assert widths[2] < 0.7 * widths[0] < widths[0] < widths[3]
    assert rounded < wide_open
    drop = lines_of(lips, VISEMES["m"], REST, VISEMES["A:"]).jaw_drop
    assert drop[0] < drop[1] < drop[2]


def test_heights_along_the_mouth_are_those_of_the_lines(lips):
    lines = lines_of(lips, VISEMES["A:"])
    along = lips.position.float()[None, None]
    upper, lower = lips.heights(lines, along)
    torch.testing.assert_close(upper[0, 0].double(), lines.upper_inner[0, :, 1], atol=0.2, rtol=0)
    torch.testing.assert_close(lower[0, 0].double(), lines.lower_inner[0, :, 1], atol=0.2, rtol=0)
