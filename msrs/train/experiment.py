"""An experiment folder around a training run: configuration, environment, checks before the first update."""

import contextlib
import filecmp
import json
import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from msrs import config as configuration
from msrs import environment
from msrs.data.dataset import UtteranceDataset
from msrs.data.kaldi_table import write_reasons
from msrs.errors import ConfigError, DataError, TrainingError
from msrs.files import atomic_path, write_text
from msrs.frontends import AUDIO_FRONTENDS
from msrs.log import LOGGER, counted, log_to_file
from msrs.models.recogniser import Recogniser
from msrs.nets.ctc import frames_needed
from msrs.seeding import seed_everything
from msrs.text.tokenizer import Tokenizer
from msrs.train.checkpoint import EPOCH, newest_resume, numbered
from msrs.train.distributed import ALONE, World
from msrs.train.fingerprint import changes, fingerprint_of, written_options
from msrs.train.initialise import initialise, read_source
from msrs.train.kept import KeptModels
from msrs.train.lock import locked
from msrs.train.options import TrainConfig
from msrs.train.record import recorded_origin, write_record
from msrs.train.reporters import check_wandb, reporting
from msrs.train.sharding import check_shardable, shard
from msrs.train.trainer import Trainer

SHOWN_CHANGES = 4
SHOWN_LEFT_OUT = 3


def train(
    options: TrainConfig,
    train_dir: Path,
    dev_dir: Path,
    tokens_dir: Path,
    exp: Path,
    device: str,
    command: Sequence[str],
    world: World = ALONE,
    init: Sequence[str | Path] = (),
) -> None:
    """Train a recogniser in `exp`, or go on with the run that was stopped there.

    Of several processes each calls this; the main one alone writes.
    Args: init, experiments or checkpoints whose weights a new run begins with, with a new optimiser and schedule.
    Raises: StageError, DataError, ConfigError before the first update; TrainingError later.
    """
    check_masks(options)
    check_wandb(options.train.wandb)
    check_shardable(options, world)
    tokenizer = Tokenizer.load(tokens_dir)
    cache_bytes = options.train.cache_megabytes << 20
    arguments = (tokenizer.encode, options.modality, options.augment, options.seed, cache_bytes)
    train_set, dev_set = UtteranceDataset(train_dir, *arguments), UtteranceDataset(dev_dir, *arguments)
    check_sets(train_set, dev_set)
    left_out = keep_trainable(train_set, tokenizer)
    seed_everything(options.seed)
    # A model that is to be sharded may be too large for a device as a whole.
    model = Recogniser(options.model, options.modality, tokenizer.size).to("cpu" if world.is_sharded else device)
    fingerprint = fingerprint_of(options, train_dir, dev_dir, tokens_dir)
    with contextlib.ExitStack() as stack:
        if world.is_main:
            stack.enter_context(locked(exp))
            stack.enter_context(log_to_file(exp / "train.log"))
        state = newest_resume(exp / "checkpoints", world)
        if state is None and world.gather(world.is_main and has_ended(exp, fingerprint, options.train.average))[0]:
            LOGGER.info("%s has been trained to its end; passed over", exp)
            return
        origin = begin(model, state, fingerprint, init, tokenizer, exp)
        if world.is_sharded:
            shard(model, device, world)
        trainer = Trainer(options, model, train_set, dev_set, tokenizer.decode, exp / "checkpoints", fingerprint, world)
        trainer.place.origin = origin
        trainer.resume(state)
        del state  # which may be larger than what a process has kept of it
        is_over = trainer.place.epoch >= options.train.max_epochs
        if is_over and world.gather(world.is_main and trainer.kept.has_average())[0]:
            LOGGER.info("%s has been trained to its end; passed over", exp)
            return
        if train_set.training_noise is None and options.augment.noise:
            LOGGER.info("augment.noise has nothing to do: the model takes in no sound")
        if not world.is_main:
            trainer.run()
            return
        describe(options, exp, command, left_out)
        write_record(exp, train_set, dev_set, trainer.place.origin)
        keep_tokens(tokens_dir, exp / "tokens")
        trainer.describe()
        with reporting(exp, trainer.place.update, options.train.wandb) as trainer.reporters:
            trainer.run()


def begin(
    model: Recogniser,
    state: dict | None,
    fingerprint: dict[str, Any],
    init: Sequence[str | Path],
    tokenizer: Tokenizer,
    exp: Path,
) -> list[str]:
    """Say whether the run is resumed, begins from other weights or from scratch; put these weights into the model.

    A run that was stopped before its first checkpoint begins from the same weights again where none are named.
    Args: state, of the run that was stopped, if there was one. Returns: the files that the run's weights come from.
    Raises: TrainingError where the data, the tokens, the model or the weights to begin from are not those of that run.
    """
    names = [os.path.normpath(path) for path in init]
    if state is not None:
        refuse_changes(exp, state["fingerprint"], fingerprint)
        place = state["place"]
        if names and list(map(os.path.abspath, names)) != list(map(os.path.abspath, place["origin"])):
            raise TrainingError(
                f"--init {' '.join(names)}: the run in this folder began {_from(place['origin'])} and goes on from where "
                f"it is. A run from other weights needs its own name (--tag)."
            )
        LOGGER.info("resumed after update %d (epoch %d)", place["update"], place["epoch"] + 1)
    else:
        if not names and (names := recorded_origin(exp)):
            LOGGER.warning(
                "The run in this folder began %s and has no checkpoint yet: it begins so once more. If it is not to: "
                "--from-scratch.", _from(names),
            )  # fmt: skip
        LOGGER.info("a new run %s, with a new optimiser and schedule", _from(names))
        if names:
            initialise(model, [read_source(path) for path in names], tokenizer.units)
    return names


def has_ended(exp: Path, fingerprint: dict[str, Any], average: int) -> bool:
    """Whether a run without resume checkpoints has left its model; without any it has yet to begin.

    A damaged one is made anew from the models that the run has kept. Args: average, how many it keeps.
    Raises: TrainingError where a new run would destroy models, or the one that has ended was another.
    """
    checkpoints = exp / "checkpoints"
    has_model = (checkpoints / "average.pt").exists()
    if has_model and (exp / "config.yaml").exists():
        refuse_changes(exp, written_options(exp / "config.yaml"), fingerprint)
        kept = KeptModels(checkpoints, average)
        if not kept.has_average():
            kept.average()
        return True
    # The model of the first epoch is kept before the first resume checkpoint is written: a kill between them costs no more.
    found = [path.name for epoch, path in numbered(checkpoints, EPOCH) if epoch > 1] + ["average.pt"] * has_model
    if found:
        raise TrainingError(
            f"{checkpoints}: models of a run ({', '.join(found)}) without a resume checkpoint to go on from; a new run would "
            f"destroy them. Put its newest resume_N.pt back, give the new run a folder of its own (--tag of run.sh, --exp "
            f"of msrs-train), or begin anew here by --from-scratch, which sets this one aside."
        )
    return False


def refuse_changes(exp: Path, before: dict[str, Any] | str, fingerprint: dict[str, Any]) -> None:
    """Raises: TrainingError where a run is not the one that was begun in its folder."""
    if told := changes(before, fingerprint, exp / "config.yaml"):
        shown = told if len(told) <= SHOWN_CHANGES else [*told[:SHOWN_CHANGES], f"{len(told) - SHOWN_CHANGES} more"]
        raise TrainingError(
            f"{exp}: the run in this folder was begun with other data or options: {'; '.join(shown)}. Give the new run "
            f"a folder of its own (--tag of run.sh, --exp of msrs-train), or begin anew here by --from-scratch, which sets "
            f"this one aside."
        )


def _from(names: Sequence[str]) -> str:
    return f"from the weights of {' and '.join(names)}" if names else "from scratch"


def describe(options: TrainConfig, exp: Path, command: Sequence[str], left_out: dict[str, str]) -> None:
    """Write what the run is made of: the complete configuration, the command, versions and devices, and what is left out."""
    write_text(exp / "config.yaml", configuration.to_yaml(options))
    write_text(exp / "command.sh", f"#!/bin/sh\n{shlex.join(command)}\n")
    write_text(exp / "environment.json", json.dumps(environment.describe(), indent=1) + "\n")
    LOGGER.info("seed %d, devices: %s", options.seed, ", ".join(environment.devices()))
    tell_left_out(exp, left_out)


def check_masks(options: TrainConfig) -> None:
    """Raises: ConfigError where spectra are to be masked and the front-end makes none."""
    name = options.model.audio_frontend.type
    if options.augment.spec_augment and options.modality != "video" and not AUDIO_FRONTENDS[name].takes_masks:
        able = ", ".join(other for other in AUDIO_FRONTENDS if AUDIO_FRONTENDS[other].takes_masks)
        raise ConfigError(
            f"augment.spec_augment masks log-mel energies, and model.audio_frontend.type {name} has none; take one of "
            f"{able}, or leave it out (audio_mask_seconds masks any front-end's sound in time)."
        )


def check_sets(train_set: UtteranceDataset, dev_set: UtteranceDataset) -> None:
    """Raises: DataError where a set is empty, an utterance is in both, or there is no word to develop on."""
    for dataset in (train_set, dev_set):
        if not len(dataset):
            raise DataError(f"{dataset.folder}: no utterance is left; look into its skipped.tsv.")
    shared = sorted(set(train_set.utt_ids) & set(dev_set.utt_ids))
    if shared:
        raise DataError(
            f"{train_set.folder} and {dev_set.folder} share {len(shared)} utterances, for example {shared[0]}: a "
            f"development set must not be trained on."
        )
    if not any(dev_set.texts[utt_id].strip() for utt_id in dev_set.utt_ids):
        raise DataError(
            f"{dev_set.folder}/text: no utterance has a transcript, so every model would seem to be free of errors. Put the "
            f"transcripts into the set's text and rerun stage 2."
        )


def keep_trainable(train_set: UtteranceDataset, tokenizer: Tokenizer) -> dict[str, str]:
    """Leave out training utterances without text or with fewer frames than CTC needs. Returns: utterance -> why.

    Raises: DataError where none is left.
    """
    kept, left_out = [], {}
    for index, utt_id in enumerate(train_set.utt_ids):
        tokens = torch.tensor([tokenizer.encode(train_set.texts[utt_id])], dtype=torch.int64)
        length = torch.tensor([tokens.shape[1]])
        if not int(length):
            left_out[utt_id] = "an empty transcript"
        elif int(frames_needed(tokens, length)) > train_set.num_frames[index]:
            left_out[utt_id] = "fewer frames than tokens"
        else:
            kept.append(index)
    if not kept:
        raise DataError(f"{train_set.folder}: no utterance has both a transcript and enough frames for it.")
    train_set.keep(kept)
    return left_out


def tell_left_out(exp: Path, left_out: dict[str, str]) -> None:
    """List the training utterances that are left out in `skipped.tsv`, and say how many."""
    write_reasons(exp / "skipped.tsv", left_out)
    for reason in sorted(set(left_out.values())):
        names = [utt_id for utt_id in left_out if left_out[utt_id] == reason]
        shown = ", ".join(names[:SHOWN_LEFT_OUT] + ["..."] * (len(names) > SHOWN_LEFT_OUT))
        LOGGER.warning(
            "%s left out for %s: %s; %s lists all",
            *(counted(len(names), "training utterance"), reason, shown, exp / "skipped.tsv"),
        )


def keep_tokens(source: Path, target: Path) -> None:
    """Copy the tokenizer into the experiment, so that it can be used and packed alone."""
    for path in source.iterdir():
        copy = target / path.name
        if path.name.startswith(".") or not path.is_file() or copy.is_file() and filecmp.cmp(path, copy, shallow=False):
            continue
        with atomic_path(copy) as temporary:
            shutil.copyfile(path, temporary)
