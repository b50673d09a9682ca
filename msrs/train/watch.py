"""What a run shows of its inside now and then: gradients, branches, histograms; training itself never notices."""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from msrs.data.dataset import Batch
from msrs.lengths import length_mask
from msrs.shards import whole
from msrs.sparse.selection import layer_of
from msrs.sparse.stats import GradientWatch, grouped
from msrs.train.distributed import ALONE, World

NUM_PARTS = 8  # micro-batches that an update is split into for the signal-to-noise ratio
NUM_BINS = 64


def watch_update(
    model: nn.Module,
    batches: Sequence[Batch],
    autocast: Callable[[], contextlib.AbstractContextManager],
    world: World = ALONE,
    company: Batch | None = None,
) -> dict[str, float]:
    """Gradients and branch shares of an update that is about to be made, from passes of its own.

    The update's utterances are split into up to eight micro-batches, in training mode, so the numbers hold noise of
    dropout and of small batches; random state, normalisation statistics and `.grad` are left as they were found
    (`.grad` has to be empty). It costs about one more forward and backward pass.
    Args: batches of this process; world: where it is sharded all processes call this, each with its own, and a
    micro-batch is what they pass at once; company, a batch, whose first utterance is passed, and not counted, while
    others have more to pass.
    Returns: `grad_norm/`, `grad_tiny/`, `grad_snr/` (see `GradientWatch`) and `branch_share/` (see `branch_shares`).
    """
    num_tokens = sum(int(batch.token_lengths.sum()) for batch in batches)
    parts = [part for batch in batches for part in split(batch, max(1, NUM_PARTS // len(batches)))]
    num_own = len(parts)
    if world.is_sharded:
        num_tokens = int(sum(world.gather(num_tokens)))
        parts += split(company, len(company))[:1] * (max(world.gather(num_own)) - num_own)
    watch = GradientWatch(model)
    with unnoticed(model), branch_shares(model) as shares:
        for number, part in enumerate(parts):
            with autocast():
                losses = model(part)
            share = losses.num_tokens / max(1, num_tokens) if number < num_own else 0.0
            (losses.total * share).backward()
            watch.micro_batch()
        numbers = watch.collect()
        for parameter in model.parameters():
            parameter.grad = None
    return numbers | {f"branch_share/{name}": sum(values) / len(values) for name, values in shares.items()}


@contextlib.contextmanager
def unnoticed(model: nn.Module) -> Iterator[None]:
    """Random state and buffers (normalisation statistics) are put back at the end."""
    buffers = {name: copy.deepcopy(buffer) for name, buffer in model.named_buffers()}
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for name, buffer in model.named_buffers():
                    buffer.copy_(buffers[name])


def split(batch: Batch, count: int) -> list[Batch]:
    """Up to `count` batches of neighbouring utterances; none is empty, padding stays."""
    size = -(-len(batch) // count)
    parts = []
    for start in range(0, len(batch), size):
        rows = slice(start, start + size)
        values = {name: None if value is None else value[rows] for name, value in vars(batch).items()}
        parts.append(dataclasses.replace(batch, **values))
    return parts


@contextlib.contextmanager
def branch_shares(model: nn.Module) -> Iterator[dict[str, list[float]]]:
    """While the context lasts, ||f(x)|| / ||x|| of every residual branch, by `block.branch`, one number a pass.

    A branch B of a block is what its modules `norm_B` (which sees x) and `scale_B` (which gives f(x), before dropout
    and before the half of a macaron step) enclose. Positions beyond a length do not count: what holds the stack of
    `blocks` is called with (B, T, ...) values and their (B,) lengths.
    """
    shares: dict[str, list[float]] = {}
    seen: dict[str, Tensor] = {}
    lengths: dict[str, Tensor] = {}
    hooks = []

    def watch_lengths(name: str, stack: nn.Module) -> None:
        def entered(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            lengths[name] = inputs[1]

        hooks.append(stack.register_forward_pre_hook(entered))

    def watch_branch(name: str, stack_name: str, norm: nn.Module, scale: nn.Module) -> None:
        def norm_of(values: Tensor) -> Tensor:
            return values.detach()[length_mask(lengths[stack_name], values.shape[1])].float().norm()

        def entered(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name] = norm_of(inputs[0])

        def left(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            shares.setdefault(name, []).append(float(norm_of(output) / seen.pop(name).clamp_min(1e-12)))

        hooks.extend((norm.register_forward_pre_hook(entered), scale.register_forward_hook(left)))

    for stack_name, stack in model.named_modules():
        branches = list(_branches(stack))
        if branches:
            watch_lengths(stack_name, stack)
        for name, norm, scale in branches:
            watch_branch(f"{stack_name}.{name}", stack_name, norm, scale)
    try:
        yield shares
    finally:
        for hook in hooks:
            hook.remove()


def _branches(stack: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """Name, `norm_` and `scale_` of every residual branch of a stack's `blocks`."""
    for number, block in enumerate(getattr(stack, "blocks", ())):
        children = dict(block.named_children())
        for child_name, child in children.items():
            branch = child_name.removeprefix("scale_")
            if branch != child_name and f"norm_{branch}" in children:
                yield f"blocks.{number}.{branch}", children[f"norm_{branch}"], child


def is_histogram_epoch(epoch: int, last: int) -> bool:
    """The first epochs matter most: after 1, 2, 4, 8, ... epochs and at the end.

    >>> [epoch for epoch in range(1, 21) if is_histogram_epoch(epoch, 20)]
    [1, 2, 4, 8, 16, 20]
    """
    return epoch & (epoch - 1) == 0 or epoch == last


def histograms(tensors: dict[str, Tensor]) -> dict[str, dict[str, object]]:
    """Histogram of all values of each block.

    Of tensors that are held in parts all processes have to ask for it.
    Returns: block -> {"low", "high": outer edges; "counts": 64 even bins}.
    """
    result = {}
    for block, names in grouped(list(tensors), layer_of).items():
        values = torch.cat([whole(tensors[name].detach()).float().flatten() for name in names])
        low, high = float(values.min()), float(values.max())
        if low == high:
            low, high = low - 0.5, high + 0.5
        counts = torch.histc(values.cpu(), NUM_BINS, low, high)
        result[block] = {"low": low, "high": high, "counts": [int(count) for count in counts]}
    return result
