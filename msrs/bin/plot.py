"""msrs-plot: training runs side by side, as pictures."""

import argparse
import sys
from collections.abc import Sequence

from msrs.command import CommandParser, run_command
from msrs.errors import ConfigError
from msrs.log import LOGGER
from msrs.report.compare import PICTURES, draw_comparison
from msrs.report.runs import parse_runs


def main(argv: Sequence[str] | None = None) -> int:
    """The command's door."""
    parser = CommandParser(
        "msrs-plot",
        f"Compare training runs by their metrics.jsonl: {', '.join(f'{name}.png' for name in PICTURES)}, each where a run "
        "has numbers for it. A run may still be going on.",
        "msrs-plot --out exp/compared dense=exp/dense_1,exp/dense_2 msrs=exp/msrs_1,exp/msrs_2",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="[NAME=]FOLDER[,FOLDER...]",
        help="experiment folder of a run, with the name that it gets in the pictures (left out: the folder's own); "
        "several folders behind a name are seeds of one method and are drawn as their median with a band from the least "
        "to the most",
    )
    parser.add_argument(
        "--out", required=True, metavar="FOLDER_OR_PNG", help="folder for the pictures; a name in .png: all in that one"
    )
    return run_command(parser, work, argv)


def work(options: argparse.Namespace) -> None:
    """Draw the pictures and say where they are. Raises: ConfigError where another kind of picture is asked for."""
    if options.out.lower().endswith((".jpg", ".jpeg", ".pdf", ".svg")):
        raise ConfigError(f"--out {options.out}: pictures are PNG; name a file in .png, or a folder.")
    for path in draw_comparison(parse_runs(options.runs), options.out):
        LOGGER.info("written: %s", path)


if __name__ == "__main__":
    sys.exit(main())
