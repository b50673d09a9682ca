#!/usr/bin/env python3
"""Speed of encoding and beam search on random clips with random weights, which end no sentence early: the worst case.

tools/bench/decode.py --full --device cuda --batch 16 --frames 150
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from side import Side
from train import FULL, SMALL, TINY

from msrs.command import CommandParser, run_command
from msrs.search.beam import BeamSearch
from msrs.search.options import SearchConfig


@torch.no_grad()
def measure(options: argparse.Namespace) -> list[dict[str, float]]:
    """A row a beam: seconds to encode and to search, frames a second of both."""
    side = Side(f"ours {options.precision}", options)
    model = side.model.eval()
    rows = []
    for beam_size in options.beams:
        limit = -max(1, options.frames // 4)  # as many tokens as a sentence of that length has
        search = BeamSearch.for_model(SearchConfig(beam_size=beam_size, ctc_weight=0.1, max_length_ratio=limit), model)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(options.turns + 1):
            start = side.clock()
            with side.autocast:
                memory, lengths = model.encode(side.batch)
            middle = side.clock()
            with side.autocast:
                search(memory, lengths)
            times[0].append(middle - start)
            times[1].append(side.clock() - middle)
        encoding, searching = (statistics.median(values[1:]) for values in times)
        speed = options.batch * options.frames / (encoding + searching)
        rows.append({"beam_size": beam_size, "encode_seconds": encoding, "search_seconds": searching,
                     "frames_per_second": speed})  # fmt: skip
    return rows


def work(options: argparse.Namespace) -> None:
    """Measure and print."""
    options.sizes = TINY if options.tiny else FULL if options.full else SMALL
    options.modality, options.spread, options.peer, options.checkpoint = "video", 0.0, None, False
    rows = measure(options)
    for row in rows:
        print(", ".join(f"{name} {value:.4g}" for name, value in row.items()))
    shape = {key: getattr(options, key) for key in ("device", "precision", "batch", "frames")}
    print(json.dumps({**shape, "beams": rows}))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    parser = CommandParser("tools/bench/decode.py", "Speed of encoding and beam search.")
    add = parser.add_argument
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="the published size")
    size.add_argument("--tiny", action="store_true", help="a size for a dry run")
    add("--batch", type=int, default=16, help="clips searched together")
    add("--frames", type=int, default=75, help="frames of a clip")
    add("--beams", type=int, nargs="+", default=[1, 10, 40], help="hypotheses kept")
    add("--turns", type=int, default=3, help="times, after one that is not counted")
    add("--precision", choices=("float32", "bfloat16"), default="float32", help="of all networks")
    add("--threads", type=int, default=2, help="CPU threads")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where")
    return run_command(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
