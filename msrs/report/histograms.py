"""Small multiples of histograms: a row a run, a column an epoch, a line a block."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from msrs.errors import DataError
from msrs.report.canvas import GRID, INK, OVERSAMPLING, fit_text, font, ramp, ramp_text
from msrs.report.chart import WIDTH_PX
from msrs.report.curves import read_records
from msrs.report.layers import in_order, short_name
from msrs.report.runs import RunGroup
from msrs.report.scale import Scale, tick_text

KINDS = {"weights": "weights", "logits": "mask logits"}  # key in metrics.jsonl -> what it is called
MOST_COLUMNS = 6
LEFT_PX, RIGHT_PX, GAP_PX, HEIGHT_PX, TITLE_PX, FOOT_PX = 70, 20, 14, 150, 54, 32
DECADES, TAIL = 4, 5e-4  # of density that are shown; share of a block that the x axis may leave out at either end

Block = tuple[float, float, np.ndarray]  # outer edges and the density of each of the even bins between them
Histograms = dict[int, dict[str, dict[str, Block]]]  # epoch -> kind -> block


def read_histograms(path: str | Path) -> Histograms:
    """The lines of kind `histogram`, by epoch (by update where it has none). Where two have one epoch the later counts.

    Raises: DataError where a block's bins are not whole.
    """
    result: Histograms = {}
    for kind, update, values in read_records(path):
        if kind == "histogram":
            tables = {name: values.get(name) for name in KINDS if isinstance(values.get(name), Mapping)}
            found = result[int(values.get("epoch", update))] = {name: {} for name in tables}
            for name, block, bins in ((n, b, bins) for n, table in tables.items() for b, bins in table.items()):
                try:
                    found[name][block] = _density(**bins)
                except (TypeError, ZeroDivisionError):
                    raise DataError(
                        f"{path}: update {update}: {name} of {block}: expected low, high and counts."
                    ) from None
    return result


def _density(low: float, high: float, counts: Sequence[int]) -> Block:
    width = (high - low) / len(counts)
    return low, high, np.array(counts, dtype=float) / (width * max(1, sum(counts)))


def _mean(blocks: Sequence[Block]) -> Block:
    """The mean density of several seeds, in bins that span them all."""
    if len(blocks) == 1:
        return blocks[0]
    low, high = min(low for low, _, _ in blocks), max(high for _, high, _ in blocks)
    number = max(len(values) for _, _, values in blocks)
    centres = low + (np.arange(number) + 0.5) * (high - low) / number
    total = np.zeros(number)
    for first, last, values in blocks:
        places = np.floor((centres - first) / (last - first) * len(values)).astype(int)
        inside = (places >= 0) & (places < len(values))
        total[inside] += values[places[inside]]
    return low, high, total / len(blocks)


@dataclass(frozen=True)
class _Row:
    title: str
    kind: str
    cells: dict[int, dict[str, Block]]  # epoch -> block


def draw_histograms(runs: Sequence[RunGroup]) -> Image.Image | None:
    """An RGB picture, or None where nothing is logged; density is logarithmic, the darker a line the nearer its block
    to the input.
    """
    rows = [row for kind in KINDS for run in runs if (row := _row(run, kind))]
    if not rows:
        return None
    epochs = _spread(sorted({epoch for row in rows for epoch in row.cells}))
    blocks = in_order(block for row in rows for cell in row.cells.values() for block in cell)
    width = min(420, (2 * WIDTH_PX - LEFT_PX - RIGHT_PX) // len(epochs) - GAP_PX)
    row_height = TITLE_PX + HEIGHT_PX + FOOT_PX
    image = Image.new("RGB", (2 * WIDTH_PX, 76 + row_height * len(rows)), "white")
    draw = ImageDraw.Draw(image)
    draw.text((LEFT_PX, 12), "Histograms of each block: density (logarithmic) by value", fill=INK, font=font(19))
    _draw_key(image, blocks)
    scales = {kind: _scales([row for row in rows if row.kind == kind]) for kind in {row.kind for row in rows}}
    colours = {block: ramp_text(0.92 * i / max(1, len(blocks) - 1)) for i, block in enumerate(blocks)}
    for i, row in enumerate(rows):
        top = 76 + row_height * i + TITLE_PX
        name = fit_text(row.title, image.width - LEFT_PX, font(15))
        draw.text((LEFT_PX, top - 26), name, fill=INK, font=font(15), anchor="ls")
        for k, epoch in enumerate(epochs):
            left = LEFT_PX + k * (width + GAP_PX)
            if epoch in row.cells:
                draw.text((left, top - 8), f"epoch {epoch}", fill=INK, font=font(12), anchor="ls")
                x_scale, y_scale = scales[row.kind]
                image.paste(_cell(row.cells[epoch], colours, x_scale, y_scale, width), (left, top))
                _draw_ticks(draw, x_scale, y_scale, (left, top, width), with_y=k == 0)
    return image


def _row(run: RunGroup, kind: str) -> _Row | None:
    found: dict[int, dict[str, list[Block]]] = {}
    for folder in run.folders:
        for epoch, tables in read_histograms(folder / "metrics.jsonl").items():
            for block, bins in tables.get(kind, {}).items():
                found.setdefault(epoch, {}).setdefault(block, []).append(bins)
    cells = {epoch: {block: _mean(few) for block, few in cell.items()} for epoch, cell in found.items()}
    return _Row(f"{run.label}: {KINDS[kind]}", kind, cells) if cells else None


def _spread(epochs: Sequence[int]) -> list[int]:
    """The first, the last and some between."""
    places = np.linspace(0, len(epochs) - 1, min(MOST_COLUMNS, len(epochs))).round().astype(int)
    return [epochs[i] for i in places]


def _scales(rows: Sequence[_Row]) -> tuple[Scale, Scale]:
    blocks = [block for row in rows for cell in row.cells.values() for block in cell.values()]
    edges = [edge for block in blocks for edge in _bulk(block)]
    top = max(values.max() for _, _, values in blocks) or 1.0
    return Scale(min(edges), max(edges)), Scale(top / 10**DECADES, top * 1.3, is_log=True)


def _bulk(block: Block) -> tuple[float, float]:
    """Outer edges of the bins that hold all but the tails."""
    low, high, values = block
    share = np.cumsum(values) / max(values.sum(), 1e-30)
    step = (high - low) / len(values)
    return low + step * int(np.argmax(share > TAIL)), low + step * (int(np.argmax(share >= 1 - TAIL)) + 1)


def _cell(
    blocks: Mapping[str, Block], colours: Mapping[str, str], x_scale: Scale, y_scale: Scale, width: int
) -> Image.Image:
    size = OVERSAMPLING * width, OVERSAMPLING * HEIGHT_PX
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for tick in x_scale.ticks(4):
        draw.line([(x_scale(tick) * size[0], 0), (x_scale(tick) * size[0], size[1])], fill=GRID, width=OVERSAMPLING)
    for block in colours:
        if block in blocks:
            low, high, values = blocks[block]
            xs = low + (np.arange(len(values)) + 0.5) * (high - low) / len(values)
            ys = [1 - y_scale(max(value, y_scale.low)) for value in values]
            points = [(x_scale(x) * size[0], y * size[1]) for x, y in zip(xs, ys)]
            ends = [(x_scale(edge) * size[0], size[1]) for edge in (low, high)]
            draw.line([ends[0], *points, ends[1]], fill=colours[block], width=4, joint="curve")
    draw.line([(0, 0), (0, size[1] - 2), (size[0], size[1] - 2)], fill=INK, width=OVERSAMPLING)
    return image.resize((width, HEIGHT_PX), Image.Resampling.BOX)


def _draw_ticks(
    draw: ImageDraw.ImageDraw, x_scale: Scale, y_scale: Scale, place: tuple[int, int, int], with_y: bool
) -> None:
    left, top, width = place
    for tick in x_scale.ticks(4):
        at = min(max(x_scale(tick), 0.04), 0.96) if width < 300 else x_scale(tick)
        draw.text((left + at * width, top + HEIGHT_PX + 6), tick_text(tick), fill=INK, font=font(12), anchor="ma")
    powers = range(math.ceil(math.log10(y_scale.low)), math.floor(math.log10(y_scale.high)) + 1)
    for tick in [10.0**power for power in powers] if with_y else ():
        at = top + (1 - y_scale(tick)) * HEIGHT_PX
        draw.text((left - 8, at), tick_text(tick), fill=INK, font=font(12), anchor="rm")


def _draw_key(image: Image.Image, blocks: Sequence[str]) -> None:
    """Names of the first and the last block with the ramp between them."""
    draw, small, y = ImageDraw.Draw(image), font(15), 54
    first, last = (fit_text(short_name(block), 300, small) for block in (blocks[0], blocks[-1]))
    draw.text((LEFT_PX, y), first, fill=INK, font=small, anchor="lm")
    left = LEFT_PX + math.ceil(small.getlength(first)) + 10
    strip = ramp(np.linspace(0, 0.92, 200)[None].repeat(12, axis=0))
    image.paste(Image.fromarray(strip), (left, y - 6))
    draw.text((left + 210, y), last, fill=INK, font=small, anchor="lm")
