"""When a training from scratch leaves the plateau on which it speaks without looking, and where it ends."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msrs.report.curves import read_metrics
from msrs.report.layers import blocks_of, first_and_last, first_over_last
from msrs.score.table import markdown_table

GAP_NATS, GAP_TIMES = 0.1, 3  # the plateau is left at the first of three validations in a row with a wider vision gap
HALF_WER = 50.0

NOTE = """\
Medians over the seeds, the range in brackets. *Left plateau*: runs whose vision gap (dev loss with the videos exchanged less
dev loss) exceeded 0.1 nat a token for three validations on end; updates and seconds of training until then. WER < 50: of
greedy CTC on dev, at a validation. Density: of the mask that was found, over the matrices that carry one (1: none). Gradient
b1/last: norm of the first encoder block's gradient over the last one's, median over the plateau. The last columns: beam
search with the averaged model."""


@dataclass(frozen=True)
class Moment:
    """A point of a training."""

    update: int
    epoch: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What became of one run."""

    exp: Path
    seed: int
    updates: int  # that it has made
    left_plateau: Moment | None  # None: never
    half_wer: Moment | None  # greedy word errors on dev under 50 %; None: never
    last_gap: float | None  # vision gap at the end, in nats a token
    density: float | None  # the mask's, where there was one
    gradient_ratio: float | None  # first to last encoder block's gradient norm, median over the plateau
    wer: dict[str, float]  # of the decoded sets, in per cent


def outcome_of(exp: Path, seed: int) -> Outcome:
    """Read a run's metrics.jsonl and the results of its decoded sets."""
    metrics = read_metrics(exp / "metrics.jsonl")
    gaps, errors = metrics.get("dev/vision_gap", {}), metrics.get("dev/wer", {})
    left = _first_lasting(gaps)
    half = next((update for update in sorted(errors) if errors[update] < HALF_WER), None)
    results = sorted(exp.glob("decode_ablation/*/result.json"))
    densities = metrics.get("sparse/found_density") or metrics.get("sparse/density") or {}
    return Outcome(
        exp,
        seed,
        max(metrics.get("train/loss", {0: 0.0})),
        _moment(metrics, left),
        _moment(metrics, half),
        gaps[max(gaps)] if gaps else None,
        densities[max(densities)] if densities else None,
        _gradient_ratio(metrics, left),
        {path.parent.name: _rate(path) for path in results},
    )


def _first_lasting(gaps: Mapping[int, float]) -> int | None:
    """The first update from which the gap is wide three times in a row."""
    updates = sorted(gaps)
    for i, update in enumerate(updates[: len(updates) - GAP_TIMES + 1]):
        if all(gaps[later] > GAP_NATS for later in updates[i : i + GAP_TIMES]):
            return update
    return None


def _moment(metrics: Mapping[str, Mapping[int, float]], update: int | None) -> Moment | None:
    if update is None:
        return None
    return Moment(update, metrics["dev/epoch"][update], metrics["dev/seconds"][update])


def _gradient_ratio(metrics: Mapping[str, Mapping[int, float]], left: int | None) -> float | None:
    blocks = blocks_of(metrics, "watch/grad_norm/")
    ratios = [
        ratio
        for encoder in first_and_last(blocks)
        for update, ratio in first_over_last(blocks, encoder).items()
        if left is None or update <= left
    ]
    return statistics.median(ratios) if ratios else None


def _rate(path: Path) -> float:
    return json.loads(path.read_text(encoding="utf-8"))["words"]["rate"]


def plateau_table(
    outcomes: Mapping[str, Sequence[Outcome]], sets: Sequence[str], kept: Mapping[str, Sequence[str]] | None = None
) -> str:
    """One row a method: medians over its seeds with the range in brackets; a run that never left the plateau counts.

    Where fewer than half of the runs got there, the median is `never`. Args: kept, rows of an earlier table by method
    (`rows_of`); each stands in place of a method without runs.
    """
    header = ["method", "seeds", "left plateau", "updates to gap > 0.1", "seconds", "updates to WER < 50", "gap at the end",
              "density", "gradient b1/last", *(f"{name} WER %" for name in sets)]  # fmt: skip
    rows = []
    for name, runs in outcomes.items():
        if not runs:
            rows += [list(kept[name])] if kept and name in kept else []
            continue
        left, half = [run.left_plateau for run in runs], [run.half_wer for run in runs]
        rows.append([
            name, str(len(runs)), f"{sum(moment is not None for moment in left)}/{len(runs)}",
            spread([moment and moment.update for moment in left], 0),
            spread([moment and moment.seconds for moment in left], 0),
            spread([moment and moment.update for moment in half], 0),
            spread([run.last_gap for run in runs if run.last_gap is not None], 2),
            spread([run.density for run in runs if run.density is not None], 2),
            spread([run.gradient_ratio for run in runs if run.gradient_ratio is not None], 2),
            *(spread([run.wer[part] for run in runs if part in run.wer], 1) for part in sets),
        ])  # fmt: skip
    return f"{markdown_table(header, rows)}\n\n{NOTE}"


def rows_of(page: str) -> dict[str, list[str]]:
    """The rows of a table that `plateau_table` has written, by method.

    >>> rows_of("| method | seeds |\\n|:--|--:|\\n| dense | 3 |\\n")
    {'dense': ['dense', '3']}
    """
    lines = [line for line in page.splitlines() if line.startswith("|")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row for row in rows}


def spread(values: Sequence[float | None], digits: int) -> str:
    """Median and range; None is later than any number.

    >>> spread([3, 1, 2], 0), spread([1, None, None], 0), spread([None, None], 0), spread([], 0)
    ('2 [1, 3]', 'never [1, never]', 'never', '-')
    """
    if not values:
        return "-"
    ordered = sorted(values, key=lambda value: float("inf") if value is None else value)
    shown = ["never" if value is None else f"{value:.{digits}f}" for value in ordered]
    middle = len(ordered) // 2
    if len(ordered) % 2 == 0 and ordered[middle] is not None:
        median = f"{(ordered[middle - 1] + ordered[middle]) / 2:.{digits}f}"
    else:
        median = shown[middle]
    return median if shown[0] == shown[-1] else f"{median} [{shown[0]}, {shown[-1]}]"
