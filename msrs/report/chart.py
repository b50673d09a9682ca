"""Line charts drawn with Pillow alone, so that a default installation can draw them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from msrs.report.canvas import (
    COLOURS,
    GRID,
    INK,
    OVERSAMPLING,
    SWATCH_PX,
    Point,
    dashes,
    fit_text,
    font,
    line_colour,
    place_names,
)
from msrs.report.scale import Scale, fit_scale, tick_text

WIDTH_PX, HEIGHT_PX = 760, 440  # of a panel
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 78, 24, 54, 58  # margins around a panel's axes, the legend's rows apart
MAX_POINTS = 300  # a longer line is averaged over stretches, so that noise does not become a band of ink
DOTTED_POINTS = 40  # a line of fewer points shows them
BAND_OPACITY = 48  # of 255
DOTS_PX = 2, 4  # drawn and left out of a dotted line


@dataclass(frozen=True)
class Line:
    """A named line through points; one that is not finite parts it. A band from `low` to `high` may lie about it."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    index: int | None = None  # which colour, so that a run has the same in all panels; None: its place in the panel


@dataclass(frozen=True)
class Panel:
    """Lines with axes, a title and a legend."""

    title: str
    lines: Sequence[Line]
    x_label: str = ""
    is_log: bool = False  # the y axis is logarithmic if all its values are positive
    from_zero: bool = False  # the y axis starts at zero
    marks: Sequence[tuple[float, str]] = ()  # dotted horizontal lines: where, and their names


def draw_panels(panels: Sequence[Panel], columns: int = 2, width_px: int = WIDTH_PX) -> Image.Image:
    """An RGB picture of the panels, row by row; those with the same label of x over the same range of it.

    Each panel needs a finite point, and is `width_px` wide.
    """
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = columns * width_px, rows * HEIGHT_PX
    image = Image.new("RGB", [OVERSAMPLING * side for side in size], "white")
    values: dict[str, list[float]] = {}
    for panel in panels:
        values.setdefault(panel.x_label, []).extend(x for line in panel.lines for x in line.x)
    scales = {label: _x_scale(xs) for label, xs in values.items()}
    plots = [
        _Plot(panel, scales[panel.x_label], (i % columns) * width_px, (i // columns) * HEIGHT_PX, width_px)
        for i, panel in enumerate(panels)
    ]
    for plot in plots:
        plot.draw_bands(image)
        plot.draw_lines(ImageDraw.Draw(image))
    image = image.resize(size, Image.Resampling.BOX)
    for plot in plots:
        plot.draw_texts(ImageDraw.Draw(image))
    return image


class _Plot:
    """One panel at its place in the picture, in pixels of the finished picture."""

    def __init__(self, panel: Panel, x_scale: Scale, left: int, top: int, width: int):
        self.panel = panel
        self.small, self.large = font(15), font(19)
        self.left, self.right = left + LEFT_PX, left + width - RIGHT_PX
        self.head = top + 12
        names = [*(line.label for line in panel.lines), *(words for _, words in panel.marks)]
        self.names = [fit_text(name, self.right - self.left - 60, self.small) for name in names]
        self.legend = place_names(self.names, self.left, self.right, top + TOP_PX, self.small)
        self.top, self.bottom = self.legend[-1][1] + 20, top + HEIGHT_PX - BOTTOM_PX
        self.indices = [i if line.index is None else line.index for i, line in enumerate(panel.lines)]
        self.lines = [_thin(line.x, line.y) for line in panel.lines]
        self.bands = [(_thin(line.x, line.low), _thin(line.x, line.high)) if line.low else () for line in panel.lines]
        edges = [edge for band in self.bands for edge in band]
        values = [y for line in (*self.lines, *edges) for stretch in line for _, y in stretch]
        values += [y for y, _ in panel.marks]
        self.x_scale, self.y_scale = x_scale, fit_scale(values, panel.is_log, panel.from_zero)

    def x_px(self, x: float) -> float:
        return self.left + self.x_scale(x) * (self.right - self.left)

    def y_px(self, y: float) -> float:
        return self.bottom - self.y_scale(y) * (self.bottom - self.top)

    def points(self, stretch: Sequence[Point]) -> list[Point]:
        return [(self.x_px(x), self.y_px(y)) for x, y in stretch]

    def draw_bands(self, image: Image.Image) -> None:
        """Pale, so that two may lie over one another."""
        for index, band in zip(self.indices, self.bands):
            for low, high in zip(*band) if band else ():
                outline = self.points(low) + self.points(high)[::-1]
                if len(low) > 1:
                    left, top = self.left - LEFT_PX, self.top - TOP_PX
                    mask = Image.new("L", (OVERSAMPLING * (self.right - left), OVERSAMPLING * HEIGHT_PX))
                    shifted = [(OVERSAMPLING * (x - left), OVERSAMPLING * (y - top)) for x, y in outline]
                    ImageDraw.Draw(mask).polygon(shifted, fill=BAND_OPACITY)
                    image.paste(line_colour(index), (OVERSAMPLING * left, OVERSAMPLING * top), mask)

    def draw_lines(self, draw: ImageDraw.ImageDraw) -> None:
        def stroke(points: Sequence[Point], colour: str, width: float) -> None:
            scaled = [(OVERSAMPLING * x, OVERSAMPLING * y) for x, y in points]
            draw.line(scaled, fill=colour, width=round(OVERSAMPLING * width), joint="curve")

        for tick in self.y_scale.ticks():
            stroke([(self.left, self.y_px(tick)), (self.right, self.y_px(tick))], GRID, 1)
        for tick in self.x_scale.ticks():
            stroke([(self.x_px(tick), self.bottom), (self.x_px(tick), self.bottom + 5)], INK, 1)
        for y, _ in self.panel.marks:
            for piece in dashes([(self.left, self.y_px(y)), (self.right, self.y_px(y))], *DOTS_PX):
                stroke(piece, INK, 1.3)
        for index, line in zip(self.indices, self.lines):
            is_dotted = sum(map(len, line)) < DOTTED_POINTS
            for stretch in line:
                points = self.points(stretch)
                for piece in [points] if index < len(COLOURS) else dashes(points):
                    stroke(piece, line_colour(index), 2)
                for x, y in points if is_dotted or len(points) == 1 else ():
                    box = [OVERSAMPLING * side for side in (x - 3, y - 3, x + 3, y + 3)]
                    draw.ellipse(box, fill=line_colour(index))
        stroke([(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)], INK, 1.3)

    def draw_texts(self, draw: ImageDraw.ImageDraw) -> None:
        small = self.small
        draw.text((self.left, self.head), self.panel.title, fill=INK, font=self.large)
        for k, (name, (x, y)) in enumerate(zip(self.names, self.legend)):
            swatch, is_line = [(x, y), (x + 22, y)], k < len(self.indices)
            if is_line:
                for piece in [swatch] if self.indices[k] < len(COLOURS) else dashes(swatch):
                    draw.line(piece, fill=line_colour(self.indices[k]), width=3)
            else:
                for piece in dashes(swatch, *DOTS_PX):
                    draw.line(piece, fill=INK, width=2)
            draw.text((x + SWATCH_PX, y), name, fill=INK, font=small, anchor="lm")
        for tick in self.y_scale.ticks():
            draw.text((self.left - 8, self.y_px(tick)), tick_text(tick), fill=INK, font=small, anchor="rm")
        for tick in self.x_scale.ticks():
            draw.text((self.x_px(tick), self.bottom + 9), tick_text(tick), fill=INK, font=small, anchor="ma")
        draw.text((self.right, self.bottom + 33), self.panel.x_label, fill=INK, font=small, anchor="ra")


def _x_scale(values: Sequence[float]) -> Scale:
    """From the first to the last point without room at the sides; from 0 where the first is not far from it."""
    low, high = float(min(values)), float(max(values))
    if 0 <= low <= 0.2 * high:
        low = 0.0
    return Scale(low, high) if low < high else fit_scale(values)


def _thin(x: Sequence[float], y: Sequence[float]) -> list[list[Point]]:
    """Stretches of finite points; where there are many, each is the mean of some neighbours."""
    stretches: list[list[Point]] = [[]]
    for place, value in zip(x, y, strict=True):
        if math.isfinite(value):
            stretches[-1].append((place, value))
        elif stretches[-1]:
            stretches.append([])
    step = math.ceil(len(x) / MAX_POINTS)
    return [
        [tuple(map(_mean, zip(*stretch[i : i + step], strict=True))) for i in range(0, len(stretch), step)]
        for stretch in stretches
        if stretch
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
