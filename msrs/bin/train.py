"""msrs-train: train a recogniser from scratch, or go on with a run that was stopped."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from msrs.command import CommandParser, run_command


def parser() -> CommandParser:
    """The options of msrs-train."""
    options = CommandParser("msrs-train", "Train a recogniser (stage 4). Started again, it goes on where it stopped.")
    options.add_argument("--config", required=True, help="YAML of the run, such as conf/train.yaml")
    options.add_argument("--train", required=True, type=Path, help="dump folder of the training set (stage 2)")
    options.add_argument("--dev", required=True, type=Path, help="dump folder of the development set (stage 2)")
    options.add_argument("--tokens", required=True, type=Path, help="tokenizer folder (stage 3)")
    options.add_argument("--exp", required=True, type=Path, help="experiment folder to write, exp/<tag>")
    options.add_argument("--modality", choices=("video", "audio", "audiovisual"), help="overrides the configuration's")
    options.add_argument("--seed", type=int, help="overrides the configuration's")
    options.add_argument("--ngpu", type=int, choices=(0, 1), help="GPUs to train on; left out: one where there is one")
    options.add_argument(
        "--train-args", nargs="*", default=[], metavar="KEY=VALUE", help='overrides, for example "optim.lr=3e-4"'
    )
    return options


def work(options: argparse.Namespace) -> None:
    """Load the configuration and train."""
    import torch

    from msrs import config
    from msrs.errors import ConfigError
    from msrs.report.curves import draw_curves
    from msrs.train.experiment import train
    from msrs.train.options import TrainConfig

    words = [word for group in options.train_args for word in group.split()]
    words += [f"{key}={value}" for key in ("modality", "seed") if (value := getattr(options, key)) is not None]
    if options.ngpu and not torch.cuda.is_available():
        raise ConfigError("--ngpu 1 was given, but torch finds no GPU; leave it out, or install a CUDA build of torch.")
    use_gpu = torch.cuda.is_available() if options.ngpu is None else bool(options.ngpu)
    device = "cuda" if use_gpu else "cpu"
    settings = config.load(TrainConfig, options.config, words)
    try:
        train(settings, options.train, options.dev, options.tokens, options.exp, device, [sys.executable, *sys.argv])
    finally:
        if (options.exp / "metrics.jsonl").exists():
            draw_curves(options.exp / "metrics.jsonl", options.exp / "curves.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    return run_command(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
