"""LayerScale: a learned gain per channel on a residual branch."""

import torch
from torch import Tensor, nn


class LayerScale(nn.Module):
    """x -> gain * x, gain (D,) starting at `start` (Touvron et al., CaiT, ICCV 2021; RAVEn and USR start at 0.1).

    >>> LayerScale(2, 0.1)(torch.tensor([1.0, -1.0])).tolist()
    [0.10000000149011612, -0.10000000149011612]
    """

    def __init__(self, size: int, start: float):
        super().__init__()
        self.gain = nn.Parameter(torch.full((size,), start))

    def forward(self, values: Tensor) -> Tensor:
        """Args: values (..., D). Returns: the same shape."""
        return values * self.gain


def branch_scale(size: int, start: float | None) -> nn.Module:
    """LayerScale where `start` is given, else the identity."""
    return nn.Identity() if start is None else LayerScale(size, start)
