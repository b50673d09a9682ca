"""Bars that lie in groups: by name a bar for each run, with the range over its seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from msrs.report.canvas import COLOURS, GRID, INK, SWATCH_PX, fit_text, font, line_colour, place_names
from msrs.report.chart import WIDTH_PX
from msrs.report.scale import fit_scale, tick_text

BAR_PX, GROUP_PX = 13, 8  # a bar's height; the gap between groups
LEGEND_PX, BOTTOM_PX, RIGHT_PX = 54, 40, 110


@dataclass(frozen=True)
class Bars:
    """One run's bars: by name the median, the least and the most of its seeds, none below zero."""

    label: str
    values: Mapping[str, tuple[float, float, float]]
    index: int  # which colour


def draw_bars(title: str, runs: Sequence[Bars]) -> Image.Image:
    """An RGB picture as wide as two line charts; names come in the order in which runs first have them."""
    small = font(15)
    names = list(dict.fromkeys(name for run in runs for name in run.values))
    shown = {name: fit_text(name, 320, small) for name in names}
    left, right = 24 + math.ceil(max(map(small.getlength, shown.values()))), 2 * WIDTH_PX - RIGHT_PX
    labels = [fit_text(run.label, right - left - SWATCH_PX, small) for run in runs]
    legend = place_names(labels, left, right, LEGEND_PX, small)
    top = legend[-1][1] + 20
    bottom = top + sum(BAR_PX * len(run.values) for run in runs) + GROUP_PX * len(names)
    scale = fit_scale([value for run in runs for three in run.values.values() for value in three], from_zero=True)
    image = Image.new("RGB", (2 * WIDTH_PX, bottom + BOTTOM_PX), "white")
    draw = ImageDraw.Draw(image)
    draw.text((left, 12), title, fill=INK, font=font(19))
    for run, label, (x, y) in zip(runs, labels, legend):
        draw.rectangle((x, y - 5, x + 20, y + 5), **_ink(run.index))
        draw.text((x + SWATCH_PX, y), label, fill=INK, font=small, anchor="lm")
    for tick in scale.ticks(10):
        x = left + scale(tick) * (right - left)
        draw.line([(x, top), (x, bottom)], fill=GRID)
        draw.text((x, bottom + 6), tick_text(tick), fill=INK, font=small, anchor="ma")
    y = top
    for name in names:
        having = [run for run in runs if name in run.values]
        middle = y + (BAR_PX * len(having) + GROUP_PX) / 2
        draw.text((left - 8, middle), shown[name], fill=INK, font=small, anchor="rm")
        for k, run in enumerate(having):
            ends = [left + scale(value) * (right - left) for value in run.values[name]]
            _draw_bar(draw, run, name, left, y + GROUP_PX // 2 + BAR_PX * k, ends)
        y += BAR_PX * len(having) + GROUP_PX
    draw.line([(left, top), (left, bottom)], fill=INK)
    return image


def _draw_bar(draw: ImageDraw.ImageDraw, run: Bars, name: str, left: int, top: int, ends: Sequence[float]) -> None:
    """A bar to the first of the ends, a line from the second to the third, and the number."""
    middle, low, high = ends
    draw.rectangle((left, top, middle, top + BAR_PX - 3), **_ink(run.index))
    if low < high:
        draw.line([(low, top + 5), (high, top + 5)], fill=INK, width=2)
    draw.text((high + 6, top + 5), f"{run.values[name][0]:.3g}", fill=INK, font=font(12), anchor="lm")


def _ink(index: int) -> dict[str, object]:
    """Where colours come again, bars are hollow."""
    colour = line_colour(index)
    return {"fill": colour} if index < len(COLOURS) else {"outline": colour, "fill": "white", "width": 2}
