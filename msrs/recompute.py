"""Activation checkpointing: memory for time; a block keeps its input alone and is computed again in the backward pass."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_block(
    block: Callable[..., Any], is_recomputed: bool, *inputs: Tensor, buffers_of: nn.Module | None = None
) -> Any:
    """`block(*inputs)`; where asked for, and where a gradient is wanted, its activations are not kept but recomputed.

    (Chen et al., arXiv 1604.06174.) Outputs, gradients, random draws and buffers are the very same either way.
    Args: buffers_of, the module whose buffers a block moves that is no module itself.
    """
    if not is_recomputed or not torch.is_grad_enabled():
        return block(*inputs)
    return checkpoint(
        block,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (contextlib.nullcontext(), on_copies_of_buffers(buffers_of or block)),
    )


@contextlib.contextmanager
def on_copies_of_buffers(block: nn.Module) -> Iterator[None]:
    """While the context lasts the block sees copies of its buffers: a second pass must not count twice in them.

    Batch norm would else move its running statistics at the first pass and once more at the second.
    """
    kept = [(module, dict(module._buffers)) for module in block.modules() if module._buffers]
    try:
        for module, buffers in kept:
            module._buffers.update({name: None if b is None else b.clone() for name, b in buffers.items()})
        yield
    finally:
        for module, buffers in kept:
            module._buffers.update(buffers)
