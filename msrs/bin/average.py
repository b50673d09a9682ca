"""msrs-average: the mean of checkpoints by hand; stage 4 makes one of its own, `average`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from msrs.command import CommandParser, run_command


def parser() -> CommandParser:
    """The options of msrs-average."""
    options = CommandParser(
        "msrs-average",
        "Average models of a run: the best, the last, or files of your choice. Try them by msrs-decode --checkpoint.",
        "msrs-average --exp exp/train_video --best 3",
    )
    options.add_argument("--exp", type=Path, help="experiment folder (stage 4), exp/<tag>")
    which = options.add_mutually_exclusive_group(required=True)
    which.add_argument("--best", type=int, metavar="N", help="the best N of the models that the run has kept")
    which.add_argument("--last", type=int, metavar="N", help="the last N of them")
    which.add_argument("--checkpoints", nargs="+", type=Path, metavar="FILE", help="these files; goes with --out")
    options.add_argument(
        "--by", choices=("wer", "loss"), default="wer", help="what the best are best in, on the dev set"
    )
    options.add_argument("--name", help="name of the result in <exp>/checkpoints; left out: best<N> or last<N>")
    options.add_argument("--out", type=Path, help="file to write, with --checkpoints")
    return options


def work(options: argparse.Namespace) -> None:
    """Average."""
    from msrs.errors import ConfigError
    from msrs.train.average import average_experiment, average_files

    if options.checkpoints:
        if not options.out:
            raise ConfigError("--checkpoints needs --out FILE.pt, where the mean is to go.")
        average_files(options.checkpoints, options.out)
        return
    if options.out:
        raise ConfigError(
            "--out goes with --checkpoints; with --exp the mean goes to EXP/checkpoints/NAME.pt (--name)."
        )
    if not options.exp or (options.best or options.last or 0) < 1:
        raise ConfigError("--best N and --last N need --exp FOLDER, and an N of at least 1.")
    name = options.name or (f"best{options.best}" if options.best else f"last{options.last}")
    average_experiment(options.exp, name, options.last, options.best, options.by)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    return run_command(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
