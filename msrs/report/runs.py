"""Training runs that are compared: how they are named, read, and put together where they are seeds of one method."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msrs.errors import ConfigError, StageError
from msrs.report.chart import Line
from msrs.report.curves import read_metrics
from msrs.report.heat import Rows

END_SHARE = 0.02  # of the axis, by which a curve may end before the others and still count at their end
SEED_POINTS = 120  # of several seeds a longer curve is averaged over stretches, so that a band is no noise of batches

Metrics = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class RunGroup:
    """A run, or some of one method that differ by their seed, with the numbers of each."""

    label: str
    index: int  # its colour: its place among what is compared, here or in pictures that belong together
    folders: tuple[Path, ...]
    seeds: tuple[Metrics, ...]

    @property
    def title(self) -> str:
        """The label, and the number of seeds where there are some."""
        return self.label if len(self.seeds) == 1 else f"{self.label} (median of {len(self.seeds)})"

    def has(self, prefix: str) -> bool:
        """Whether a seed has numbers whose names begin so."""
        return any(name.startswith(prefix) for metrics in self.seeds for name in metrics)

    def line(self, values_of: Callable[[Metrics], Mapping[int, float]], axis: str = "updates") -> Line | None:
        """One line for all seeds over `updates` or `seconds` (see `merge`), or None where none has a finite point.

        Seconds are the median of the seeds' clocks at an update, so that the line and its band are the same.
        """
        found = [(metrics, values_of(metrics)) for metrics in self.seeds]
        found = [(metrics, values) for metrics, values in found if np.isfinite(list(values.values())).any()]
        if axis == "seconds":
            found = [(metrics, values) for metrics, values in found if clock(metrics)]
        if not found:
            return None
        line = merge(self.label, self.index, [values for _, values in found])
        if axis == "updates":
            return line
        clocks = [_split(clock(metrics)) for metrics, _ in found]
        end = max(updates[-1] for updates, _ in clocks)
        times = [np.interp(line.x, *one, right=one[1][-1] if one[0][-1] == end else np.nan) for one in clocks]
        # Where a slow seed ends before the others the median would step back.
        seconds = np.maximum.accumulate(np.nanmedian(times, axis=0))
        return dataclasses.replace(line, x=seconds.tolist())

    def rows(self, rows_of: Callable[[Metrics], Rows]) -> Rows:
        """The median of all seeds that have a number, by row and update."""
        found: dict[str, dict[int, list[float]]] = {}
        for metrics in self.seeds:
            for name, values in rows_of(metrics).items():
                for update, value in values.items():
                    found.setdefault(name, {}).setdefault(update, []).append(value)
        return {name: {u: float(np.median(few)) for u, few in values.items()} for name, values in found.items()}


def parse_runs(words: Sequence[str]) -> dict[str, list[Path]]:
    """Experiment folders by label, from `FOLDER`, `NAME=FOLDER` or `NAME=FOLDER,FOLDER,...`.

    A word that is a folder's name is taken as it is, whatever characters are in it.
    Raises: ConfigError for a word of another form, a label that comes twice, a folder that comes twice in a group.
    """
    runs: dict[str, list[Path]] = {}
    for word in words:
        if is_folder := "=" not in word or Path(word).is_dir():
            label, names = Path(word).resolve().name, [word]
        else:
            label, _, rest = word.partition("=")
            names = rest.split(",")
        if not label or not all(names) or (is_folder and "," in word and not Path(word).is_dir()):
            raise ConfigError(f"{word!r} is not FOLDER, NAME=FOLDER or NAME=FOLDER,FOLDER,...; a group needs a name.")
        if label in runs:
            raise ConfigError(f"two runs are called {label!r}; give one another name: NAME={','.join(names)}.")
        if len(set(names)) < len(names):
            raise ConfigError(f"{word!r} names a folder twice; each seed counts once.")
        runs[label] = [Path(name) for name in names]
    return runs


def read_runs(groups: Mapping[str, Sequence[Path]], order: Sequence[str] = ()) -> list[RunGroup]:
    """Read metrics.jsonl of each folder.

    Args: order, labels in the order of their colours, these and others; left out: as they come.
    Raises: StageError where a folder or its file is not there; DataError.
    """
    runs, places = [], list(order or groups)
    for label, folders in groups.items():
        for folder in folders:
            if not folder.is_dir():
                raise StageError(f"{folder}: there is no such experiment folder; mend the path or run stage 4 (train).")
            if not (folder / "metrics.jsonl").is_file():
                raise StageError(f"{folder}: it has no metrics.jsonl; name a folder that stage 4 (train) has written.")
        seeds = tuple(read_metrics(folder / "metrics.jsonl") for folder in folders)
        runs.append(RunGroup(label, places.index(label), tuple(folders), seeds))
    return runs


def clock(metrics: Metrics) -> Mapping[int, float]:
    """Seconds of training by update."""
    return {**metrics.get("train/seconds", {}), **metrics.get("dev/seconds", {})}


def merge(label: str, index: int, curves: Sequence[Mapping[int, float]]) -> Line:
    """The median of curves and, where they are several, the band from their least to their most.

    It has a point at every update of any of them; a curve counts from its first to its last, read between its points, and
    a little beyond: epochs of several seeds differ by an update or two, which must not make the median jump at the end.
    """
    sorted_curves = [_averaged(values) if len(curves) > 1 else _split(values) for values in curves]
    if len(curves) == 1:
        return Line(label, *sorted_curves[0], index=index)
    xs = sorted({place for x, _ in sorted_curves for place in x})
    table = np.array([_between(xs, x, y) for x, y in sorted_curves])
    known = np.isfinite(table).any(axis=0)
    sides = np.full((3, len(xs)), np.nan)
    sides[:, known] = [few(table[:, known], axis=0) for few in (np.nanmedian, np.nanmin, np.nanmax)]
    middle, low, high = sides.tolist()
    return Line(label, xs, middle, low, high, index)


def _between(xs: Sequence[float], x: Sequence[float], y: Sequence[float]) -> np.ndarray:
    values = np.interp(xs, x, y)
    room = END_SHARE * (max(xs) - min(xs))
    is_far = (np.array(xs) < min(x, default=math.inf) - room) | (np.array(xs) > max(x, default=-math.inf) + room)
    values[is_far] = np.nan
    return values


def _split(values: Mapping[int, float]) -> tuple[list[float], list[float]]:
    updates = sorted(values)
    return updates, [values[update] if math.isfinite(values[update]) else math.nan for update in updates]


def _averaged(values: Mapping[int, float]) -> tuple[list[float], list[float]]:
    x, y = _split(values)
    size = -(-len(x) // SEED_POINTS)
    parts = [slice(start, start + size) for start in range(0, len(x), size)]
    return [float(np.mean(x[part])) for part in parts], [float(np.mean(y[part])) for part in parts]
