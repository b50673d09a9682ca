"""Checkpoints: whole or absent, the newest whole one is found, loading runs no code from the file."""

import errno
import pickle
import re
import zipfile
import zlib
from pathlib import Path

import torch
from torch import Tensor

from msrs import config as configuration
from msrs.errors import DataError, StageError, TrainingError
from msrs.files import atomic_path
from msrs.log import LOGGER
from msrs.models.recogniser import Recogniser
from msrs.sparse.export import fit_to_state
from msrs.text.tokenizer import Tokenizer
from msrs.train.distributed import ALONE, World
from msrs.train.options import TrainConfig

RESUME = re.compile(r"resume_(\d+)\.pt")
EPOCH = re.compile(r"epoch_(\d+)\.pt")
# What zipfile and torch make of files that are cut off, or have other bytes somewhere.
DAMAGED = (
    *(RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error),
    *(ValueError, TypeError, LookupError, AttributeError),
)


def save(state: dict, path: str | Path) -> None:
    """Write tensors and plain values under a temporary name, then rename.

    Raises: DataError where that fails: a full disk, a quota, a limit of the size of files.
    """
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as handle:
            try:
                torch.save(state, handle)
            except RuntimeError as error:
                # torch's zip writer stumbles once more over a write that has failed: the first error has the reason.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise
    except OSError as error:
        raise DataError(
            f"{path}: could not be written whole ({error.strerror}; is a quota or a limit reached?). What was there before "
            f"is intact: make room and start again."
        ) from error


def load(path: str | Path, is_mapped: bool = False) -> dict:
    """Tensors and plain values of a checkpoint.

    Args: is_mapped, read values when they are looked at, for who wants a part of them.
    Raises: StageError where it is missing; DataError where the disk does not give it; TrainingError where it is damaged or
    holds anything else.
    """
    try:
        # torch, which writes the sums of its zip files, does not look at them.
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if changed := archive.testzip():
                    raise zipfile.BadZipFile(changed)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except FileNotFoundError:
        raise StageError(f"{path} does not exist; run stage 4 (training) first.") from None
    except (OSError, *DAMAGED) as error:
        # Never taken for damage: what a disk or a server refuses now it may give later. Of a file that is cut off near its
        # start, though, torch asks for a place before the beginning, which is no valid argument.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); see to the disk or the permissions, or take another file."
            ) from None
        # What torch says of other files tells to switch off the guard against code in them.
        raise TrainingError(
            f"{path}: not a whole checkpoint (cut off, changed, or a file of another kind); take another file."
        ) from None
    if not isinstance(state, dict):
        raise TrainingError(f"{path}: not a whole checkpoint (a {type(state).__name__}); take another file.")
    return state


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """The model's weights of a checkpoint. Raises: as `load`; TrainingError where it holds none, or values not finite."""
    weights = load(path).get("model")
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise TrainingError(f"{path}: a checkpoint without a model; take average.pt, epoch_N.pt or resume_N.pt.")
    for name, value in weights.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise TrainingError(
                f"{path}: {name} has values that are not finite, for training diverged; take another file."
            )
    return weights


def numbered(folder: Path, pattern: re.Pattern) -> list[tuple[int, Path]]:
    """Files of a folder whose name has a number, by that number."""
    found = ((pattern.fullmatch(path.name), path) for path in folder.glob("*.pt"))
    return sorted((int(match[1]), path) for match, path in found if match)


def newest_resume(folder: Path, world: World = ALONE) -> dict | None:
    """The newest whole resume checkpoint, None where there is none at all.

    A damaged one is passed over with a warning and gets the ending `.damaged`. Of several processes the main one chooses.
    Raises: TrainingError where all are damaged; DataError where one cannot be read; StageError where another process does
    not see the file.
    """
    for place in (folder, folder.parent, folder.parent / "tokens") if world.is_main else ():
        for path in place.glob(".*.tmp.*"):
            path.unlink()  # half written when the run was killed
    name = state = None
    damaged: list[Path] = []
    for _, path in reversed(numbered(folder, RESUME) if world.is_main else []):
        try:
            name, state = path.name, _load_resume(path, world.is_sharded)
            break
        except TrainingError as error:
            LOGGER.warning("passed over: %s", error)
            damaged.append(path)
    if damaged and state is None:
        raise TrainingError(
            f"{folder}: no resume checkpoint is whole ({', '.join(path.name for path in damaged)}), and a new run would "
            f"destroy what is left of this one. Put whole ones there, delete the run's folder ({folder.parent}), or give "
            f"the new run one of its own (--tag of run.sh, --exp of msrs-train)."
        )
    for path in damaged:
        path.replace(path.with_name(f"{path.name}.damaged"))
    name = world.gather(name)[0]
    return state if world.is_main or name is None else load(folder / name, world.is_sharded)


def _load_resume(path: Path, is_mapped: bool) -> dict:
    state = load(path, is_mapped)
    if "fingerprint" not in state:
        raise TrainingError(f"{path}: a file of another kind under the name of a resume checkpoint.")
    return state


def save_resume(state: dict, folder: Path, update: int) -> None:
    """Save where training stands; the one before is kept until this one is whole, older ones go."""
    save(state, folder / f"resume_{update:08d}.pt")
    # By number, not by age: what has a higher number than the newest must not push it out.
    for _, path in [(number, path) for number, path in numbered(folder, RESUME) if number < update][:-1]:
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
        there = sorted(other.stem for other in (exp / "checkpoints").glob("*.pt"))
        if "average" in there:
            raise StageError(f"{path} does not exist; there are {', '.join(there)} (msrs-average makes others).")
        raise StageError(f"{path} does not exist: stage 4 has not ended. Run it again, it goes on where it stopped.")
    model = Recogniser(options.model, options.modality, tokenizer.size)
    state = load_weights(path)
    fit_to_state(model, state)  # where units have been cut out
    own, given = ({name: value.shape for name, value in one.items()} for one in (model.state_dict(), state))
    if others := sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name)):
        raise TrainingError(
            f"{path} does not fit {exp / 'config.yaml'}: {len(others)} parameters are others, first {others[0]}; take a "
            f"checkpoint of this run, or the experiment folder of the one that it is from."
        )
    model.load_state_dict(state)
    return model.eval(), tokenizer, options
