#!/usr/bin/env python3
"""Stage 0 of the embedded recipe: make the synthetic talking heads and their data directories."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from msrs.command import CommandParser, run_command
from msrs.synth.corpus import make_corpus
from msrs.synth.plan import CorpusOptions

SIZES = {
    "default": CorpusOptions(),
    "tiny": CorpusOptions(sizes={"train": 24, "dev": 6, "test": 6, "heldout": 6}, min_digits=2, max_digits=3),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, make the corpus, return the exit code."""
    parser = CommandParser("local/data.py", __doc__)
    parser.add_argument("--out", type=Path, default=Path("data"), help="folder of the sets; clips go to synth/ in it")
    parser.add_argument("--nj", type=_positive, default=1, help="processes")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other sentences and movements")
    parser.add_argument("--size", choices=SIZES, default="default", help="tiny is for a quick look and for tests")
    for name, number in SIZES["default"].sizes.items():
        parser.add_argument(f"--num-{name}", type=_positive, help=f"clips of {name} ({number} in the default size)")
    parser.add_argument("--min-digits", type=_positive, help="shortest sentence (3 in the default size)")
    parser.add_argument("--max-digits", type=_positive, help="longest sentence (5 in the default size)")
    return run_command(parser, _work, argv)


def _work(options: argparse.Namespace) -> None:
    base = SIZES[options.size]
    sizes = {name: getattr(options, f"num_{name}") or number for name, number in base.sizes.items()}
    shortest, longest = options.min_digits or base.min_digits, options.max_digits or base.max_digits
    make_corpus(options.out, CorpusOptions(options.seed, sizes, shortest, longest), options.nj)


def _positive(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not a positive number")
    return number


if __name__ == "__main__":
    sys.exit(main())
