"""msrs-crop: find the face in every recording of a data directory and cut the mouth out, aligned, 96x96, 25 fps."""

import argparse
import sys
from collections.abc import Sequence

from msrs.command import CommandParser, run_command
from msrs.config import Document, build
from msrs.errors import ConfigError
from msrs.faces.crop import CropOptions
from msrs.faces.crop_set import crop_set
from msrs.faces.detectors import DETECTORS


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry. Returns: the exit code."""
    parser = CommandParser(
        "msrs-crop",
        "Find the face in every recording of a data directory and cut the mouth out, aligned, 25 frames a second (stage 1).",
        "msrs-crop --data data/train --out dump/crop/train --nj 2 --max-faces 1",
    )
    parser.add_argument("--data", required=True, help="data directory with video.scp")
    parser.add_argument("--out", required=True, help="folder for the crops, usually dump/crop/<set>")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    parser.add_argument("--detector", choices=list(DETECTORS), help="left out: mediapipe; precomputed with --landmarks")
    parser.add_argument("--landmarks", help="folder of ready landmarks, <recording>.npz; see msrs/faces/landmarks.py")
    parser.add_argument("--face-model", help="MediaPipe bundle; left out: $MSRS_FACE_TASK, the cache, or fetched")
    parser.add_argument("--trust-face-model", action="store_true", help="take a bundle with an unknown checksum")
    parser.add_argument("--max-faces", type=int, help="faces looked for in a frame; left out: 3")
    parser.add_argument("--size", type=int, default=96, help="side of the patch in pixels")
    parser.add_argument("--crf", type=int, default=18, help="quality of the coding; lower is better and larger")
    parser.add_argument("--min-face-share", type=float, default=0.5, help="put aside where fewer frames show a face")
    parser.add_argument("--min-frames", type=int, default=5, help="put aside what is shorter")
    parser.add_argument("--min-face-px", type=float, default=32, help="put aside smaller faces, brow to chin in pixels")
    parser.add_argument("--max-skipped", type=float, default=0.05, help="share of the set that may be put aside")
    return run_command(parser, _crop, argv)


def _crop(options: argparse.Namespace) -> None:
    crop_set(options.data, options.out, _crop_options(options), options.nj, options.max_skipped)


def _crop_options(options: argparse.Namespace) -> CropOptions:
    detector = {"type": options.detector or ("precomputed" if options.landmarks else "mediapipe")}
    own = {"mediapipe": ("face_model", "trust_face_model", "max_faces"), "precomputed": ("landmarks",)}
    given = {name: getattr(options, name) for names in own.values() for name in names if getattr(options, name)}
    for name, value in given.items():
        if name not in own[detector["type"]]:
            raise ConfigError(f"--{name.replace('_', '-')} has no meaning for --detector {detector['type']}.")
        detector[name] = value
    if detector["type"] == "precomputed" and not options.landmarks:
        raise ConfigError("--detector precomputed needs --landmarks DIR.")
    plain = {name: getattr(options, name) for name in ("crf", "min_face_share", "min_frames", "min_face_px")}
    values = {"detector": detector, "geometry": {"size": options.size}} | plain
    return build(CropOptions, Document(values, {}, "msrs-crop"))


if __name__ == "__main__":
    sys.exit(main())
