"""msrs-results, the end of stage 5: RESULTS.md from every scored set."""

import argparse
import sys
from collections.abc import Sequence

from msrs.command import CommandParser, run_command
from msrs.log import LOGGER
from msrs.report.results import fill_page, write_results


def main(argv: Sequence[str] | None = None) -> int:
    """The command's door."""
    parser = CommandParser("msrs-results", "Gather every scored set below exp into RESULTS.md and print the tables.")
    parser.add_argument("--exp", default="exp", metavar="FOLDER", help="folder of the experiments")
    parser.add_argument("--out", default="RESULTS.md", metavar="FILE", help="the page to write")
    parser.add_argument("--page", metavar="FILE", help="a page of your own whose table of word errors is to be renewed")
    return run_command(parser, work, argv)


def work(options: argparse.Namespace) -> None:
    """Write RESULTS.md, print its tables, renew the table of another page."""
    print(write_results(options.exp, options.out))
    if options.page:
        fill_page(options.exp, options.page)
    LOGGER.info("written: %s", options.out)


if __name__ == "__main__":
    sys.exit(main())
