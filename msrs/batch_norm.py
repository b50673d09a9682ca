"""Batch normalisation over what several processes hold, as if one of them held it all.

Alone, these are torch's own layers. Inside `joined`, the processes of a group normalise their parts of a batch by the
statistics of all parts. torch's SyncBatchNorm does the same on GPUs only, and knows no process without a part.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn


class _Normalise(torch.autograd.Function):
    """y = (x - mean) / deviation * weight + bias, where mean and deviation hang on the x of all processes."""

    @staticmethod
    def forward(ctx, x, weight, bias, mean, inverse_deviation, count, norm):  # noqa: D102
        scale = inverse_deviation if weight is None else inverse_deviation * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        ctx.save_for_backward(x, weight, mean, inverse_deviation)
        ctx.count, ctx.group, ctx.is_counted, ctx.has_bias = count, norm.group, norm.is_counted, bias is not None
        return torch.addcmul(_over(shift, x), x.float(), _over(scale, x)).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):  # noqa: D102
        x, weight, mean, inverse_deviation = ctx.saved_tensors
        slope = gradient.float()
        normalised = (x.float() - _over(mean, x)) * _over(inverse_deviation, x)
        own = torch.stack([_total(slope), _total(slope * normalised)])
        everyone = own.double()
        _sum_over(ctx.group, everyone)
        # What was not counted in the statistics has no influence through them either.
        through_mean, through_deviation = (everyone * (ctx.is_counted / ctx.count)).float()
        slope = slope - _over(through_mean, x) - normalised * _over(through_deviation, x)
        scale = inverse_deviation if weight is None else inverse_deviation * weight
        to_weight = None if weight is None else own[1].to(weight.dtype)
        to_bias = own[0] if ctx.has_bias else None
        return (slope * _over(scale, x)).to(x.dtype), to_weight, to_bias, None, None, None, None


class _Joint(nn.modules.batchnorm._BatchNorm):
    group: Any = None  # processes whose parts are normalised together; None: this process is alone
    is_counted = True  # False: what this process holds is a stand-in, which no statistics see

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (N, C, ...). Returns: the same shape."""
        # torch refuses one value a channel, which has no spread: an utterance of one frame would end a run.
        if not self.training or self.group is None and x.numel() > x.shape[1]:
            return super().forward(x)
        with torch.no_grad():
            mean, variance, count = self._statistics(x)
            keep = 1.0 - self.momentum
            self.running_mean.mul_(keep).add_(mean, alpha=self.momentum)
            self.running_var.mul_(keep).add_(variance * (self.momentum * count / (count - 1).clamp_min(1)))
            self.num_batches_tracked.add_(1)
            inverse_deviation = (variance + self.eps).rsqrt()
        return _Normalise.apply(x, self.weight, self.bias, mean, inverse_deviation, count, self)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of all parts: mean (C,), biased variance (C,), and how many values a channel they have ()."""
        variance, mean = torch.var_mean(x.float(), _dims(x), correction=0)
        mean, variance = mean.double(), variance.double()
        size = torch.full_like(mean, x.numel() / x.shape[1])
        sums = torch.stack([size, size * mean, size * (variance + mean.square())]) * self.is_counted
        _sum_over(self.group, sums)
        mean = sums[1] / sums[0]
        variance = (sums[2] / sums[0] - mean.square()).clamp_min(0.0)
        return mean.float(), variance.float(), sums[0, 0]


class BatchNorm1d(_Joint, nn.BatchNorm1d):
    """torch's BatchNorm1d, over (N, C) or (N, C, S)."""


class BatchNorm2d(_Joint, nn.BatchNorm2d):
    """torch's BatchNorm2d, over (N, C, H, W)."""


def joint_norms(model: nn.Module) -> list[_Joint]:
    """The norms of a model that can be joined."""
    return [module for module in model.modules() if isinstance(module, _Joint)]


@contextlib.contextmanager
def joined(model: nn.Module, group: Any, is_counted: bool = True) -> Iterator[None]:
    """Inside, forward and backward passes in training mode take the statistics of all processes of `group`.

    All of them have to make the same passes. A process without a part passes anything, with `is_counted` False.
    """
    norms = joint_norms(model)
    for norm in norms:
        norm.group, norm.is_counted = group, is_counted
    try:
        yield
    finally:
        for norm in norms:
            norm.group, norm.is_counted = None, True


def _sum_over(group: Any, values: Tensor) -> None:
    if group is not None:
        torch.distributed.all_reduce(values, group=group)


def _dims(x: Tensor) -> list[int]:
    return [0, *range(2, x.dim())]


def _total(values: Tensor) -> Tensor:
    return values.sum(_dims(values))


def _over(channel: Tensor, x: Tensor) -> Tensor:
    """(C,) as it is multiplied with x (N, C, ...)."""
    return channel.reshape(-1, *[1] * (x.dim() - 2))
