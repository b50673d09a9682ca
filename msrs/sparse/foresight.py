"""Gradients of the untrained model over some batches, for methods that choose a mask before the first step."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from msrs.errors import TrainingError


@contextmanager
def quiet(model: nn.Module) -> Iterator[None]:
    """Inside, the model's loss is a function of batch and weights alone: no dropout, batch norms read the batch.

    Batch norms stay in training mode, for at step 0 their running statistics mean nothing; these, and all other
    buffers and flags, come back as they were. Recurrent layers stay in training mode too, which cuDNN needs for a
    gradient.
    """
    flags = {module: module.training for module in model.modules()}
    buffers = {name: copy.deepcopy(value) for name, value in model.named_buffers()}
    dropouts = {m: m.dropout for m in model.modules() if isinstance(m, nn.RNNBase)}
    model.eval()
    for module in model.modules():
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.RNNBase)):
            module.train()
        if isinstance(module, nn.RNNBase):
            module.dropout = 0.0
    try:
        yield
    finally:
        for module, flag in flags.items():
            module.training = flag
        for module, rate in dropouts.items():
            module.dropout = rate
        for name, value in model.named_buffers():
            value.data.copy_(buffers[name])


def mean_gradients(
    params: dict[str, nn.Parameter], batches: Iterable[Any], loss_fn: Callable[[Any], Tensor]
) -> dict[str, Tensor]:
    """Signed mean of dL/dtheta over batches and ranks, float32; the parameters' `.grad` is left alone.

    Raises: TrainingError where no batch came.
    """
    float_type = {name: torch.promote_types(p.dtype, torch.float32) for name, p in params.items()}
    sums = {name: torch.zeros_like(p, dtype=float_type[name]) for name, p in params.items()}
    count = 0
    for batch in batches:
        count += 1
        gradients = torch.autograd.grad(loss_fn(batch), list(params.values()), allow_unused=True)
        for total, gradient in zip(sums.values(), gradients, strict=True):
            if gradient is not None:
                total.add_(gradient)
    if count == 0:
        raise TrainingError("sparse: the method chooses its mask from batches before step 0, but none came.")
    for total in sums.values():
        total.div_(count)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(total)
            total.div_(torch.distributed.get_world_size())
    return sums
