"""The picture of a training: losses, dev errors, learning rate and density from metrics.jsonl."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msrs.errors import DataError
from msrs.files import atomic_path, read_lines
from msrs.log import LOGGER
from msrs.report.chart import Line, Panel, draw_panels

# Title -> (last word of the metric's name, how the y axis runs).
PANELS = {
    "Loss": (r"loss", {"is_log": True}),
    "Errors on dev (%)": (r"wer|cer", {"from_zero": True}),
    "Learning rate": (r"lr|learning_rate", {"from_zero": True}),
    "Density of masked weights": (r"density", {"from_zero": True}),
}
STEEP = 8.0  # a logarithmic axis is taken where the largest value is so many times the smallest


def read_metrics(path: str | Path) -> dict[str, dict[int, float]]:
    """Values by name and update: `{"dev/loss": {100: 2.3, ...}, ...}`.

    A line is a JSON object with `num_updates` and numbers, by name (`dev_wer`), in groups
    (`{"dev": {"wer": 2.3}}`) or of a kind (`{"kind": "dev", "wer": 2.3}`);
    other values are passed over, and so are lines without `num_updates`. Where a training went back to a checkpoint,
    the later line counts. Raises: DataError with file:line; a last line cut short by a kill is passed over.
    """
    metrics: dict[str, dict[int, float]] = {}
    for kind, update, values in read_records(path):
        for name, value in _flatten(values, f"{kind}/" if kind else ""):
            metrics.setdefault(name, {})[update] = value
    return metrics


def read_records(path: str | Path) -> Iterator[tuple[str | None, int, dict[str, object]]]:
    """Kind, update and all other values of each line that has `num_updates`, in the file's order; raises as above."""
    lines = read_lines(path)
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
        except ValueError:
            if number == len(lines):
                break
            raise DataError(f"{path}:{number}: not a line of JSON.") from None
        if isinstance(values, dict) and "num_updates" in values:
            update = values.pop("num_updates")
            if not isinstance(update, int):
                raise DataError(f"{path}:{number}: num_updates is {update!r}, expected a whole number.")
            yield values.pop("kind", None), update, values


def _flatten(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, float]]:
    """Names and numbers of nested groups.

    >>> _flatten({"lr": 1e-3, "dev": {"wer": 5, "best": True}, "note": "x"})
    [('lr', 0.001), ('dev/wer', 5.0)]
    """
    result = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            result += _flatten(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            result.append((prefix + key, float(value)))
    return result


def choose_panels(metrics: Mapping[str, Mapping[int, float]]) -> list[Panel]:
    """The panels for which there are values, each with its lines sorted by name."""
    panels = []
    for title, (ending, axis) in PANELS.items():
        lines = [
            Line(_label(name), sorted(values), [values[x] for x in sorted(values)])
            for name, values in sorted(metrics.items())
            if re.search(rf"(?:^|[/._])(?:{ending})$", name) and any(map(math.isfinite, values.values()))
        ]
        if lines:
            panels.append(Panel(title, lines, "updates", **_axis(lines, axis)))
    return panels


def _axis(lines: Sequence[Line], axis: Mapping[str, bool]) -> dict[str, bool]:
    """The axis wanted; a logarithmic one only where values are positive and differ much."""
    return {**axis, "is_log": axis.get("is_log", False) and is_steep(lines)}


def is_steep(lines: Sequence[Line]) -> bool:
    """Whether a logarithmic axis shows these lines better: all values are positive and they differ much."""
    values = [y for line in lines for side in (line.y, line.low, line.high) for y in side if math.isfinite(y)]
    return min(values) > 0 and max(values) > STEEP * min(values)


def _label(name: str) -> str:
    """A metric's name as words.

    >>> _label("dev/wer"), _label("train_ctc_loss")
    ('dev WER', 'train ctc loss')
    """
    words = re.split(r"[/._]", name)
    return " ".join(word.upper() if word in ("wer", "cer") else word for word in words)


def draw_curves(metrics_path: str | Path, image_path: str | Path) -> bool:
    """Draw metrics.jsonl as a PNG file. Returns: False where there is nothing to draw yet, which the log says."""
    panels = choose_panels(read_metrics(metrics_path))
    if not panels:
        LOGGER.info("%s: no curves yet", metrics_path)
        return False
    with atomic_path(image_path) as temporary:
        draw_panels(panels).save(temporary, format="PNG", optimize=True)
    return True
