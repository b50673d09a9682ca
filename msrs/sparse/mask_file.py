"""A mask on disk: what a run found, for the runs that are to be compared with it."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from msrs.errors import ConfigError
from msrs.files import atomic_path

ENDED = "whose mask phase has ended"


def save_masks(masks: dict[str, Tensor], path: str | Path) -> None:
    """Write name -> bool tensor as an `.npz` of packed bits with the shapes beside them."""
    arrays: dict[str, np.ndarray] = {}
    for name, mask in masks.items():
        arrays[f"bits/{name}"] = np.packbits(mask.detach().cpu().numpy())
        arrays[f"shape/{name}"] = np.array(mask.shape, dtype=np.int64)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def load_masks(path: str | Path) -> dict[str, Tensor]:
    """Name -> bool tensor. Raises: ConfigError where the file is missing or something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            shapes = {key[len("shape/") :]: tuple(file[key]) for key in file.files if key.startswith("shape/")}
            masks = {
                name: np.unpackbits(file[f"bits/{name}"], count=int(np.prod(shape))).reshape(shape).astype(bool)
                for name, shape in shapes.items()
            }
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        # What numpy says of other files is no help: it advises to unpickle them.
        why = (
            f"cannot be read ({error.strerror})" if isinstance(error, OSError) and error.strerror else "is no mask file"
        )
        raise ConfigError(
            f"sparse.masks: {path} {why}; name the file masks.npz in the folder of a run {ENDED}."
        ) from None
    if not masks:
        raise ConfigError(
            f"sparse.masks: {path} holds no mask; name the file masks.npz in the folder of a run {ENDED}."
        )
    return {name: torch.from_numpy(mask) for name, mask in masks.items()}
