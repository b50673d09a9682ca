"""msrs-decode: the first part of stage 5, from a trained model and a dump to text."""

import argparse
import sys
from collections.abc import Sequence

from msrs.command import CommandParser, run_command


def parser() -> CommandParser:
    """The options of msrs-decode."""
    options = CommandParser("msrs-decode", "Decode a set with a trained model (stage 5). Started again, it goes on.")
    add = options.add_argument
    add("--exp", required=True, help="experiment folder (stage 4), exp/<tag>")
    add("--feats", required=True, help="dump folder of the set (stage 2), dump/feats/<set>")
    add("--config", help="YAML with the options of the search, such as conf/decode.yaml")
    add("--name", default="default", help="the results go to <exp>/decode_<name>/<set>")
    add("--decode-args", nargs="*", default=[], metavar="KEY=VALUE", help='overrides, for example "beam_size=5"')
    add("--checkpoint", default="average", help="name of a file in <exp>/checkpoints without .pt, or a path")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU where there is one")
    add("--batch-size", type=int, help="utterances decoded together; changes the speed, never a result")
    return options


def work(options: argparse.Namespace) -> None:
    """Read the options of the search and decode."""
    from msrs.api import decode_experiment
    from msrs.search.options import load_search

    words = [word for group in options.decode_args for word in group.split()]
    if options.batch_size is not None:
        words.append(f"batch_size={options.batch_size}")
    search = load_search(options.config, words)
    decode_experiment(options.exp, options.feats, options.name, search, options.checkpoint, options.device)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    return run_command(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
