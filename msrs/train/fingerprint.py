"""What decides what a run computes: kept with each resume checkpoint, so that a run goes on as what it began as."""

from pathlib import Path
from typing import Any

from msrs import config as configuration
from msrs.config import Document
from msrs.data.noise import noise_digest
from msrs.errors import ConfigError
from msrs.files import sha256
from msrs.log import LOGGER
from msrs.train.options import TrainConfig

DUMP_FILES = ("utt2num_frames", "text")


def fingerprint_of(options: TrainConfig, train_dir: Path, dev_dir: Path, tokens_dir: Path) -> dict[str, Any]:
    """`options` without what is `Free`, and `data`, a hash of each list that the utterances and the tokens come from."""
    files = {f"{kind} set's {name}": folder / name for kind, folder in (("training", train_dir), ("development", dev_dir))
             for name in DUMP_FILES}  # fmt: skip
    files["tokens.txt"] = tokens_dir / "tokens.txt"
    data = {name: sha256(path) for name, path in files.items()}
    if options.augment.noise and options.modality != "video":
        data["sound of the noise"] = noise_digest(options.augment.noise, train_dir)
    return {"options": configuration.fixed(options), "data": data}


def changes(before: dict[str, Any] | str, now: dict[str, Any], written: Path) -> list[str]:
    """A word on all in which two fingerprints differ.

    Args: before, of the run; an option that was not known then counts as left at its default. written, the run's
    config.yaml, for runs of versions that kept a hash alone: of these the options are compared, the data is not.
    """
    if isinstance(before, str):
        LOGGER.warning("This run was begun by an earlier version: whether its data is still the same cannot be told.")
        before = {"options": configuration.load_document(written).values, "data": now["data"]}
    try:
        then = configuration.fixed(configuration.build(TrainConfig, Document(before["options"], {}, str(written))))
    except ConfigError as error:
        return [f"this version does not know its options ({error})"]
    told = configuration.differences(then, now["options"])
    names = dict.fromkeys([*before["data"], *now["data"]])
    return told + [f"the {name} is another" for name in names if before["data"].get(name) != now["data"].get(name)]
