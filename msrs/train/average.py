"""The mean of several checkpoints' weights."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from msrs.errors import TrainingError
from msrs.train.checkpoint import load


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
