"""msrs-train: train a recogniser from scratch, or go on with a run that was stopped."""

import argparse
import functools
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from msrs.command import CommandParser, run_command
from msrs.log import LOGGER

FROM_SCRATCH = "--from-scratch"
TRAIN_ARGS = "settings laid over the configuration: \"optim.lr=3e-4 augment.noise.folder='/my noise'\""
SLURM_ARGS = "settings of that job: \"partition=gpu time=2880 comment='my run'\""


def parser() -> CommandParser:
    """The options of msrs-train."""
    options = CommandParser(
        "msrs-train",
        "Train a recogniser (stage 4). Started again, it goes on where it stopped.",
        "msrs-train --config conf/train.yaml --train dump/feats/train --dev dump/feats/dev --tokens data/tokens_word "
        "--exp exp/train_audiovisual",
    )
    options.add_argument("--config", required=True, help="YAML of the run, such as conf/train.yaml")
    options.add_argument("--train", required=True, type=Path, help="dump folder of the training set (stage 2)")
    options.add_argument("--dev", required=True, type=Path, help="dump folder of the development set (stage 2)")
    options.add_argument("--tokens", required=True, type=Path, help="tokenizer folder (stage 3)")
    options.add_argument("--exp", required=True, type=Path, help="experiment folder to write, exp/<tag>")
    options.add_argument("--modality", choices=("video", "audio", "audiovisual"), help="overrides the configuration's")
    options.add_argument("--seed", type=int, help="overrides the configuration's")
    options.add_argument("--train-args", nargs="*", default=[], metavar="KEY=VALUE", help=TRAIN_ARGS)
    beginning = options.add_mutually_exclusive_group()
    beginning.add_argument(
        FROM_SCRATCH,
        action="store_true",
        help="begin anew where a run has begun already, which is set aside as EXP.old1; left out: go on with it",
    )
    beginning.add_argument(
        "--init",
        nargs="+",
        default=[],
        metavar="EXP",
        help="begin a new run with the weights of another (its folder, or a checkpoint); of two, for both streams",
    )
    where = options.add_argument_group("where it runs", "The number of processes changes the speed, not the result.")
    where.add_argument("--ngpu", type=int, help="GPUs of a machine, a process each; left out: all that are there")
    where.add_argument("--processes", type=int, help="processes of a machine without GPUs; left out: one")
    where.add_argument(
        "--shard",
        action="store_true",
        help="share weights, gradients and moments out among the processes, for a model that does not fit one GPU",
    )
    where.add_argument("--num-nodes", type=int, default=1, help="machines; the command is to be given on each of them")
    where.add_argument("--rendezvous", metavar="HOST:PORT", help="where machines find each other: one of them")
    where.add_argument("--cmd", choices=("local", "slurm"), default="local", help="here, or as a job of Slurm")
    where.add_argument("--slurm-args", nargs="*", default=[], metavar="KEY=VALUE", help=SLURM_ARGS)
    return options


def work(options: argparse.Namespace, words: Sequence[str]) -> None:
    """Train in this process, or start those that will."""
    from msrs.errors import ConfigError
    from msrs.train.distributed import is_worker

    for name, least in (("ngpu", 0), ("processes", 1), ("num_nodes", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: expected {least} or more.")
    if options.ngpu and options.processes:
        raise ConfigError("--processes is for machines without GPUs (--ngpu 0); with GPUs there is one process a GPU.")
    if options.from_scratch:
        begin_anew(options)
        # Not for who starts it again: processes, a job that was put into the queue once more.
        words = [word for word in words if word != FROM_SCRATCH]
    if options.cmd == "slurm":
        from msrs.config import split_words
        from msrs.train.slurm import submit

        loop = load_settings(options).train  # what is wrong there is told now, and not when the job's turn has come
        ngpu = (0 if options.processes else 1) if options.ngpu is None else options.ngpu
        num_tasks = options.processes or max(1, ngpu)
        slurm_args = split_words("--slurm-args", options.slurm_args)
        submit(words, options.exp, num_tasks, ngpu, options.num_nodes, slurm_args, "slurm", 1 + loop.num_workers)
        return
    ngpu = gpus_of(options)
    num_processes = ngpu or options.processes or 1
    if options.shard and num_processes * options.num_nodes == 1 and not is_worker():
        raise ConfigError(
            "--shard shares the model out among several processes, and there is one: give --ngpu (or --processes on CPUs) 2 "
            "or more, or leave --shard out; encoder.checkpoint=true saves memory on one GPU too."
        )
    if num_processes * options.num_nodes > 1 and not is_worker():
        from msrs.train.launch import launch

        launch(words, num_processes, options.num_nodes, options.rendezvous)
        return
    train_here(options, ngpu > 0)


def begin_anew(options: argparse.Namespace) -> None:
    """Set aside the run that is in the folder, once the configuration is known to be a right one.

    Raises: ConfigError where others would do so at the same time.
    """
    from msrs.errors import ConfigError
    from msrs.train.distributed import is_worker
    from msrs.train.set_aside import set_aside

    if is_worker() or (options.num_nodes > 1 and options.cmd == "local"):
        raise ConfigError(
            f"{FROM_SCRATCH} is for a command that is given once; this one is given in several places. Rename "
            f"{options.exp} by hand, and leave {FROM_SCRATCH} out."
        )
    load_settings(options)
    set_aside(options.exp)


def gpus_of(options: argparse.Namespace) -> int:
    """GPUs to use on this machine. Raises: ConfigError where there are fewer than asked for."""
    import torch

    from msrs.errors import ConfigError

    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    wanted = (0 if options.processes else present) if options.ngpu is None else options.ngpu
    if wanted > present:
        raise ConfigError(
            f"--ngpu {wanted} was given, but torch finds {present or 'no'} GPU; ask for fewer, or install a CUDA build of "
            f"torch."
        )
    if wanted and local_rank >= present:
        raise ConfigError(f"This is process {local_rank} of a machine with {present} GPUs; start one process a GPU.")
    return wanted


def train_here(options: argparse.Namespace, use_gpu: bool) -> None:
    """Load the configuration and train, alone or as one of several processes."""
    from msrs.memory import keep_freed_memory
    from msrs.train.distributed import joined_world
    from msrs.train.experiment import train

    if not use_gpu:
        keep_freed_memory()
    settings = load_settings(options)
    with joined_world(use_gpu, options.shard) as (world, device):
        folders = (options.train, options.dev, options.tokens, options.exp)
        try:
            train(settings, *folders, device, [sys.executable, *sys.argv], world, options.init)
        except BaseException:
            if world.is_main:
                try:
                    draw(options.exp)
                except Exception as error:  # what has ended the run is to be told, and the picture is not that
                    LOGGER.warning("no picture of the run so far: %s", error)
            raise
        if world.is_main:
            draw(options.exp)


def load_settings(options: argparse.Namespace):
    """The run's complete configuration. Raises: ConfigError."""
    from msrs import config
    from msrs.train.options import TrainConfig

    words = config.split_words("--train-args", options.train_args)
    words += [f"{key}={value}" for key in ("modality", "seed") if (value := getattr(options, key)) is not None]
    return config.load(TrainConfig, options.config, words)


def draw(exp: Path) -> None:
    """Draw curves.png of what the run has come to, if anything."""
    from msrs.report.curves import draw_curves

    if (exp / "metrics.jsonl").exists():
        draw_curves(exp / "metrics.jsonl", exp / "curves.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    if int(os.environ.get("RANK", "0")):  # one of several processes: the first one tells what all do
        LOGGER.addFilter(lambda record: record.levelno >= logging.ERROR)
    return run_command(parser(), functools.partial(work, words=sys.argv[1:] if argv is None else list(argv)), argv)


if __name__ == "__main__":
    sys.exit(main())
