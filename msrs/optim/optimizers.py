"""The optimiser of the weights."""

from typing import Any

import torch
from torch import nn

from msrs.config import Free, config
from msrs.ranges import NotNegative, Positive, ShareBelowOne


@config
class OptimizerConfig:
    """AdamW (Loshchilov and Hutter, ICLR 2019)."""

    lr: NotNegative = 1e-3  # peak learning rate
    betas: tuple[ShareBelowOne, ShareBelowOne] = (0.9, 0.98)
    weight_decay: NotNegative = 0.03  # matrices and kernels only: norms, biases and gains are left alone
    eps: Positive = 1e-8
    fused: Free[bool] = True  # one kernel for all weights, on a GPU alone: results of a CPU keep their bits


def make_optimizer(model: nn.Module, options: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over all parameters that want a gradient; weight decay on those of two or more dimensions."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    is_fused = options.fused and all(parameter.is_cuda for parameter in parameters)
    return torch.optim.AdamW(groups, lr=options.lr, betas=options.betas, eps=options.eps, fused=is_fused or None)


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a state that the same optimiser had; whether it is fused stays as it was made now."""
    groups = zip(state["param_groups"], optimizer.param_groups, strict=True)
    made_now = [{**before, "fused": now.get("fused")} for before, now in groups]
    optimizer.load_state_dict({**state, "param_groups": made_now})
