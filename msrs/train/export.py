"""A trained run's model without the units that its mask has emptied."""

from pathlib import Path

from msrs.errors import ConfigError
from msrs.log import LOGGER
from msrs.sparse.export import narrow
from msrs.train.checkpoint import load_model, save


def export_narrow(exp: str | Path, checkpoint: str = "average") -> Path:
    """Write a physically narrower dense model of the same outputs beside a run's checkpoints.

    Args: exp, an experiment folder whose run masked whole units (`granularity: neuron, finish: sparse`); checkpoint, a name
    in its `checkpoints/`, or a path. Returns: `<checkpoint>_narrow.pt` beside it, which loads wherever the checkpoint does.
    Raises: StageError where training has not ended; ConfigError where no unit is empty.
    """
    model, _, _ = load_model(exp, checkpoint)
    source = Path(checkpoint) if checkpoint.endswith(".pt") else Path(exp) / "checkpoints" / f"{checkpoint}.pt"
    path = source.with_name(f"{source.stem}_narrow.pt")
    before = sum(parameter.numel() for parameter in model.parameters())
    cut = narrow(model)
    if not cut:
        raise ConfigError(
            f"{exp}: {checkpoint} has no empty unit to cut out; train with sparse.granularity=neuron and sparse.finish=sparse."
        )
    for name, (left, count) in cut.items():
        LOGGER.info("%s: %d of %d units", name, left, count)
    after = sum(parameter.numel() for parameter in model.parameters())
    save({"model": model.state_dict()}, path)
    LOGGER.info("%s: %s of %s parameters (%.0f %%)", path, f"{after:,}", f"{before:,}", 100 * after / before)
    return path
