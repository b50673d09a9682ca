#!/usr/bin/env python3
"""Memory and time of a training step against the length of one utterance, and the longest that fits.

tools/bench/lengths.py --full --device cuda --plot lengths.png
tools/bench/lengths.py --lengths 50 100 200 400 --precision float32 --threads 1 --plot lengths.png    # a CPU's minutes

On a CPU every length has a process of its own, whose memory at its highest is what is told.
"""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import torch
from side import Side
from train import FULL, SMALL, TINY

from msrs.command import CommandParser, run_command
from msrs.files import atomic_path
from msrs.report.chart import Line, Panel, draw_panels

FRAMES_PER_SECOND = 25


def take_step(options: argparse.Namespace) -> dict[str, float] | None:
    """`frames`, `seconds` and `megabytes` of one step, the second of its process; None where the GPU's memory is short."""
    side = None
    try:
        side = Side(f"ours {options.precision}", options)
        figures = side.turn(
            1 if options.device == "cuda" else 2
        )  # on a GPU a turn has a first step that is not counted
    except torch.cuda.OutOfMemoryError:
        return None
    finally:
        del side
        if options.device == "cuda":
            torch.cuda.empty_cache()
    return {"frames": options.frames, "seconds": figures["seconds"][-1], "megabytes": figures["peak_megabytes"]}


def measure(options: argparse.Namespace, is_saving: bool) -> Iterator[dict[str, float]]:
    """A row a length, up to the one for which memory is short."""
    options.checkpoint = is_saving
    for frames in options.lengths:
        options.frames = frames
        if options.device == "cuda":
            row = take_step(options)
        else:  # in a process of its own, for what is told of a process's memory never falls again
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                try:
                    row = pool.submit(take_step, options).result()
                except BrokenProcessPool:  # the system ends what takes too much
                    row = None
        if row is None:
            break
        yield row


def longest(rows: Sequence[dict[str, float]], megabytes: float) -> dict[str, float]:
    """Where a parabola through the measured peaks (attention grows with the square) meets the memory there is.

    A straight line where the lengths are too short for the square to show, which then promises too much.
    Args: rows of at least three lengths. Returns: `fixed_megabytes`, `megabytes_a_frame` at the middle length, and
    `longest_frames`.

    >>> rows = [{"frames": frames, "megabytes": 1000 + 2 * frames + 0.01 * frames**2} for frames in (100, 200, 400)]
    >>> {name: round(value, 3) for name, value in longest(rows, 5000).items()}
    {'fixed_megabytes': 1000.0, 'megabytes_a_frame': 6.0, 'longest_frames': 540.312}
    >>> round(longest([{"frames": n, "megabytes": m} for n, m in ((1, 11), (2, 20), (3, 28.9))], 100)["longest_frames"], 2)
    10.94
    """
    frames, peaks = (np.array([row[key] for row in rows], float) for key in ("frames", "megabytes"))
    square, linear, fixed = np.polyfit(frames, peaks, 2)
    if square <= 0:
        square, (linear, fixed) = 0.0, np.polyfit(frames, peaks, 1)
    room = megabytes - fixed
    return {
        "fixed_megabytes": float(fixed),
        "megabytes_a_frame": float(linear + 2 * square * np.median(frames)),
        # The root of the parabola, in the form that holds for a line too.
        "longest_frames": float(2 * room / (linear + np.sqrt(linear**2 + 4 * square * room))),
    }


def draw(results: dict[str, dict], options: argparse.Namespace) -> None:
    """A picture of time and memory against length, with a line for each of `results`."""

    def panel(title: str, key: str, unit: float, marks: Sequence[tuple[float, str]] = ()) -> Panel:
        lines = []
        for name, result in results.items():
            seconds = [row["frames"] / FRAMES_PER_SECOND for row in result["rows"]]
            lines.append(Line(name, seconds, [row[key] / unit for row in result["rows"]]))
        return Panel(title, lines, "seconds of video", from_zero=True, marks=marks)

    sizes = options.sizes
    kind = (
        f"{options.precision}, {sizes.num_blocks} + {sizes.num_decoder_blocks} blocks, D {sizes.size}, {options.device}"
    )
    limit = [(options.gigabytes, f"{options.gigabytes:g} GB")] if options.device == "cuda" else []
    panels = [
        panel(f"Seconds a step ({kind})", "seconds", 1),
        panel("Memory at its highest (GB)", "megabytes", 1000, limit),
    ]
    with atomic_path(options.plot) as temporary:
        draw_panels(panels).save(temporary, format="PNG", optimize=True)


def work(options: argparse.Namespace) -> None:
    """Measure, draw and print."""
    options.sizes = TINY if options.tiny else FULL if options.full else SMALL
    options.modality, options.batch, options.spread, options.peer = "video", 1, 0.0, None
    results = {}
    for is_saving in (False, True):
        name, rows = "checkpointed" if is_saving else "plain", []
        results[name] = {"rows": rows}
        for row in measure(options, is_saving):
            rows.append(row)
            print(f"{name:14}{row['frames']:6d} frames {row['seconds']:9.3f} s {row['megabytes']:10.0f} MB", flush=True)
        if len(rows) >= 3:
            results[name].update(longest(rows, options.gigabytes * 1000))
            seconds = results[name]["longest_frames"] / FRAMES_PER_SECOND
            print(f"{name:14}longest in {options.gigabytes:g} GB: {seconds:.0f} s of video (extrapolated)")
    if options.plot and all(result["rows"] for result in results.values()):
        draw(results, options)
    print(json.dumps({"device": options.device, "precision": options.precision, "lengths": results}))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    parser = CommandParser("tools/bench/lengths.py", "Memory and time of a step against the length of an utterance.")
    add = parser.add_argument
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="the published size")
    size.add_argument("--tiny", action="store_true", help="a size for a dry run")
    add("--lengths", type=int, nargs="+", default=[100, 200, 400, 800, 1600, 3200], help="frames")
    add("--precision", choices=("float32", "bfloat16"), default="bfloat16", help="of the forward pass")
    add("--gigabytes", type=float, default=80.0, help="memory that the longest utterance has to fit in")
    add("--threads", type=int, default=2, help="CPU threads")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where")
    add("--plot", type=Path, help="draw time and memory against length into this PNG file")
    return run_command(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
