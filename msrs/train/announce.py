"""What a run says about itself: before it begins, in numbers that can be checked, and every half minute."""

import dataclasses
import math
import resource
import sys
from collections.abc import Sequence

import torch
from torch import nn

from msrs.data.batching import BatchingConfig, padding_share, plan_batches
from msrs.log import LOGGER
from msrs.shards import own_part
from msrs.train.feed import Feed
from msrs.train.options import TrainConfig
from msrs.train.shares import widths

IDLE_SHARE = 0.1  # of the processes' passes, from which on a remark is due
PADDING_SHARE = 0.05  # of the frames, likewise
# Auto-AVSR's models of some 250 million weights saw 32 x 1,600 frames an update. With a tenth of it people report that video
# stays at 99 % word errors (github.com/mpc001/auto_avsr, issues 23 and 37); small models learn from small updates.
LARGE_WEIGHTS = 100_000_000
LARGE_FRAMES = 51_200
LEAST_LARGE_FRAMES = LARGE_FRAMES // 4


def announce(options: TrainConfig, model: nn.Module, feed: Feed, total_updates: int) -> None:
    """Log what is about to happen."""
    loop, batches, lengths = options.train, feed.plan(0), feed.train_set.lengths(0)
    num_processes = feed.world.size
    parameters = sum(parameter.numel() for parameter in model.parameters())
    LOGGER.info(
        "%s model of %s parameters on %s",
        options.modality, f"{parameters:,}", next(model.parameters()).device,
    )  # fmt: skip
    if feed.world.is_sharded:
        own = sum(own_part(parameter).numel() for parameter in model.parameters())
        LOGGER.info("sharded: this process holds %s of them", f"{own:,}")
    LOGGER.info(
        "%d training utterances (%.2f h), %d development utterances",
        len(lengths), sum(feed.train_set.num_frames) / 25 / 3600, len(feed.dev_set),
    )  # fmt: skip
    groups = [batches[start : start + loop.accumulate] for start in range(0, len(batches), loop.accumulate)]
    at_once, idle = load(groups, lengths, num_processes)
    padding = padding_share(batches, lengths)
    LOGGER.info(
        "batches an update: %d of at most %d frames; %.0f frames in all (%.1f s), padding %.1f %%",
        min(loop.accumulate, len(batches)),
        options.batching.max_frames,
        sum(lengths) / len(groups),
        sum(lengths) / len(groups) / 25,
        100 * padding,
    )
    LOGGER.info("processes: %d, each with at most %d padded frames at once", num_processes, at_once)
    remark(options, feed, batches, padding, idle)
    if parameters >= LARGE_WEIGHTS and options.modality != "audio":
        remark_on_small_updates(sum(lengths) / len(groups), sum(lengths) / len(batches), len(batches))
    LOGGER.info(
        "%d epochs, %d updates, warm-up %d updates (%.0f %%), peak rate %g, sparse method %s",
        loop.max_epochs,
        total_updates,
        options.schedule.warmup_updates,
        100 * options.schedule.warmup_updates / total_updates,
        options.optim.lr,
        options.sparse.type,
    )


def remark(options: TrainConfig, feed: Feed, batches: Sequence[Sequence[int]], padding: float, idle: float) -> None:
    """Warn where the plan of batches is a bad one. Args: batches of the first epoch; shares of padding, idle passes."""
    loop, lengths = options.train, feed.train_set.lengths(0)
    if padding > PADDING_SHARE:
        LOGGER.warning(
            "Padding is %.1f %% of what is computed: %s.",
            100 * padding, ways_to_less_padding(lengths, feed.train_set.most_frames, options.batching, options.seed),
        )  # fmt: skip
    if loop.accumulate > len(batches):
        LOGGER.warning(
            "train.accumulate is %d, but an epoch has %d batches, and an update never spans two epochs: each epoch is one "
            "update. Make train.accumulate or batching.max_frames smaller, or train.max_epochs larger.",
            loop.accumulate, len(batches),
        )  # fmt: skip
    if options.modality != "audio" and max(map(len, feed.dev_plan())) == 1:
        LOGGER.warning(
            "Whether the model looks cannot be measured: for the vision gap videos are exchanged within a batch, and each "
            "batch of the development set holds one utterance. Make batching.max_frames (%d) at least twice as long as its "
            "shorter utterances (%d), and batching.max_utterances (%d) more than 1.",
            options.batching.max_frames, min(feed.dev_set.num_frames), options.batching.max_utterances,
        )  # fmt: skip
    if idle > IDLE_SHARE:
        LOGGER.warning(
            "Of %d processes %.0f %% are idle: make train.accumulate (%d) a multiple or a divisor of their number, "
            "and keep its product with batching.max_frames.",
            feed.world.size, 100 * idle, loop.accumulate,
        )  # fmt: skip


def remark_on_small_updates(update_frames: float, batch_frames: float, num_batches: int) -> None:
    """Warn where a large model's updates see little. Args: mean frames of an update and of a batch; batches an epoch."""
    if update_frames < LEAST_LARGE_FRAMES:
        wanted = math.ceil(LARGE_FRAMES / batch_frames)
        LOGGER.warning(
            "An update has %.0f frames. Models of this size have been trained with %d, and with a tenth of it people report "
            "that lip reading stays at 99 %% word errors: %s.",
            update_frames, LARGE_FRAMES,
            f"train.accumulate={wanted} comes to as many, with any number of GPUs" if wanted <= num_batches
            else "the training set has fewer, so take a smaller model",
        )  # fmt: skip


def ways_to_less_padding(lengths: Sequence[int], most_frames: int, options: BatchingConfig, seed: int) -> str:
    """What may be set otherwise, and the padding it would leave.

    Args: lengths of an epoch, and the most that an utterance may have in any, in frames.

    >>> ways_to_less_padding([10, 15, 20, 30] * 9, 33, BatchingConfig(max_frames=160, length_jitter=0.5), 1)
    'batching.length_jitter=0 leaves 7.5 %, batching.max_frames=80 with twice the train.accumulate leaves 4.3 %'
    """
    padding, half = padding_share(plan_batches(lengths, options, seed, 0), lengths), options.max_frames // 2
    changes: dict[str, dict[str, float]] = {"batching.length_jitter=0": {"length_jitter": 0.0}}
    if half >= most_frames:
        changes[f"batching.max_frames={half} with twice the train.accumulate"] = {"max_frames": half}
    ways = []
    for words, change in changes.items():
        left = padding_share(plan_batches(lengths, dataclasses.replace(options, **change), seed, 0), lengths)
        if left < padding:
            ways.append(f"{words} leaves {100 * left:.1f} %")
    return ", ".join(ways) or "more utterances, or fewer very long ones, would leave less"


def load(groups: Sequence[Sequence[Sequence[int]]], lengths: Sequence[int], num_processes: int) -> tuple[int, float]:
    """How an epoch's updates lie on the processes.

    Returns: the most padded frames that a process passes at once; the share of passes that a process has no part in.

    >>> load([[[0, 1], [2]]], [10, 10, 12], 2), load([[[0, 1]]], [10, 10], 4)
    ((20, 0.0), (10, 0.5))
    """
    most = passes = used = 0
    for batches in groups:
        for turn, width in enumerate(widths(len(batches), num_processes)):
            chunk = batches[turn * num_processes : (turn + 1) * num_processes]
            for batch in chunk:
                most = max(most, -(-len(batch) // width) * max(lengths[index] for index in batch))
                used += min(width, len(batch))
            passes += num_processes
    return most, 1.0 - used / max(1, passes)


def live_line(
    epoch: int,
    update: int,
    total_updates: int,
    numbers: dict[str, float],
    frames_a_second: float,
    padding: float,
    memory_bytes: int,
    seconds_left: float,
) -> None:
    """Log where the run is."""
    shown = ", ".join(
        f"{name} {numbers[name]:.3f}" for name in ("loss", "ctc", "attention", "accuracy") if name in numbers
    )
    progress = f"epoch {epoch}, update {update} of {total_updates}"
    LOGGER.info(
        "%s: %s, %.0f frames/s, padding %.1f %%, peak memory %.1f GB, %s left",
        progress, shown, frames_a_second, 100 * padding, memory_bytes / 1e9, hours(seconds_left),
    )  # fmt: skip


def peak_memory_bytes(device: torch.device) -> int:
    """The most that this process has held so far, of the GPU where it has one, else of the machine."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def hours(seconds: float) -> str:
    """Seconds as h:mm:ss.

    >>> hours(3725)
    '1:02:05'
    """
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
