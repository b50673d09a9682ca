#!/usr/bin/env python3
"""Draw README.md's picture from a recipe that has been run: frames, mouth crops, and what was read from them.

cd egs/mini && ./run.sh --modality video && ../../tools/draw_picture.py --exp exp/train_video --out ../../tools/picture.jpg
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from msrs.command import CommandParser, run_command
from msrs.data.datadir import read_datadir
from msrs.data.media import read_video
from msrs.text.transcripts import read_transcripts

NUM_FRAMES = 9
FRAME_PX, CROP_PX, GAP_PX, TEXT_PX = 112, 112, 4, 22


def strip(path: str | Path, side: int) -> Image.Image:
    """Evenly spaced frames of a film side by side, each `side` pixels wide and high."""
    frames = list(read_video(path, pixel="rgb"))
    chosen = np.linspace(0.12, 0.88, NUM_FRAMES) * (len(frames) - 1)
    row = Image.new("RGB", (NUM_FRAMES * (side + GAP_PX) - GAP_PX, side), "white")
    for place, index in enumerate(chosen.round().astype(int)):
        row.paste(
            Image.fromarray(frames[index]).resize((side, side), Image.Resampling.LANCZOS), (place * (side + GAP_PX), 0)
        )
    return row


def draw(utt_ids: Sequence[str], name: str, exp: Path, out: Path) -> None:
    """One block an utterance: frames, crops, reference and hypothesis."""
    data = read_datadir(Path("data") / name)
    crops = read_transcripts(Path("dump/crop") / name / "crop.scp")
    hypotheses = read_transcripts(next(exp.glob(f"decode_*/{name}/text")))
    font = ImageFont.load_default(15)
    rows: list[Image.Image | str] = []
    for utt_id in utt_ids:
        rows += [strip(data.video[utt_id], FRAME_PX), strip(crops[utt_id], CROP_PX)]
        rows.append(f"said: {data.text[utt_id].lower()}        read from the lips: {hypotheses[utt_id].lower()}")
    heights = [TEXT_PX + 8 if isinstance(row, str) else row.height + GAP_PX for row in rows]
    picture = Image.new("RGB", (rows[0].width, sum(heights)), "white")
    pen, top = ImageDraw.Draw(picture), 0
    for row, height in zip(rows, heights, strict=True):
        if isinstance(row, str):
            pen.text((2, top + 2), row, fill="black", font=font)
        else:
            picture.paste(row, (0, top))
        top += height
    picture.save(out, quality=88)


def work(options: argparse.Namespace) -> None:
    """Choose utterances and draw them."""
    utt_ids = options.utterances or sorted(read_datadir(Path("data") / options.set).text)[:2]
    draw(utt_ids, options.set, options.exp, options.out)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    parser = CommandParser("tools/draw_picture.py", "Draw README.md's picture; called in a recipe's folder.")
    parser.add_argument("--exp", type=Path, required=True, help="decoded experiment, exp/<tag>")
    parser.add_argument("--set", default="heldout", help="set that the utterances are from")
    parser.add_argument("--utterances", nargs="*", help="utterance ids; left out: the first two")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    return run_command(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
