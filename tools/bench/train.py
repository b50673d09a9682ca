#!/usr/bin/env python3
"""Speed of training beside Auto-AVSR's released classes: same sizes, same batch, forward, backward and optimiser step.

tools/bench/train.py --peer auto_avsr                                # two CPU cores, d = 256, 6 + 3 blocks
tools/bench/train.py --peer auto_avsr --full --device cuda --batch 16 --frames 100    # the published size
tools/bench/train.py --profile                                       # ours alone, and where its time goes

Every side lives in a process of its own; they take turns, so that a slow minute hits all alike, and medians are compared.
On a CPU seconds are those of the processor, where other programs do not count. See tools/bench/peer.py for the checkout.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from side import Side, Sizes

from msrs.command import CommandParser, run_command

# Dense peaks of the makers' data sheets, in 1e12 operations a second: without and with bfloat16.
PEAKS = {"H100 PCIe": (51, 756), "H100": (67, 989), "H200": (67, 989), "A100": (19.5, 312), "L4": (30, 121)}
SMALL = Sizes(size=256, num_heads=4, feed_forward_size=1024, num_blocks=6, num_decoder_blocks=3, vocabulary_size=64)
FULL = Sizes(size=768, num_heads=12, feed_forward_size=3072, num_blocks=12, num_decoder_blocks=6, vocabulary_size=5049)
TINY = Sizes(size=32, num_heads=2, feed_forward_size=64, num_blocks=1, num_decoder_blocks=1, vocabulary_size=16)


def serve(name: str, options: argparse.Namespace, pipe: Connection) -> None:
    """A side's process: answers each message `number of steps, whether to count` with their figures."""
    try:
        side = Side(name, options)
        pipe.send({"parameters": side.num_parameters})
        while (asked := pipe.recv()) is not None:
            pipe.send(side.turn(asked) if isinstance(asked, int) else getattr(side, asked)())
    except EOFError:
        pass
    except Exception as error:  # told by the parent, which alone has the user's ear
        pipe.send({"error": f"{type(error).__name__}: {error}"})


def ask(pipe: Connection, name: str, question: object) -> dict:
    """A side's answer. Raises: RuntimeError with its own words where it failed."""
    pipe.send(question)
    return heard(pipe, name)


def heard(pipe: Connection, name: str) -> dict:
    """What a side says. Raises: RuntimeError where it failed."""
    try:
        answer = pipe.recv()
    except EOFError:
        answer = {"error": "its process ended, for want of memory perhaps"}
    if "error" in answer:
        raise RuntimeError(f"{name}: {answer['error']}")
    return answer


def measure(options: argparse.Namespace) -> dict[str, dict]:
    """Figures of every side; a side that fails (memory, an option its device lacks) is told and left out."""
    names = [
        f"{who} {precision}"
        for who in (("ours", "peer") if options.peer else ("ours",))
        for precision in options.precisions
    ]
    if options.compile:
        names += [f"ours {precision} compiled" for precision in options.precisions]
    context = multiprocessing.get_context("spawn")
    pipes, seconds, results = {}, {}, {}
    for name in names:
        pipe, far_end = context.Pipe()
        context.Process(target=serve, args=(name, options, far_end), daemon=True).start()
        far_end.close()
        pipes[name], seconds[name], results[name] = pipe, [], {}
    for name in list(pipes):
        follow(results, pipes, name, lambda name=name: results[name].update(heard(pipes[name], name)))
    for number in range(options.steps + 1):
        for name in list(pipes):

            def turn(name: str = name, is_counted: bool = number > 0) -> None:
                answer = ask(pipes[name], name, options.turn)
                if is_counted:
                    seconds[name] += answer.pop("seconds")
                    results[name].update(answer)

            follow(results, pipes, name, turn)
    for name, pipe in pipes.items():
        results[name]["seconds"] = seconds[name]
        if name == f"ours {options.precisions[0]}":
            results[name].update(ask(pipe, name, "count_flops"))
            if options.profile:
                print(ask(pipe, name, "profile")["table"])
        pipe.send(None)
    return results


def follow(results: dict, pipes: dict, name: str, act) -> None:
    """Do something with a side; where it fails, say so and go on without it."""
    try:
        act()
    except (RuntimeError, BrokenPipeError) as error:
        print(f"left out: {error}", file=sys.stderr)
        results[name] = {"failed": str(error)}
        pipes.pop(name).close()


def peak_of(options: argparse.Namespace, precision: str) -> float | None:
    """Peak of the device in operations a second, where it is known."""
    if options.peak_tflops:
        return options.peak_tflops * 1e12
    name = torch.cuda.get_device_name() if options.device == "cuda" else ""
    known = next((peak for key, peak in PEAKS.items() if key in name), None)
    return known[precision == "bfloat16"] * 1e12 if known else None


def summarise(results: dict[str, dict], options: argparse.Namespace) -> list[dict]:
    """A row a side: frames a second, ratio to the peer as released (float32), share of the peak, memory."""
    frames = options.batch * options.frames
    first = results.get(f"ours {options.precisions[0]}", {})
    base = results.get("peer float32", {}).get("seconds")
    rows = []
    for name, result in results.items():
        if "failed" in result:
            rows.append({"side": name, "failed": result["failed"]})
            continue
        middle = statistics.median(result["seconds"])
        row = {
            "side": name,
            "seconds": middle,
            "range": [min(result["seconds"]), max(result["seconds"])],
            "frames_per_second": frames / middle,
            "ratio_to_peer": statistics.median(base) / middle if base else None,
            "peak_megabytes": result["peak_megabytes"],
            "parameters": result["parameters"],
        }
        twin = results.get(name.replace("ours", "peer").removesuffix(" compiled"), {}).get("seconds")
        row["ratio_to_peer_alike"] = statistics.median(twin) / middle if twin else None
        if "flops" in first:
            peak = peak_of(options, name.split()[1])
            row["tflops"] = first["flops"] / middle / 1e12
            row["utilisation"] = first["flops"] / middle / peak if peak else None
            row["share_of_matmul_rate"] = first["flops"] / middle / result["matmul_rate"]
        rows.append(row)
    return rows


def work(options: argparse.Namespace) -> None:
    """Measure and print."""
    options.sizes = TINY if options.tiny else FULL if options.full else SMALL
    if not options.peer:
        print("ours alone: without --peer FOLDER there is nothing to compare with")
    rows = summarise(measure(options), options)
    heads = ("frames/s", "s a step", "vs released", "vs alike", "of peak", "of matmul", "peak MB")
    print(f"{'side':24}" + "".join(f"{head:>12}" for head in heads))
    for row in rows:
        if "failed" in row:
            print(f"{row['side']:24}failed: {row['failed']}")
            continue
        keys = ("frames_per_second", "seconds", "ratio_to_peer", "ratio_to_peer_alike", "utilisation",
                "share_of_matmul_rate", "peak_megabytes")  # fmt: skip
        print(
            f"{row['side']:24}"
            + "".join(f"{'-' if row.get(key) is None else format(row[key], '.4g'):>12}" for key in keys)
        )
    shape = {key: getattr(options, key) for key in ("device", "modality", "batch", "frames", "spread", "threads")}
    print(json.dumps({**shape, "sizes": options.sizes.__dict__, "sides": rows}))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    parser = CommandParser("tools/bench/train.py", "Speed of training beside Auto-AVSR's released classes.")
    add = parser.add_argument
    add(
        "--peer",
        type=Path,
        help="checkout of github mpc001/auto_avsr (commit 182b628 is the reference); left out: ours alone",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="the published size: d = 768, 12 + 6 blocks, 5,049 units")
    size.add_argument("--tiny", action="store_true", help="a size for a dry run")
    add("--modality", choices=("video", "audio"), default="video", help="what goes in")
    add("--batch", type=int, default=4, help="clips a batch")
    add("--frames", type=int, default=75, help="frames of the longest clip")
    add("--spread", type=float, default=0.0, help="lengths are drawn from (1 - spread) * frames up to frames")
    add("--steps", type=int, default=5, help="turns of each side; one more comes first and is not counted")
    add("--turn", type=int, default=1, help="steps of a turn; on a GPU one more comes first and is not counted")
    add(
        "--precisions",
        nargs="+",
        default=["float32", "bfloat16"],
        choices=("float32", "bfloat16"),
        help="of either side",
    )
    add("--compile", action="store_true", help="ours also with torch.compile on the encoder's and decoder's blocks")
    add("--checkpoint", action="store_true", help="ours with activation checkpointing")
    add("--threads", type=int, default=2, help="CPU threads")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where")
    add("--peak-tflops", type=float, help="peak of the device, for the utilisation; known for some GPUs")
    add("--profile", action="store_true", help="print where the time of our first side goes")
    return run_command(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
