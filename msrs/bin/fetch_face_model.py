"""msrs-fetch-face-model: bring the face model to the cache, or build it from a wheel."""

import argparse
import sys
from collections.abc import Sequence

from msrs.command import CommandParser, run_command
from msrs.faces.face_model import cache_path, fetch_face_model


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry. Returns: the exit code."""
    parser = CommandParser(
        "msrs-fetch-face-model",
        "Bring the face model to the cache, or build it from a wheel; print where it is. Set-up does so by itself.",
        "msrs-fetch-face-model --out face_landmarker.task",
    )
    parser.add_argument("--out", default=str(cache_path()), help="where the bundle goes")
    parser.add_argument("--wheel", help="build from this mediapipe 0.10.21 wheel instead of downloading")
    return run_command(parser, _fetch, argv)


def _fetch(options: argparse.Namespace) -> int:
    print(fetch_face_model(options.out, options.wheel))
    return 0


if __name__ == "__main__":
    sys.exit(main())
