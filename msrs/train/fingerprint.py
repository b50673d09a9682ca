"""What decides what a run computes: kept with each resume checkpoint, so that a run goes on as what it began as."""

from pathlib import Path
from typing import Any

from msrs import config as configuration
from msrs.config import Document
from msrs.data.noise import noise_digest
from msrs.errors import ConfigError
from msrs.files import sha256
from msrs.log import LOGGER
from msrs.stage_mark import content_digest
from msrs.train.options import TrainConfig

DUMP_FILES = ("utt2num_frames", "text")
TOKENIZER_FILES = ("rules.yaml", "spm.model")  # beside tokens.txt: with the same tokens they may spell a text otherwise


def fingerprint_of(options: TrainConfig, train_dir: Path, dev_dir: Path, tokens_dir: Path) -> dict[str, Any]:
    """`options` without what is `Free`, and `data`, a hash of all that the utterances and the tokens come from.

    For pictures and sound the mark of stage 2 stands; a folder that has none, such as a subset, counts by its lists alone.
    """
    dumps = {"training": train_dir, "development": dev_dir}
    files = {f"{kind} set's {name}": folder / name for kind, folder in dumps.items() for name in DUMP_FILES}
    files["tokens.txt"] = tokens_dir / "tokens.txt"
    files |= {f"tokenizer's {name}": tokens_dir / name for name in TOKENIZER_FILES}
    data = {name: sha256(path) for name, path in files.items()}
    for kind, folder in dumps.items():
        if digest := content_digest(folder, "dump", without=("text", "utt2spk")):
            data[f"{kind} set's dump (stage 2)"] = digest
    if options.augment.noise and options.modality != "video":
        data["sound of the noise"] = noise_digest(options.augment.noise, train_dir)
    return {"options": configuration.fixed(options), "data": data}


def changes(before: dict[str, Any] | str, now: dict[str, Any], written: Path) -> list[str]:
    """A word on all in which two fingerprints differ.

    Args: before, of the run; an option that was not known then counts as left at its default, data that only one of them
    knows as the same. written, the run's config.yaml, for runs of versions that kept a hash alone: of these the options
    are compared, the data is not.
    """
    if isinstance(before, str):
        LOGGER.warning("This run was begun by an earlier version: whether its data is still the same cannot be told.")
        before = written_options(written)
    try:
        then = configuration.fixed(configuration.build(TrainConfig, Document(before["options"], {}, str(written))))
    except ConfigError as error:
        return [f"this version does not know its options ({error})"]
    told = configuration.differences(then, now["options"])
    data = before["data"]
    return told + [f"the {name} is another" for name in data if data[name] != now["data"].get(name, data[name])]


def written_options(path: Path) -> dict[str, Any]:
    """The fingerprint of a run of which no more is left than its config.yaml."""
    return {"options": configuration.load_document(path).values, "data": {}}
