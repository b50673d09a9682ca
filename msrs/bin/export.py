"""msrs-export: a narrower dense model out of a run that masked whole units."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from msrs.command import CommandParser, run_command


def parser() -> CommandParser:
    """The options of msrs-export."""
    options = CommandParser(
        "msrs-export",
        "Cut out the units that a run's mask has emptied: a smaller, faster dense model of the same outputs. Decode with it "
        "by --checkpoint average_narrow.",
        "msrs-export --exp exp/units",
    )
    options.add_argument("--exp", type=Path, required=True, help="experiment folder (stage 4), exp/<tag>")
    options.add_argument(
        "--checkpoint", default="average", help="name of a file in <exp>/checkpoints without .pt, or a path"
    )
    return options


def work(options: argparse.Namespace) -> None:
    """Export."""
    from msrs.train.export import export_narrow

    export_narrow(options.exp, options.checkpoint)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    return run_command(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
