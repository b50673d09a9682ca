"""msrs-validate: check data directories; of several, also that they share no recording and no utterance."""

import argparse
import sys
from collections.abc import Sequence

from msrs.command import CommandParser, run_command
from msrs.data.check import check_datadirs


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry. Returns: the exit code, 1 where there is a fault."""
    parser = CommandParser(
        "msrs-validate",
        "Check data directories (stage 0); of several, also that they share no recording and no utterance.",
        "msrs-validate data/train data/dev data/test",
    )
    parser.add_argument("data", nargs="+", metavar="DATA", help="data directory, for example data/train")
    parser.add_argument("--fix", action="store_true", help="first sort, and drop utterances that are not whole")
    parser.add_argument(
        "--no-media", action="store_true", help="do not look whether media files exist and where they end"
    )
    parser.add_argument("--nj", type=int, default=1, help="processes that open media files, where there are segments")
    return run_command(parser, _validate, argv)


def _validate(options: argparse.Namespace) -> None:
    check_datadirs(options.data, is_fixed=options.fix, with_media=not options.no_media, num_jobs=options.nj)


if __name__ == "__main__":
    sys.exit(main())
