"""From dense (or half dense) to sparse during training: gradual magnitude pruning and GraNet."""

import math
from typing import Literal

from torch import Tensor, nn

from msrs.config import config
from msrs.errors import ConfigError
from msrs.ranges import Count, Share
from msrs.sparse.densities import count_kept
from msrs.sparse.masked import MaskedMethod, replace
from msrs.sparse.ranking import keep_largest, keep_largest_of_all
from msrs.sparse.schedules import cosine_between, cubic_density
from msrs.sparse.static import random_mask


class GradualPruning(MaskedMethod):
    """Gradual magnitude pruning, GMP (Zhu and Gupta, 2017, "To prune, or not to prune").

    The smallest weights go at `start`, start + interval, ..., `end`, by the cubic schedule. The paper prunes each
    layer to the same sparsity; `scope: global`, as in GraNet's code, ranks all layers together. Pruned weights are
    zero and stay so; the paper's code keeps their last values, which may return should the others shrink below them.
    """

    @config
    class Config(MaskedMethod.Config):
        """GMP."""

        type: Literal["gmp"] = "gmp"
        start_density: Share = 1.0
        start: Share = 0.1  # first pruning, as a share of the phase; the end of the warm-up is a good place
        end: Share = 0.5  # last pruning, while the learning rate is still high
        interval: Count = 200  # steps between two prunings; less where 20 would not fit
        scope: Literal["global", "layer"] = "global"  # rank all tensors together, or prune each to the same density

    def start(self, model: nn.Module) -> None:
        """Check the order. Raises: ConfigError where the last pruning would come before the first, or add weights."""
        if self.config.start_density < self.config.target_density:
            raise ConfigError(
                f"sparse.start_density: {self.config.start_density:g} is below sparse.target_density, "
                f"{self.config.target_density:g}, and pruning only takes weights away; raise the one or lower the other."
            )
        if self.config.start > self.config.end:
            raise ConfigError(
                f"sparse.start: {self.config.start:g} is after sparse.end, {self.config.end:g}; prune from start to end."
            )

    def times(self) -> tuple[int, int, int]:
        """(first step, interval, number of prunings after the first)."""
        shares = self.config.start, self.config.end
        first, last = (min(int(share * self.num_steps), self.num_steps - 1) for share in shares)
        interval = min(self.config.interval, max(1, (last - first) // 20))
        return first, interval, (last - first) // interval

    def moves_at(self, step: int) -> bool:
        """At the prunings."""
        first, interval, count = self.times()
        return step >= first and (step - first) % interval == 0 and (step - first) // interval <= count

    def density_at(self, step: int) -> float:
        """Density that the pruning at a step leaves."""
        first, interval, count = self.times()
        share = (step - first) / (count * interval) if count else 1.0
        return cubic_density(self.config.start_density, self.config.target_density, share)

    def move(self, step: int, dense: dict[str, Tensor]) -> dict[str, Tensor]:
        """Prune by magnitude."""
        density, scores = self.density_at(step), self.magnitudes()
        if self.config.scope == "layer":
            floor = self.config.min_density
            pruned = {name: keep_largest(s, count_kept(s.numel(), density, floor)) for name, s in scores.items()}
        else:
            total = sum(s.numel() for s in scores.values())
            pruned = keep_largest_of_all(scores, count_kept(total, density), self.least())
        return {name: mask & self.mask[name] for name, mask in pruned.items()}


class GraNet(GradualPruning):
    """GraNet: gradual pruning with neuroregeneration (Liu et al., NeurIPS 2021).

    After each pruning every tensor replaces a share of its smallest weights by those with the largest gradients; the
    share follows a cosine from `regrow_start` to `regrow_end` over the phase. The code stops one pruning short of the
    target density; here the last one reaches it.
    """

    needs_dense_gradient = True

    @config
    class Config(GradualPruning.Config):
        """GraNet."""

        type: Literal["granet"] = "granet"
        start_density: Share = 0.5  # of an ERK mask at step 0; 1: dense
        regrow_start: Share = 0.5  # share of live weights replaced after a pruning, at the start of the phase
        regrow_end: Share = 0.005  # and at its end

    def first_mask(self) -> dict[str, Tensor]:
        """ERK at the start density."""
        return random_mask(self, self.config.start_density, "erk")

    def move(self, step: int, dense: dict[str, Tensor]) -> dict[str, Tensor]:
        """Prune, then replace."""
        pruned = super().move(step, dense)
        share = cosine_between(self.config.regrow_start, self.config.regrow_end, step / self.num_steps)
        for name, gradient in dense.items():
            count = math.ceil(share * int(pruned[name].sum()))
            pruned[name] = replace(self.params[name].data, pruned[name], gradient.abs(), count)
        return pruned
