"""Checkpoints: whole or absent, the newest whole one is found, loading runs no code from the file."""

import os
import pickle
import re
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from msrs import config as configuration
from msrs.errors import StageError, TrainingError
from msrs.files import atomic_path
from msrs.log import LOGGER
from msrs.models.recogniser import Recogniser
from msrs.sparse.export import fit_to_state
from msrs.text.tokenizer import Tokenizer
from msrs.train.distributed import ALONE, World
from msrs.train.options import TrainConfig

RESUME = re.compile(r"resume_(\d+)\.pt")
EPOCH = re.compile(r"epoch_(\d+)\.pt")


def save(state: dict, path: str | Path) -> None:
    """Write tensors and plain values under a temporary name, then rename. Raises: DataError on a full disk."""
    with atomic_path(path) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:
            # torch's zip writer reports a failed write without its errno: ask the file system.
            room = os.statvfs(temporary.parent)
            if room.f_bavail * room.f_frsize < 1 << 24:
                raise OSError(28, "No space left on device", str(path)) from error
            raise


def load(path: str | Path, is_mapped: bool = False) -> dict:
    """Tensors and plain values of a checkpoint.

    Args: is_mapped, read values when they are looked at, for who wants a part of them.
    Raises: TrainingError where it is damaged or holds anything else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except FileNotFoundError:
        raise StageError(f"{path} does not exist; run stage 4 (training) first.") from None
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError, KeyError) as error:
        # What torch says of other files tells to switch off the guard against code in them.
        is_told = isinstance(error, IsADirectoryError | PermissionError)
        reason = error.strerror if is_told else "cut off, or a file of another kind"
        raise TrainingError(f"{path}: not a whole checkpoint ({reason}); take another file.") from None
    if not isinstance(state, dict):
        raise TrainingError(f"{path}: not a whole checkpoint (a {type(state).__name__}); take another file.")
    return state


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """The model's weights of a checkpoint. Raises: StageError, TrainingError as `load`, and where it holds none."""
    weights = load(path).get("model")
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise TrainingError(f"{path}: a checkpoint without a model; take average.pt, epoch_N.pt or resume_N.pt.")
    return weights


def numbered(folder: Path, pattern: re.Pattern) -> list[tuple[int, Path]]:
    """Files of a folder whose name has a number, by that number."""
    found = ((pattern.fullmatch(path.name), path) for path in folder.glob("*.pt"))
    return sorted((int(match[1]), path) for match, path in found if match)


def newest_resume(folder: Path, world: World = ALONE) -> dict | None:
    """The newest whole resume checkpoint; a damaged one is passed over with a warning.

    Of several processes the main one chooses. Raises: StageError where another does not see the file.
    """
    for path in folder.glob(".*.tmp.pt") if world.is_main else ():
        path.unlink()  # half written when the run was killed
    name = state = None
    for _, path in reversed(numbered(folder, RESUME) if world.is_main else []):
        try:
            name, state = path.name, load(path, world.is_sharded)
            break
        except TrainingError as error:
            LOGGER.warning("passed over: %s", error)
    name = world.gather(name)[0]
    return state if world.is_main or name is None else load(folder / name, world.is_sharded)


def save_resume(state: dict, folder: Path, update: int) -> None:
    """Save where training stands; the one before is kept until this one is whole, older ones go."""
    save(state, folder / f"resume_{update:08d}.pt")
    for _, path in numbered(folder, RESUME)[:-2]:
        path.unlink()


def load_model(exp: str | Path, checkpoint: str = "average") -> tuple[Recogniser, Tokenizer, TrainConfig]:
    """A trained recogniser in evaluation mode with its tokenizer and configuration.

    Args: exp, an experiment folder; checkpoint, a name in its `checkpoints/` without `.pt`, or a path.
    Raises: StageError where training has not been run or not ended; TrainingError where file and model disagree.
    """
    exp = Path(exp)
    if not (exp / "config.yaml").exists():
        raise StageError(f"{exp} holds no trained model; run stage 4 (--stage 4 --stop-stage 4) first.")
    options = configuration.load(TrainConfig, exp / "config.yaml")
    tokenizer = Tokenizer.load(exp / "tokens")
    path = Path(checkpoint)
    if path.suffix != ".pt":
        path = exp / "checkpoints" / f"{checkpoint}.pt"
        if not path.exists():
            raise StageError(
                f"{path} does not exist: stage 4 has not ended. Run it again, it goes on where it stopped."
            )
    model = Recogniser(options.model, options.modality, tokenizer.size)
    state = load_weights(path)
    fit_to_state(model, state)  # where units have been cut out
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise TrainingError(f"{path} does not fit {exp / 'config.yaml'}: {error}") from None
    return model.eval(), tokenizer, options
