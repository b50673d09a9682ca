"""Pictures whose rows are layers: gradients, their signal to noise, the density of masks."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from msrs.report.bars import Bars, draw_bars
from msrs.report.canvas import stack
from msrs.report.chart import WIDTH_PX, Panel, draw_panels
from msrs.report.curves import is_steep
from msrs.report.heat import HeatMap, Rows, colour_scale, draw_heat_maps
from msrs.report.layers import blocks_of, first_and_last, first_over_last, in_order, short_name
from msrs.report.runs import Metrics, RunGroup

NORM, SNR = "watch/grad_norm/", "watch/grad_snr/"
BLOCK = ("sparse/density/block/", "sparse/found_density/block/")
KIND = ("sparse/density/type/", "sparse/found_density/type/")
FLIPS = "sparse/flips/block/"


def draw_gradient_flow(runs: Sequence[RunGroup]) -> Image.Image | None:
    """Gradient norms of all blocks, and below how much of it the first encoder block has of the last one's."""
    image = _draw_maps("Gradient norm of each block (logarithmic)", runs, lambda metrics: blocks_of(metrics, NORM))
    encoders = sorted(
        {encoder for run in runs for seed in run.seeds for encoder in first_and_last(blocks_of(seed, NORM))}
    )
    panels = []
    for encoder in encoders:
        lines = [
            run.line(lambda metrics, name=encoder: first_over_last(blocks_of(metrics, NORM), name)) for run in runs
        ]
        if lines := [line for line in lines if line]:
            title = f"Gradient norm of the first {encoder} block / of the last"
            panels.append(Panel(title, lines, "updates", is_log=is_steep(lines), marks=[(1.0, "equal norms")]))
    if image is None or not panels:
        return image
    return stack([image, draw_panels(panels, width_px=2 * WIDTH_PX // min(2, len(panels)))])


def draw_signal_to_noise(runs: Sequence[RunGroup]) -> Image.Image | None:
    """Signal to noise of all blocks' gradients over the parts of an update's batch."""
    title = "Signal to noise of each block's gradient, |mean|^2 / variance over micro-batches (logarithmic)"
    return _draw_maps(title, runs, lambda metrics: blocks_of(metrics, SNR))


def draw_density(runs: Sequence[RunGroup]) -> Image.Image | None:
    """Density of masks and what flipped of them: by block over updates, of all masked weights; by type of module at the end.

    By block and type it is the mask's density, where it was taken off that of the epoch in which it was.
    """
    parts = []
    maps = {
        "Density of the mask by block, share of weights kept (logarithmic)": (BLOCK, 1.0),
        "Share of the mask that flipped in an epoch, by block (logarithmic)": ((FLIPS,), None),
    }
    for title, (prefixes, highest) in maps.items():
        if having := [run for run in runs if any(map(run.has, prefixes))]:
            parts.append(_draw_maps(title, having, lambda metrics, few=prefixes: _below(metrics, *few), highest))
    titles = {
        "sparse/density": "Density of all masked weights (1: mask taken off)",
        "sparse/flips": "Share of the mask that flipped in an epoch",
    }
    panels = []
    for name, title in titles.items():
        lines = [run.line(lambda metrics, name=name: metrics.get(name, {})) for run in runs]
        if lines := [line for line in lines if line]:
            panels.append(Panel(title, lines, "updates", from_zero=True))
    if panels:
        parts.append(draw_panels(panels))
    bars = [Bars(run.title, _at_the_end(run), run.index) for run in runs if any(map(run.has, KIND))]
    if bars:
        parts.append(draw_bars("Density of the last mask by type of module, share of weights kept", bars))
    return stack(parts, gap_px=24) if parts else None


def _below(metrics: Metrics, *prefixes: str) -> Rows:
    """By what follows a prefix the numbers of all of them."""
    rows: dict[str, dict[int, float]] = {}
    for prefix in prefixes:
        for name, values in metrics.items():
            if name.startswith(prefix):
                rows.setdefault(name.removeprefix(prefix), {}).update(values)
    return rows


def _at_the_end(run: RunGroup) -> dict[str, tuple[float, float, float]]:
    """By type of module the median, least and most over seeds of the last density that each has logged."""
    found: dict[str, list[float]] = {}
    for metrics in run.seeds:
        for name, values in _below(metrics, *KIND).items():
            found.setdefault(name, []).append(values[max(values)])
    return {name: (float(np.median(few)), min(few), max(few)) for name, few in found.items()}


def _draw_maps(
    title: str, runs: Sequence[RunGroup], rows_of: Callable[[Metrics], Rows], highest: float | None = None
) -> Image.Image | None:
    """Heat maps of all runs, None without a row; `highest`: what the lightest colour means, if not the largest value."""
    maps = [HeatMap(run.title, run.rows(rows_of)) for run in runs]
    names = in_order(name for one in maps for name in one.rows)
    if not names:
        return None
    return draw_heat_maps(title, maps, {name: short_name(name) for name in names}, colour_scale(maps, highest))
