"""Exact zeros: in weights, in gradients, in the optimiser's moments; and weights that stand in for others for a while."""

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from msrs.shards import is_part, own_part


def factor(mask: Tensor) -> Tensor:
    """What masks a matrix, or the part of it that this process holds, by multiplication.

    Bytes in place of bools, which torch turns into numbers 2.5 times slower on a CPU; one row where all rows are alike.
    """
    return rows_in_memory(mask).view(torch.uint8)


def rows_in_memory(mask: Tensor) -> Tensor:
    """What this process holds of a mask: its part, or the one row that stands for all."""
    own = own_part(mask)
    return own[:1] if own.dim() > 1 and own.stride(0) == 0 else own


def fold(mask: Tensor) -> Tensor:
    """The same mask with one row in memory where all rows are alike, as those of whole units are."""
    if is_part(mask) or mask.dim() < 2 or not bool((mask == mask[:1]).all()):
        return mask
    return mask[:1].clone().expand(mask.shape)


def mask_weights(params: dict[str, nn.Parameter], mask: dict[str, Tensor]) -> None:
    """theta <- theta * mask."""
    for name, parameter in params.items():
        own_part(parameter.data).mul_(factor(mask[name]))


def keeps_zeros(optimizer: Optimizer | None) -> bool:
    """Whether a weight that is zero, with a gradient and moments of zero, is exactly zero after the optimiser's step.

    So it is with those that move each weight by its own gradient and moments: decay and momentum of zero are zero.
    """
    return isinstance(optimizer, (Adam, AdamW, SGD))


def mask_gradients(params: dict[str, nn.Parameter], mask: dict[str, Tensor]) -> None:
    """Gradients of masked weights <- 0, so that clipping and moments see the survivors only."""
    for name, parameter in params.items():
        if parameter.grad is not None:
            own_part(parameter.grad).mul_(factor(mask[name]))


def mask_moments(optimizer: Optimizer | None, params: dict[str, nn.Parameter], keep: dict[str, Tensor]) -> None:
    """Zero every tensor of the optimiser's state that has its parameter's shape, where `keep` is False.

    Under AdamW a weight whose gradient, moments and value are zero stays exactly zero, decay included.
    """
    for name, mask in keep.items():
        parameter = params[name]
        state = optimizer.state.get(parameter, {}) if optimizer is not None else {}
        for value in state.values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                own_part(value).mul_(factor(mask))


class Swap:
    """Tensors that stand in for parameters' own; no copy is made, `parameter.data` points elsewhere for a while.

    Of a parameter that is held in parts the values are exchanged, for what puts it together knows where they lie. Safe
    for autograd because it happens between graphs: before the first forward of a step and after its last backward.
    """

    def __init__(self) -> None:
        self.theta: dict[str, Tensor] = {}

    def put(self, name: str, parameter: nn.Parameter, effective: Tensor) -> None:
        """`effective` in place of the parameter's own values."""
        if is_part(parameter):
            self.theta[name] = parameter.data.clone()
            own_part(parameter.data).copy_(own_part(effective))
            return
        self.theta[name] = parameter.data
        parameter.data = effective

    def restore(self, params: dict[str, nn.Parameter]) -> None:
        """All parameters' own values back."""
        for name, theta in self.theta.items():
            if is_part(theta):
                params[name].data.copy_(theta)
            else:
                params[name].data = theta
        self.theta = {}
