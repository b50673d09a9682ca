"""The mean of several checkpoints' weights."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import Tensor

from msrs.errors import StageError, TrainingError
from msrs.log import LOGGER
from msrs.train.checkpoint import EPOCH, load, numbered, save


def average_weights(paths: Sequence[str | Path]) -> dict[str, Tensor]:
    """Mean of the weights and of the normalisation statistics; whole numbers (counters) are those of the last.

    Sums in float64 in the order given. A weight that is zero in all stays exactly zero.
    Raises: TrainingError where the files do not hold the same names.
    """
    sums: dict[str, Tensor] = {}
    model: dict[str, Tensor] = {}
    for path in paths:
        model = load(path)["model"]
        if sums and model.keys() != sums.keys():
            raise TrainingError(f"{path}: other parameters than in {paths[0]}; these cannot be averaged.")
        for name, value in model.items():
            value = value.double() if value.is_floating_point() else value
            sums[name] = sums[name] + value if name in sums and value.is_floating_point() else value
    if not model:
        raise TrainingError("no checkpoint to average.")
    return {
        name: (sums[name] / len(paths)).to(value.dtype) if value.is_floating_point() else value
        for name, value in model.items()
    }


def best_epochs(scores: dict[int, float], count: int) -> list[int]:
    """The epochs of the lowest scores; among equals the later one.

    >>> best_epochs({1: 0.5, 2: 0.2, 3: 0.2, 4: 0.9}, 2)
    [2, 3]
    """
    order = sorted(scores, key=lambda epoch: (scores[epoch], -epoch))
    return sorted(order[:count])


def average_experiment(exp: Path, name: str, last: int | None, best: int | None, by: Literal["wer", "loss"]) -> Path:
    """Write `checkpoints/<name>.pt`, the mean of the last or the best of the models that a run has kept.

    Raises: StageError where there are fewer than asked for.
    """
    kept = dict(numbered(exp / "checkpoints", EPOCH))
    wanted = last or best or len(kept)
    if not kept or wanted > len(kept):
        raise StageError(
            f"{exp}/checkpoints has {len(kept)} models, {wanted} are to be averaged; a run keeps train.average of them "
            f"(train.select_by says which)."
        )
    if best:
        scores = dev_scores(exp / "metrics.jsonl", by)
        epochs = best_epochs({epoch: scores[epoch] for epoch in kept if epoch in scores}, best)
    else:
        epochs = sorted(kept)[-wanted:]
    return average_files([kept[epoch] for epoch in epochs], exp / "checkpoints" / f"{name}.pt")


def average_files(paths: Sequence[Path], target: Path) -> Path:
    """Write the mean of checkpoints; warns where their masks differ, for the mean is then denser than each of them."""
    mean = average_weights(paths)
    zeros = [_count_zeros(load(path)["model"]) for path in paths]
    if _count_zeros(mean) < 0.99 * min(zeros):
        LOGGER.warning("The models have zeros in different places: their mean is denser than each of them.")
    save({"model": mean}, target)
    LOGGER.info("%s is the mean of %s", target, ", ".join(path.name for path in paths))
    return target


def dev_scores(path: Path, by: str) -> dict[int, float]:
    """Score of each validated epoch, out of metrics.jsonl; the half line of a killed run is passed over."""
    scores = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            values = json.loads(line)
            if values["kind"] == "dev":
                scores[values["epoch"]] = values[by]
    return scores


def _count_zeros(weights: dict[str, Tensor]) -> int:
    return sum(int((value == 0).sum()) for value in weights.values() if value.dim() > 1)
