"""Exact zeros: in weights, in gradients, in the optimiser's moments; and weights that stand in for others for a while."""

from torch import Tensor, nn
from torch.optim import Optimizer

from msrs.shards import is_part


def mask_weights(params: dict[str, nn.Parameter], mask: dict[str, Tensor]) -> None:
    """theta <- theta * mask."""
    for name, parameter in params.items():
        parameter.data.mul_(mask[name])


def mask_gradients(params: dict[str, nn.Parameter], mask: dict[str, Tensor]) -> None:
    """Gradients of masked weights <- 0, so that clipping and moments see the survivors only."""
    for name, parameter in params.items():
        if parameter.grad is not None:
            parameter.grad.mul_(mask[name])


def mask_moments(optimizer: Optimizer | None, params: dict[str, nn.Parameter], keep: dict[str, Tensor]) -> None:
    """Zero every tensor of the optimiser's state that has its parameter's shape, where `keep` is False.

    Under AdamW a weight whose gradient, moments and value are zero stays exactly zero, decay included.
    """
    for name, mask in keep.items():
        parameter = params[name]
        state = optimizer.state.get(parameter, {}) if optimizer is not None else {}
        for value in state.values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                value.mul_(mask)


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
            parameter.data.copy_(effective)
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
