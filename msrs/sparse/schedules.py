"""Curves over the steps of a mask's life: temperatures, drop rates, densities. Pure functions, checked by hand."""

import math
from typing import Literal

import pydantic

from msrs.config import config
from msrs.ranges import NotNegative, Share


def geometric(start: float, end: float, index: float, count: float) -> float:
    """`start` at index 0, `end` at index count - 1, a straight line on a log scale between.

    >>> [round(geometric(1, 200, i, 85), 4) for i in (0, 1, 42, 84)]
    [1.0, 1.0651, 14.1421, 200.0]
    """
    return start * (end / start) ** (min(index / max(count - 1, 1), 1.0))


def cosine_drop(rate: float, step: float, end_step: float) -> float:
    """RigL's share of weights to replace: rate/2 (1 + cos(pi t/T)), 0 after T.

    >>> [round(cosine_drop(0.3, t, 1000), 5) for t in (0, 100, 250, 500, 750, 900, 1000)]
    [0.3, 0.29266, 0.25607, 0.15, 0.04393, 0.00734, 0.0]
    """
    return rate / 2 * (1 + math.cos(math.pi * min(step / end_step, 1.0)))


def cosine_between(start: float, end: float, share: float) -> float:
    """Half a cosine from `start` to `end` as `share` goes from 0 to 1.

    >>> [round(cosine_between(0.5, 0.005, s), 5) for s in (0, 0.25, 0.5, 0.75, 1)]
    [0.5, 0.42751, 0.2525, 0.07749, 0.005]
    """
    return end + (start - end) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2


def cubic_density(start: float, end: float, share: float) -> float:
    """Zhu and Gupta's cubic (2017) on density: fast pruning first, slow last; share is (t - t0) / (n dt), held in 0..1.

    >>> [round(1 - cubic_density(0.5, 0.1, i / 5), 4) for i in range(6)]
    [0.5, 0.6952, 0.8136, 0.8744, 0.8968, 0.9]
    """
    share = min(max(share, 0.0), 1.0)
    return end + (start - end) * (1 - share) ** 3


@config
class Temperature:
    """How a temperature l moves over the mask phase."""

    # constant: `start` all along; geometric: from `start` to `end`, straight on a log scale; two_stage: `start`, then
    # `end` from the share `switch` of the phase on; straight_through: infinite, a hard mask (for `forward` only).
    curve: Literal["constant", "geometric", "two_stage", "straight_through"] = "geometric"
    start: NotNegative = 1.0
    end: NotNegative = 200.0
    switch: Share = 0.5
    per_epoch: bool = False  # move once an epoch, as the code of continuous sparsification does, not every step

    @pydantic.model_validator(mode="after")
    def _check(self):
        if self.curve == "geometric" and not (self.start and self.end):
            raise ValueError(
                "a geometric curve has no 0 on it; take a start and an end above 0, or the curve constant or two_stage"
            )
        return self

    def value(self, step: int, num_steps: int, steps_per_epoch: int = 1) -> float:
        """l at a step of the phase; infinity for straight_through."""
        if self.per_epoch:
            step, num_steps = step // steps_per_epoch, math.ceil(num_steps / steps_per_epoch)
        if self.curve == "straight_through":
            return math.inf
        if self.curve == "constant":
            return self.start
        if self.curve == "two_stage":
            return self.start if step < self.switch * num_steps else self.end
        return geometric(self.start, self.end, step, num_steps)
