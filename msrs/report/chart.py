"""Line charts drawn with Pillow alone, so that a default installation can draw them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from msrs.report.scale import Scale, fit_scale, tick_text

# Okabe and Ito's palette: told apart by colour-blind readers, too. Its yellow is left out: too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
WIDTH_PX, HEIGHT_PX = 760, 440  # of a panel
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 78, 24, 54, 58  # margins around a panel's axes, the legend's rows apart
ROW_PX = 21  # height of a row of the legend
OVERSAMPLING = 3  # lines are drawn larger and shrunk, which smooths them; text is drawn at its size
MAX_POINTS = 300  # a longer line is averaged over stretches, so that noise does not become a band of ink
DOTTED_POINTS = 40  # a line of fewer points shows them
INK, GRID = "#333333", "#E4E4E4"


@dataclass(frozen=True)
class Line:
    """A named line through points; one that is not finite parts it."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """Lines with axes, a title and a legend."""

    title: str
    lines: Sequence[Line]
    x_label: str = ""
    is_log: bool = False  # the y axis is logarithmic if all its values are positive
    from_zero: bool = False  # the y axis starts at zero


def draw_panels(panels: Sequence[Panel], columns: int = 2) -> Image.Image:
    """An RGB picture of the panels, row by row, over the same range of x. Each panel needs a finite point."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = columns * WIDTH_PX, rows * HEIGHT_PX
    image = Image.new("RGB", [OVERSAMPLING * side for side in size], "white")
    x_scale = _x_scale([x for panel in panels for line in panel.lines for x in line.x])
    plots = [
        _Plot(panel, x_scale, (i % columns) * WIDTH_PX, (i // columns) * HEIGHT_PX) for i, panel in enumerate(panels)
    ]
    for plot in plots:
        plot.draw_lines(ImageDraw.Draw(image))
    image = image.resize(size, Image.Resampling.BOX)
    for plot in plots:
        plot.draw_texts(ImageDraw.Draw(image))
    return image


class _Plot:
    """One panel at its place in the picture, in pixels of the finished picture."""

    def __init__(self, panel: Panel, x_scale: Scale, left: int, top: int):
        self.panel = panel
        self.small, self.large = ImageFont.load_default(15), ImageFont.load_default(19)
        self.left, self.right = left + LEFT_PX, left + WIDTH_PX - RIGHT_PX
        self.head = top + 12
        self.legend = self._place_legend(top + TOP_PX)
        self.top, self.bottom = self.legend[-1][1] + 20, top + HEIGHT_PX - BOTTOM_PX
        self.lines = [_thin(line) for line in panel.lines]
        values = [y for line in self.lines for stretch in line for _, y in stretch]
        self.x_scale, self.y_scale = x_scale, fit_scale(values, panel.is_log, panel.from_zero)

    def _place_legend(self, y: int) -> list[tuple[int, int]]:
        """Where each line's name goes, in as many rows as they need."""
        places, x = [], self.left
        for line in self.panel.lines:
            width = 52 + math.ceil(self.small.getlength(line.label))
            if x > self.left and x + width > self.right:
                x, y = self.left, y + ROW_PX
            places.append((x, y))
            x += width
        return places

    def x_px(self, x: float) -> float:
        return self.left + self.x_scale(x) * (self.right - self.left)

    def y_px(self, y: float) -> float:
        return self.bottom - self.y_scale(y) * (self.bottom - self.top)

    def draw_lines(self, draw: ImageDraw.ImageDraw) -> None:
        def stroke(points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
            scaled = [(OVERSAMPLING * x, OVERSAMPLING * y) for x, y in points]
            draw.line(scaled, fill=colour, width=round(OVERSAMPLING * width), joint="curve")

        for tick in self.y_scale.ticks():
            stroke([(self.left, self.y_px(tick)), (self.right, self.y_px(tick))], GRID, 1)
        for tick in self.x_scale.ticks():
            stroke([(self.x_px(tick), self.bottom), (self.x_px(tick), self.bottom + 5)], INK, 1)
        for i, line in enumerate(self.lines):
            is_dotted = sum(map(len, line)) < DOTTED_POINTS
            for stretch in line:
                points = [(self.x_px(x), self.y_px(y)) for x, y in stretch]
                stroke(points, _colour(i), 2)
                for x, y in points if is_dotted or len(points) == 1 else ():
                    draw.ellipse([OVERSAMPLING * side for side in (x - 3, y - 3, x + 3, y + 3)], fill=_colour(i))
        stroke([(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)], INK, 1.3)

    def draw_texts(self, draw: ImageDraw.ImageDraw) -> None:
        small = self.small
        draw.text((self.left, self.head), self.panel.title, fill=INK, font=self.large)
        for i, (line, (x, y)) in enumerate(zip(self.panel.lines, self.legend, strict=True)):
            draw.line([(x, y), (x + 22, y)], fill=_colour(i), width=3)
            draw.text((x + 28, y), line.label, fill=INK, font=small, anchor="lm")
        for tick in self.y_scale.ticks():
            draw.text((self.left - 8, self.y_px(tick)), tick_text(tick), fill=INK, font=small, anchor="rm")
        for tick in self.x_scale.ticks():
            draw.text((self.x_px(tick), self.bottom + 9), tick_text(tick), fill=INK, font=small, anchor="ma")
        draw.text((self.right, self.bottom + 33), self.panel.x_label, fill=INK, font=small, anchor="ra")


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _x_scale(values: Sequence[float]) -> Scale:
    """From the first to the last point without room at the sides; from 0 where the first is not far from it."""
    low, high = float(min(values)), float(max(values))
    if 0 <= low <= 0.2 * high:
        low = 0.0
    return Scale(low, high) if low < high else fit_scale(values)


def _thin(line: Line) -> list[list[tuple[float, float]]]:
    """Stretches of finite points; where there are many, each is the mean of some neighbours."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(line.x, line.y, strict=True):
        if math.isfinite(y):
            stretches[-1].append((x, y))
        elif stretches[-1]:
            stretches.append([])
    step = math.ceil(len(line.x) / MAX_POINTS)
    return [
        [tuple(map(_mean, zip(*stretch[i : i + step], strict=True))) for i in range(0, len(stretch), step)]
        for stretch in stretches
        if stretch
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
