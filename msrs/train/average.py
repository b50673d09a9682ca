"""The mean of several checkpoints' weights."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import Tensor

from msrs.errors import ConfigError, StageError, TrainingError
from msrs.files import read_lines
from msrs.log import LOGGER
from msrs.train.checkpoint import EPOCH, RESUME, load_weights, numbered, save


def average_weights(paths: Sequence[str | Path]) -> dict[str, Tensor]:
    """Mean of the weights and of the normalisation statistics; whole numbers (counters) are those of the last.

    Sums in float64 in the order given. A weight that is zero in all stays exactly zero; where the models' masks differ,
    so that the mean is denser than each of them, a warning says so.
    Raises: TrainingError where a file holds no weights, or others than the first one.
    """
    sums: dict[str, Tensor] = {}
    model: dict[str, Tensor] = {}
    zeros = []
    for path in paths:
        model = load_weights(path)
        shapes = {name: value.shape for name, value in model.items()}
        if sums and shapes != {name: value.shape for name, value in sums.items()}:
            raise TrainingError(
                f"{path}: other parameters than in {paths[0]}; only models of the same configuration can be averaged."
            )
        zeros.append(_count_zeros(model))
        for name, value in model.items():
            value = value.double() if value.is_floating_point() else value
            sums[name] = sums[name] + value if name in sums and value.is_floating_point() else value
    if not model:
        raise TrainingError("no checkpoint to average.")
    mean = {
        name: (sums[name] / len(paths)).to(value.dtype) if value.is_floating_point() else value
        for name, value in model.items()
    }
    if _count_zeros(mean) < 0.99 * min(zeros):
        LOGGER.warning("The models have zeros in different places: their mean is denser than each of them.")
    return mean


def best_epochs(scores: dict[int, float], count: int) -> list[int]:
    """The epochs of the lowest scores; among equals the later one.

    >>> best_epochs({1: 0.5, 2: 0.2, 3: 0.2, 4: 0.9}, 2)
    [2, 3]
    """
    order = sorted(scores, key=lambda epoch: (scores[epoch], -epoch))
    return sorted(order[:count])


def average_experiment(exp: Path, name: str, last: int | None, best: int | None, by: Literal["wer", "loss"]) -> Path:
    """Write `checkpoints/<name>.pt`, the mean of the last or the best of the models that a run has kept.

    Raises: StageError where there are fewer than asked for, or no scores to choose by; ConfigError on a name with a slash
    or one that is the run's own.
    """
    name = name.removesuffix(".pt")
    if "/" in name or name.startswith("."):
        raise ConfigError(f"--name {name}: expected a word without a slash, such as best3; it names a file in {exp}.")
    if name == "average":
        raise ConfigError(
            f"--name {name}: that is the model that the run itself has made; take another, such as best3."
        )
    kept = dict(numbered(exp / "checkpoints", EPOCH))
    wanted = last or best or len(kept)
    if not kept or wanted > len(kept):
        raise StageError(
            f"{exp}/checkpoints: {wanted} models are to be averaged, {len(kept)} are there; expected the folder of a run, "
            f"which keeps train.average of them (train.select_by says which)."
        )
    if best:
        scores = dev_scores(exp / "metrics.jsonl", by)
        epochs = best_epochs({epoch: scores[epoch] for epoch in kept if epoch in scores}, best)
        if len(epochs) < best:
            raise StageError(
                f"{exp}/metrics.jsonl: no {by} of enough of the models; choose by --last N or --checkpoints."
            )
    else:
        epochs = sorted(kept)[-wanted:]
    return average_files([kept[epoch] for epoch in epochs], exp / "checkpoints" / f"{name}.pt")


def average_files(paths: Sequence[Path], target: Path) -> Path:
    """Write the mean of checkpoints.

    Raises: ConfigError where `target` is named as what a run goes on from or drops, or as no checkpoint.
    """
    if target.suffix != ".pt":
        raise ConfigError(
            f"{target}: expected a name that ends in .pt, for --checkpoint takes no other path; choose another."
        )
    if RESUME.fullmatch(target.name) or EPOCH.fullmatch(target.name):
        raise ConfigError(
            f"{target}: resume_N and epoch_N are names of the run's own files; take another, such as best3."
        )
    if len({path.resolve().parent for path in paths}) > 1:
        LOGGER.warning(
            "The models are of several runs: unless these began from the same weights, their mean is of no use."
        )
    save({"model": average_weights(paths)}, target)
    LOGGER.info("%s is the mean of %s", target, ", ".join(path.name for path in paths))
    return target


def dev_scores(path: Path, by: str) -> dict[int, float]:
    """Score of each validated epoch, out of metrics.jsonl; the half line of a killed run is passed over.

    Raises: DataError where the file cannot be read.
    """
    scores = {}
    for line in read_lines(path):
        with contextlib.suppress(ValueError, KeyError):
            values = json.loads(line)
            if values["kind"] == "dev":
                scores[values["epoch"]] = values[by]
    return scores


def _count_zeros(weights: dict[str, Tensor]) -> int:
    return sum(int((value == 0).sum()) for value in weights.values() if value.dim() > 1)
