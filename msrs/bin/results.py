"""msrs-results, the end of stage 5: RESULTS.md from every scored set."""

import argparse
import sys
from collections.abc import Sequence

from msrs.command import CommandParser, run_command
from msrs.files import write_text
from msrs.log import LOGGER
from msrs.report.results import fill_page, find_results, format_results, format_tables


def main(argv: Sequence[str] | None = None) -> int:
    """The command's door."""
    parser = CommandParser(
        "msrs-results",
        "Gather every scored set below exp into RESULTS.md and print the tables (the end of stage 5).",
        "msrs-results --exp exp --page README.md",
    )
    parser.add_argument("--exp", default="exp", metavar="FOLDER", help="folder of the experiments")
    parser.add_argument("--out", default="RESULTS.md", metavar="FILE", help="the page to write")
    parser.add_argument("--page", metavar="FILE", help="a page of your own whose table of word errors is to be renewed")
    return run_command(parser, work, argv)


def work(options: argparse.Namespace) -> int:
    """Write RESULTS.md, print its tables, renew the table of another page. Returns: 1 where a result is damaged."""
    rows, faults = find_results(options.exp)
    write_text(options.out, format_results(rows))
    print(format_tables(rows))
    if options.page:
        fill_page(rows, options.page)
    for fault in faults:
        LOGGER.error("left out: %s", fault)
    LOGGER.info("written: %s", options.out)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
