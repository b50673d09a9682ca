"""An experiment's folder out of the way of a new run of the same name."""

from pathlib import Path

from msrs.log import LOGGER
from msrs.train.lock import locked
from msrs.train.record import NAME


def set_aside(exp: Path) -> Path | None:
    """Rename EXP to EXP.old1, or the next number that is free, with all that is in it.

    Returns: the new name; None where the folder holds no checkpoint, so that there is nothing to go on with but what the run
    began from (--init), which is forgotten.
    Raises: TrainingError where one is at work in it.

    >>> set_aside(Path("exp/none")) is None
    True
    """
    if not any((exp / "checkpoints").glob("*.pt")):
        if (exp / NAME).exists():
            with locked(exp):
                (exp / NAME).unlink()
        return None
    number = 1
    while (target := exp.with_name(f"{exp.name}.old{number}")).exists():
        number += 1
    with locked(exp):
        exp.rename(target)
    LOGGER.info("the run in %s is set aside: it is in %s now", exp, target)
    return target
