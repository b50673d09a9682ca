"""msrs-dump: put the mouth crops and the sound of a set into archives, one entry an utterance, cut by segments."""

import argparse
import sys
from collections.abc import Sequence

from msrs.command import CommandParser, run_command
from msrs.data.dump import DumpOptions, dump_set


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry. Returns: the exit code."""
    parser = CommandParser(
        "msrs-dump",
        "Put the mouth crops and the sound of a set into archives, one entry an utterance, cut by segments (stage 2).",
        "msrs-dump --data data/train --crop dump/crop/train --out dump/feats_video/train --modality video",
    )
    parser.add_argument("--data", required=True, help="data directory")
    parser.add_argument("--crop", help="folder of the set's crops (stage 1); not needed for --modality audio")
    parser.add_argument("--out", required=True, help="folder for the dump, usually dump/feats/<set>")
    parser.add_argument(
        "--modality", choices=["video", "audio", "audiovisual"], default="audiovisual", help="streams to take"
    )
    parser.add_argument("--video-format", choices=["encoded", "raw"], default="encoded", help="mp4 bytes or pixels")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    parser.add_argument("--max-skipped", type=float, default=0.05, help="share of the set that may be put aside")
    return run_command(parser, _dump, argv)


def _dump(options: argparse.Namespace) -> None:
    what = DumpOptions(options.modality, options.video_format)
    dump_set(options.data, options.crop, options.out, what, options.nj, options.max_skipped)


if __name__ == "__main__":
    sys.exit(main())
