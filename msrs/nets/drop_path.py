"""Stochastic depth: residual branches that some utterances pass by in training."""

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """A residual branch's output, zero for a share `rate` of the utterances of a training batch (Huang et al., ECCV 2016).

    What is kept is divided by 1 - rate, so that its mean is that of evaluation, where nothing is dropped. The draw is for
    the utterance as a whole: a branch dropped frame by frame would be dropout of other grain.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, values: Tensor) -> Tensor:
        """Args: values (B, ..., D). Returns: the same shape."""
        if not self.training or not self.rate:
            return values
        keep = 1.0 - self.rate
        kept = torch.rand(values.shape[0], *[1] * (values.dim() - 1), device=values.device) < keep
        return values * (kept.to(values.dtype) / keep)


def drop_path_rates(last: float, num_blocks: int) -> list[float]:
    """The rate of each block: growing in even steps to `last` at the last block, for early blocks feed all others.

    >>> drop_path_rates(0.3, 3)
    [0.1, 0.2, 0.3]
    """
    return [round(last * (block + 1) / num_blocks, 12) for block in range(num_blocks)]
