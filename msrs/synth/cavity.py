"""What shows between open lips: teeth, tongue and the dark behind them."""

import math

import torch
from torch import Tensor

from msrs.synth.lips import LipLines, Lips
from msrs.synth.visemes import Mouth

DARK = (0.16, 0.05, 0.055)
TONGUE = (0.60, 0.27, 0.27)
UPPER_TEETH = (0.88, 0.85, 0.79)
LOWER_TEETH = (0.76, 0.71, 0.65)
TEETH_ACROSS = 8


def cavity(lips: Lips, lines: LipLines, mouths: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Colour and coverage of the inside of the mouth.

    Args: mouths (T,7); points (h,w,2) px of the picture.
    Returns: colour (T,3,h,w) and coverage (T,1,h,w), float32 in 0..1; edges are a pixel soft.
    """
    mouth = Mouth(*(column[:, None, None] for column in mouths.float().unbind(1)))
    half_width, gap = lines.half_width.float()[:, None, None], lines.gap.float()[:, None, None]
    x, y = lips.to_mouth(points).unbind(2)
    along = x / half_width  # (T,h,w), -1 .. 1 between the corners
    upper, lower = lips.heights(lines, along)
    coverage = _edge(y - upper) * _edge(lower - y) * _edge((1 - along.abs()) * half_width)

    reach = float(lips.portrait_half_width)
    narrowing = 1 - 0.35 * along.abs()
    upper_height = (0.75 * gap).clamp(max=0.30 * reach) * (0.25 + mouth.upper_teeth).clamp(max=1)
    upper_teeth = _edge(upper + upper_height * narrowing - y) * (mouth.upper_teeth / 0.1).clamp(max=1)
    lower_height = (0.40 * gap).clamp(max=0.22 * reach) * mouth.lower_teeth
    lower_teeth = _edge(y - lower + lower_height * narrowing) * (mouth.lower_teeth / 0.1).clamp(max=1)
    floor = lines.lower_inner[:, 5, 1].float()[:, None, None]
    tongue = _ellipse(along / 0.62, floor - (0.18 + 0.30 * mouth.tongue) * gap - y, (0.30 + 0.30 * mouth.tongue) * gap)
    tip = _ellipse(along / 0.50, floor - 0.35 * gap - y, 0.35 * gap) * ((mouth.tongue - 0.6) / 0.4).clamp(0, 1)

    between = 0.5 + 0.5 * torch.cos(2 * math.pi * TEETH_ACROSS / 2 * along)  # 1 where two teeth meet
    colour = _paint(_flat(DARK, coverage), TONGUE, tongue)
    colour = _paint(colour, LOWER_TEETH, lower_teeth)
    colour = _paint(colour, UPPER_TEETH, upper_teeth, shade=1 - 0.13 * between**6)
    colour = _paint(colour, TONGUE, tip)  # between the teeth, as in "three"
    depth = torch.minimum(y - upper, lower - y).clamp(min=0)
    light = (0.55 + 0.25 * depth).clamp(max=1)  # the lips' shadow
    return colour * light[:, None], coverage[:, None]


def _edge(distance_px: Tensor) -> Tensor:
    """1 inside, 0 outside, with a pixel of ramp: an area's share of a pixel at this signed distance to its edge."""
    return (distance_px + 0.5).clamp(0, 1)


def _ellipse(across: Tensor, up_px: Tensor, height_px: Tensor) -> Tensor:
    """Coverage by an ellipse: offsets from its centre, across as a part of its half width; half its height."""
    height_px = height_px + 0.1  # never 0
    radius = (across.square() + (up_px / height_px).square()).sqrt()
    return _edge((1 - radius) * height_px)


def _flat(colour: tuple[float, float, float], like: Tensor) -> Tensor:
    return like.new_tensor(colour)[None, :, None, None].expand(len(like), 3, *like.shape[1:])


def _paint(under: Tensor, colour: tuple[float, float, float], coverage: Tensor, shade: Tensor | float = 1.0) -> Tensor:
    paint = _flat(colour, coverage) * (shade[:, None] if isinstance(shade, Tensor) else shade)
    return under + (paint - under) * coverage[:, None]
