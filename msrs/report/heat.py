"""Heat maps side by side, over one scale of colours: rows are layers, columns are updates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from msrs.report.canvas import INK, fit_text, font, ramp
from msrs.report.chart import WIDTH_PX
from msrs.report.scale import Scale, tick_text

PICTURE_PX = 2 * WIDTH_PX  # as wide as two line charts
MOST_COLUMNS = 4  # more maps are put into further rows
LOWEST_PX, ROW_PX = 200, 17  # least height of a map, and of its rows
TOP_PX, BOTTOM_PX, GAP_PX, RIGHT_PX = 42, 58, 26, 100
BAR_PX, PART_PX = 16, 4  # width of the colour bar; gap between the network's parts

Rows = Mapping[str, Mapping[int, float]]  # name of a row -> update -> value


@dataclass(frozen=True)
class HeatMap:
    """The values of one run, by row and update."""

    title: str
    rows: Rows


def colour_scale(maps: Sequence[HeatMap], highest: float | None = None) -> Scale:
    """Logarithmic, from the smallest positive value of all maps to the largest or `highest`; a decade at least."""
    values = [value for one in maps for row in one.rows.values() for value in row.values()]
    values = [value for value in values if math.isfinite(value) and value > 0] or [1.0]
    high = highest or max(values)
    return Scale(min(min(values), high / 10), high, is_log=True)


def draw_heat_maps(title: str, maps: Sequence[HeatMap], rows: Mapping[str, str], scale: Scale) -> Image.Image:
    """An RGB picture: the maps, names of rows at the left, the colour bar at the right.

    A column is as wide as what is nearer to its update than to another; without a number a cell is grey, and what is
    less than nothing or nothing has the lowest colour on a logarithmic scale.
    Args: rows, by name what is written beside it, from the bottom up; a map may lack some.
    """
    small, large = font(15), font(19)
    names = {key: fit_text(name, 240, small) for key, name in rows.items()}
    left = 24 + math.ceil(max(small.getlength(name) for name in names.values()))
    columns = min(len(maps), MOST_COLUMNS)
    width = (PICTURE_PX - left - RIGHT_PX - GAP_PX * (columns - 1)) // columns
    tops, height = _row_places(list(rows))
    image = Image.new("RGB", (PICTURE_PX, 44 + math.ceil(len(maps) / columns) * (TOP_PX + height + BOTTOM_PX)), "white")
    draw = ImageDraw.Draw(image)
    draw.text((left, 12), title, fill=INK, font=large)
    updates = sorted({update for one in maps for row in one.rows.values() for update in row})
    x_scale = Scale(0, updates[-1] or 1)
    for i, one in enumerate(maps):
        x, y = left + (i % columns) * (width + GAP_PX), 44 + (i // columns) * (TOP_PX + height + BOTTOM_PX) + TOP_PX
        draw.text((x, y - 8), fit_text(one.title, width, small), fill=INK, font=small, anchor="ls")
        for key, (top, bottom) in tops.items():
            if i % columns == 0:
                draw.text((x - 8, y + (top + bottom) / 2), names[key], fill=INK, font=small, anchor="rm")
        _paste_cells(image, one, tops, x_scale, scale, (x, y, width))
        _draw_x_axis(draw, x_scale, (x, y + height, width), "updates")
        if i % columns == columns - 1 or i == len(maps) - 1:
            _draw_bar(image, scale, x + width + 18, y, height)
    return image


def _row_places(keys: Sequence[str]) -> tuple[dict[str, tuple[int, int]], int]:
    """Top and bottom of each row, the first at the bottom, a gap where another part of the network begins; and height."""
    height = max(ROW_PX, LOWEST_PX // len(keys))
    places, y, before = {}, 0, ""
    for key in reversed(keys):
        part = key.split(".")[0]
        y += PART_PX if before not in ("", part) else 0
        places[key] = (y, y + height - 1)
        y, before = y + height, part
    return places, y


def _paste_cells(
    image: Image.Image,
    one: HeatMap,
    places: Mapping[str, tuple[int, int]],
    x_scale: Scale,
    scale: Scale,
    box: tuple[int, int, int],
) -> None:
    x, y, width = box
    updates = sorted({update for row in one.rows.values() for update in row})
    # Of one number alone no neighbour tells the width: it stands for as long as it took from the start.
    half = min((b - a for a, b in zip(updates, updates[1:])), default=updates[0] or x_scale.high) / 2
    pixels = (np.arange(width) + 0.5) / width * x_scale.high
    edges = [(a + b) / 2 for a, b in zip(updates, updates[1:])]
    nearest = np.searchsorted(edges, pixels)
    shown = np.flatnonzero((pixels >= updates[0] - half) & (pixels <= max(updates[-1] + half, x_scale.high / width)))
    for key, (top, bottom) in places.items():
        if key in one.rows and len(shown):
            values = [_position(one.rows[key].get(update, math.nan), scale) for update in updates]
            cells = ramp(np.array(values)[nearest[shown]])
            strip = Image.fromarray(np.repeat(cells[None], bottom - top, axis=0))
            image.paste(strip, (x + int(shown[0]), y + top))


def _position(value: float, scale: Scale) -> float:
    if not math.isfinite(value):
        return math.nan
    return scale(max(value, scale.low) if scale.is_log else value)


def _draw_x_axis(draw: ImageDraw.ImageDraw, scale: Scale, place: tuple[int, int, int], label: str) -> None:
    x, y, width = place
    draw.line([(x, y + 2), (x + width, y + 2)], fill=INK)
    for tick in scale.ticks(max(2, width // 90)):
        at = x + scale(tick) * width
        draw.line([(at, y + 2), (at, y + 7)], fill=INK)
        draw.text((at, y + 10), tick_text(tick), fill=INK, font=font(15), anchor="ma")
    draw.text((x + width, y + 31), label, fill=INK, font=font(15), anchor="ra")


def _draw_bar(image: Image.Image, scale: Scale, x: int, y: int, height: int) -> None:
    strip = ramp(np.linspace(1, 0, height)[:, None].repeat(BAR_PX, axis=1))
    image.paste(Image.fromarray(strip), (x, y))
    draw = ImageDraw.Draw(image)
    for tick in scale.ticks():
        at = y + (1 - scale(tick)) * (height - 1)
        draw.line([(x + BAR_PX, at), (x + BAR_PX + 5, at)], fill=INK)
        draw.text((x + BAR_PX + 9, at), tick_text(tick), fill=INK, font=font(15), anchor="lm")
