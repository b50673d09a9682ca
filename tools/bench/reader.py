#!/usr/bin/env python3
"""Frames a second a core from a dump (decoded, cropped, normalised) beside Auto-AVSR's reader on the same clips.

tools/bench/reader.py --dump egs/grid/dump/feats/train

The other side is what its data loader does with a clip in its own format, an H.264 file of 96 x 96 pixels in colour as
`torchvision.io.write_video` makes it: `torchvision.io.read_video` (all pictures to RGB, stacked, channels first), scaled,
cropped, made grey, time-masked, normalised. Where torchvision has no `read_video`, as from 0.26 on, or is not there, the same
steps are taken with PyAV, which is what it calls; the clips are re-encoded from the dump at the start. One thread a side;
the two take turns clip by clip, and seconds are those of the processor.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from msrs.command import CommandParser, run_command
from msrs.data.augment import AugmentConfig, adaptive_masks
from msrs.data.dataset import UtteranceDataset
from msrs.errors import DataError

RAW_BYTES_AN_HOUR = 96 * 96 * 25 * 3600
GREY_SHARES = (0.2989, 0.587, 0.114)  # of red, green and blue, in torchvision's Grayscale
CROP_PX = 88


def write_colour(path: Path, frames: np.ndarray) -> None:
    """A clip in the other side's format: H.264 of three colours with the encoder's defaults. Args: frames (T, H, W)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.repeat(frame[..., None], 3, axis=2), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def their_pictures() -> tuple[str, Callable[[str], Tensor]]:
    """How the other side comes to pixels, and its function from a path to (T, H, W, 3) uint8."""
    try:
        from torchvision.io import read_video
    except (ImportError, OSError, RuntimeError):  # not there, without it, or built for another torch
        return "the steps of torchvision.io.read_video, taken with PyAV", read_with_pyav
    return "torchvision.io.read_video", lambda path: read_video(path, pts_unit="sec", output_format="THWC")[0]


def read_with_pyav(path: str) -> Tensor:
    """All pictures by their time, as RGB, in one tensor (T, H, W, 3)."""
    with (
        av.open(path, metadata_errors="ignore")
        if int(av.__version__.partition(".")[0]) < 19
        else av.open(path) as container
    ):
        container.streams.video[0].thread_count = 1
        frames = {frame.pts: frame for frame in container.decode(video=0)}
    return torch.as_tensor(np.stack([frames[pts].to_rgb().to_ndarray() for pts in sorted(frames)]))


def their_transforms(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Scale, crop, grey, time masks, normalise, in this order. Args: (T, H, W, 3) uint8. Returns: (T, 1, 88, 88)."""
    video = pictures.permute(0, 3, 1, 2) / 255.0
    top, left = (int(rng.integers(0, side - CROP_PX + 1)) for side in video.shape[2:])
    video = video[..., top : top + CROP_PX, left : left + CROP_PX]
    red, green, blue = video.unbind(dim=1)
    video = (GREY_SHARES[0] * red + GREY_SHARES[1] * green + GREY_SHARES[2] * blue).unsqueeze(1)
    video = video.clone()
    for start, length in adaptive_masks(len(video), 10, 25, rng):
        video[start : start + length] = 0
    return video.clone().sub_(0.421).div_(0.165)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Figures of both sides over the same clips."""
    dataset = UtteranceDataset(options.dump, lambda text: [], "video", AugmentConfig())
    chosen = range(0, len(dataset), max(1, len(dataset) // options.clips))[: options.clips]
    if not chosen:
        raise DataError(f"{options.dump}: no utterance in it.")
    how, read = their_pictures()
    rng = np.random.default_rng(0)
    rates: tuple[list[float], list[float]] = ([], [])
    own_bytes = their_bytes = num_frames = 0
    for index in chosen:
        frames = dataset.frames(dataset.utt_ids[index])
        path = folder / f"{index}.mp4"
        write_colour(path, frames)
        num_frames += len(frames)
        own_bytes += dataset.video[dataset.utt_ids[index]].nbytes
        their_bytes += path.stat().st_size
    for turn in range(options.turns + 1):
        for index in chosen:
            path = str(folder / f"{index}.mp4")
            acts = (lambda i=index, t=turn: dataset[t, i].video, lambda p=path: their_transforms(read(p), rng))
            for act, values in zip(acts, rates):
                start = time.process_time()
                video = act()
                if turn:  # the first one warms up
                    values.append(len(video) / (time.process_time() - start))
    hour = 25 * 3600 / num_frames
    ours, theirs = (statistics.median(values) for values in rates)
    return {
        "other side": how, "clips": len(chosen), "frames": num_frames, "frames_per_second_a_core": ours,
        "theirs": theirs, "ratio": ours / theirs, "bytes_an_hour": own_bytes * hour, "theirs_bytes_an_hour": their_bytes * hour,
        "raw_bytes_an_hour": RAW_BYTES_AN_HOUR, "times_smaller_than_raw": RAW_BYTES_AN_HOUR / (own_bytes * hour),
    }  # fmt: skip


def work(options: argparse.Namespace) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options, Path(folder))
    print(f"the other side reads by: {figures['other side']}")
    print(f"{'':8}{'frames/s a core':>16}{'MB an hour':>12}")
    for name, rate, size in (
        ("ours", figures["frames_per_second_a_core"], figures["bytes_an_hour"]),
        ("theirs", figures["theirs"], figures["theirs_bytes_an_hour"]),
        ("raw", None, RAW_BYTES_AN_HOUR),
    ):
        print(f"{name:8}{'-' if rate is None else f'{rate:.0f}':>16}{size / 1e6:12.1f}")
    print(f"ratio {figures['ratio']:.2f}; {figures['times_smaller_than_raw']:.1f} times smaller than raw pixels")
    print(json.dumps(figures))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    parser = CommandParser("tools/bench/reader.py", "Speed of reading training clips beside Auto-AVSR's reader.")
    parser.add_argument("--dump", type=Path, required=True, help="dump folder of a set (stage 2) with video")
    parser.add_argument("--clips", type=int, default=40, help="clips, spread evenly over the set")
    parser.add_argument("--turns", type=int, default=5, help="times each clip is read and counted")
    return run_command(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
