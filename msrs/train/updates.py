"""One update's forward and backward passes, in one process or in several: the gradients are the same."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from msrs.batch_norm import joined
from msrs.data.dataset import Batch
from msrs.models.losses import Counts
from msrs.train.distributed import World
from msrs.train.shares import Share

NAMES = ("loss", "ctc", "attention", "accuracy", "blank_share")


@dataclasses.dataclass
class Part:
    """What a process passes at once: a batch of the update, or its part of one."""

    batch: Batch
    share: Share


@dataclasses.dataclass
class Update:
    """What a process does of an update."""

    parts: list[Part]
    num_batches: int  # of the whole update
    is_last: bool  # of its epoch


@dataclasses.dataclass
class Passed:
    """What the passes of an update gave."""

    means: dict[str, float]  # losses and shares, in nats a token of the whole update
    own_loss: float  # what this process has added to the mean loss
    num_frames: int
    num_padded_frames: int


def pass_parts(
    model: nn.Module, update: Update, world: World, autocast: Callable[[], contextlib.AbstractContextManager]
) -> Passed:
    """Forward and backward passes over this process's parts of an update, and `.grad` summed over all processes.

    A token, an end and a frame weigh the same wherever they are passed. Running statistics of batch norms end as if one
    process had passed the batches in their order.
    """
    counts, num_padded = count_batches(update, world)
    num_tokens, num_utterances, num_frames = (
        sum(getattr(count, name) for count in counts) for name in ("num_tokens", "num_utterances", "num_frames")
    )
    sums: dict[str, float] = {}
    with _running_statistics(model, update.num_batches, world) as note:
        for part in update.parts:
            share, own = part.share, counts[part.share.number]
            whole = Counts(num_tokens, num_utterances, num_frames, own.has_video, own.has_audio)
            # The backward pass too is inside: activations that are computed again have to be normalised alike.
            with _normalised_together(model, share, world):
                with autocast():
                    losses = model(part.batch, whole)
                (losses.total * share.is_counted).backward()
            note(share)
            if share.is_counted:
                named = (losses.total, losses.ctc, losses.attention, losses.accuracy, losses.blank_share)
                for name, value in zip(NAMES, named, strict=True):
                    if value is not None:
                        sums[name] = sums.get(name, 0.0) + float(value.detach())
    world.sum_gradients(model)
    return Passed(_summed(sums, world), sums.get("loss", 0.0), num_frames, num_padded)


@torch.no_grad()
def estimate_statistics(
    model: nn.Module, updates: Iterable[Update], world: World, autocast: Callable[[], contextlib.AbstractContextManager]
) -> None:
    """Running statistics of batch norms become the mean of the batches' own, with everything else as in evaluation.

    Args: updates, of one batch each. No random numbers are drawn; the model is left in training mode.
    """
    norms = _tracking_norms(model)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
    for number, update in enumerate(updates, start=1):
        for norm in norms:
            norm.momentum = 1.0 / number
        counts, _ = count_batches(update, world)
        with _running_statistics(model, update.num_batches, world) as note:
            for part in update.parts:
                with _normalised_together(model, part.share, world), autocast():
                    model(part.batch, counts[part.share.number])
                note(part.share)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train()


def count_batches(update: Update, world: World) -> tuple[list[Counts], int]:
    """What each batch of an update holds, and the padded frames of them all, over all processes."""
    numbers = [[0] * 5 for _ in range(update.num_batches)]
    num_padded = 0
    for part in update.parts:
        if part.share.is_counted:
            batch = part.batch
            has = [int(stream is not None and bool(stream.any())) for stream in (batch.video, batch.audio)]
            numbers[part.share.number] = [
                int(batch.token_lengths.sum()), len(batch), int(frame_lengths(batch).sum()), *has
            ]  # fmt: skip
            width = batch.video.shape[1] if batch.video is not None else batch.audio.shape[1] // 640
            num_padded += len(batch) * width
    *totals, num_padded = map(int, world.sums([value for row in numbers for value in row] + [num_padded]))
    rows = [totals[start : start + 5] for start in range(0, len(totals), 5)]
    return [Counts(*row[:3], bool(row[3]), bool(row[4])) for row in rows], num_padded


def frame_lengths(batch: Batch) -> Tensor:
    """Frames of each utterance of a batch, whatever its streams. Returns: (B,)."""
    return batch.video_lengths if batch.video_lengths is not None else batch.audio_lengths // 640


def _tracking_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]


def _normalised_together(model: nn.Module, share: Share, world: World) -> contextlib.AbstractContextManager:
    if not share.is_split:
        return contextlib.nullcontext()
    return joined(model, world.groups[share.ranks], share.is_counted)


def _summed(sums: dict[str, float], world: World) -> dict[str, float]:
    if world.size == 1:
        return sums
    totals = world.sums([sums.get(name, 0.0) for name in NAMES] + [float(name in sums) for name in NAMES])
    values, owners = totals[: len(NAMES)], totals[len(NAMES) :]
    return {name: value for name, value, count in zip(NAMES, values, owners, strict=True) if count}


@contextlib.contextmanager
def _running_statistics(model: nn.Module, num_batches: int, world: World) -> Iterator[Callable[[Share], None]]:
    """Yields what is to be called after each pass; at the end all processes have the statistics of all batches.

    A running statistic r becomes (1 - m) r + m s with each batch. So it starts each pass from zero, which leaves m s,
    and what comes of a batch is weighted by what the batches after it would have made of it.
    """
    if world.size == 1:
        yield lambda share: None
        return
    norms = _tracking_norms(model)
    keeps = [1.0 - norm.momentum for norm in norms for _ in range(2)]
    running = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
    counters = [norm.num_batches_tracked + num_batches for norm in norms]
    before = [value.clone() for value in running]
    sums = [value.zero_().clone() for value in running]

    @torch.no_grad()
    def note(share: Share) -> None:
        for value, total, keep in zip(running, sums, keeps, strict=True):
            # All that share a batch have its statistics; what only keeps company has none of any batch.
            if world.rank == share.ranks[0] and share.is_counted:
                total.add_(value, alpha=keep ** (num_batches - 1 - share.number))
            value.zero_()

    yield note
    world.sum_tensors(sums)
    for value, total, start, keep in zip(running, sums, before, keeps, strict=True):
        value.copy_(start.mul_(keep**num_batches).add_(total))
    for norm, counter in zip(norms, counters, strict=True):
        norm.num_batches_tracked.copy_(counter)
