"""Pictures of lines over updates and over seconds: how runs learn, and when they begin to look."""

import math
import re
from collections.abc import Callable, Mapping, Sequence

from PIL import Image

from msrs.report.chart import Panel, draw_panels
from msrs.report.curves import is_steep
from msrs.report.plateau import GAP_NATS
from msrs.report.runs import Metrics, RunGroup

AXES = ("updates", "seconds")


def draw_learning_curves(runs: Sequence[RunGroup]) -> Image.Image | None:
    """Dev loss, dev word errors and training loss, each over updates and over seconds; None without a finite number."""
    panels = _pair("Dev loss (nats per token)", runs, _of("dev/loss"), may_be_log=True)
    panels += _pair("Dev word errors, greedy (%)", runs, _of("dev/wer"), from_zero=True)
    panels += _pair("Training loss (nats per token)", runs, _of("train/loss"), may_be_log=True)
    return draw_panels(panels) if panels else None


def draw_vision_gap(runs: Sequence[RunGroup]) -> Image.Image | None:
    """What seeing the right video is worth, what CTC leaves blank, how much residual branches add; None as above."""
    marks = [(GAP_NATS, f"{GAP_NATS} nat")]
    panels = _pair(
        "Dev vision gap: loss with videos exchanged less loss (nats per token)", runs, _of("dev/vision_gap"), marks
    )
    panels += _pair("Share of dev frames that CTC leaves blank", runs, _of("dev/blank_share"), from_zero=True)
    for title, pattern in (
        ("Encoder branches, |f(x)| / |x|, mean over blocks", r"watch/branch_share/\w*encoder\."),
        (
            "Decoder's attention to the encoder, |f(x)| / |x|, mean over blocks",
            r"watch/branch_share/decoder\..*\.cross$",
        ),
    ):
        panels += _pair(title, runs, _mean_of(pattern), may_be_log=True)
    return draw_panels(panels) if panels else None


def _pair(
    title: str,
    runs: Sequence[RunGroup],
    values_of: Callable[[Metrics], Mapping[int, float]],
    marks: Sequence[tuple[float, str]] = (),
    may_be_log: bool = False,
    from_zero: bool = False,
) -> list[Panel]:
    """The panel over updates and the one over seconds; none where there is nothing to draw."""
    panels = []
    for axis in AXES:
        lines = [run.line(values_of, axis) for run in runs]
        if lines := [line for line in lines if line]:
            panels.append(Panel(title, lines, axis, may_be_log and is_steep(lines), from_zero, marks))
    return panels


def _of(name: str) -> Callable[[Metrics], Mapping[int, float]]:
    return lambda metrics: metrics.get(name, {})


def _mean_of(pattern: str) -> Callable[[Metrics], Mapping[int, float]]:
    """The mean of all numbers with such names, at the updates that all have."""

    def mean(metrics: Metrics) -> Mapping[int, float]:
        few = [values for name, values in metrics.items() if re.match(pattern, name)]
        updates = set.intersection(*map(set, few)) if few else set()
        return {update: math.fsum(values[update] for values in few) / len(few) for update in updates}

    return mean
