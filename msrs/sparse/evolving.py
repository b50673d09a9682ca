"""Dynamic sparse training: SET and RigL drop small weights and grow others, the count of each tensor constant."""

from typing import Literal

import torch
from torch import Tensor, nn

from msrs.config import config
from msrs.log import LOGGER
from msrs.ranges import Count, Share
from msrs.sparse.densities import Distribution
from msrs.sparse.masked import MaskedMethod, replace
from msrs.sparse.ranking import keep_largest, random_scores
from msrs.sparse.schedules import cosine_drop
from msrs.sparse.static import random_mask


class Rigl(MaskedMethod):
    """RigL: grow where the dense gradient is largest (Evci, Gale, Menick, Castro, Elsen, ICML 2020).

    Every `interval` steps each tensor drops a share of its smallest weights and grows as many by |dL/dw~| among all
    that was not kept; grown weights start at zero. An update comes with the gradient of step `interval`, counted from
    0, which is the next epoch's first where the interval is an epoch. The paper trains with SGD and momentum; under
    AdamW a step moves a weight by about the learning rate whatever its gradient, so an interval must leave a new weight
    the time to outgrow the drop. The paper's are 100 steps and a share of .3 that falls by a cosine; ours: shorter
    intervals in a short phase, `end` as a share of it, and the optimiser's step at updates, which its code leaves out.
    """

    needs_dense_gradient = True

    @config
    class Config(MaskedMethod.Config):
        """RigL."""

        type: Literal["rigl"] = "rigl"
        distribution: Distribution = "erk"  # how target_density is shared out among the tensors
        # Steps between two updates; null: 100, or less in a short phase so that 20 updates fit, but not below 10.
        interval: Count | None = None
        drop_rate: Share = 0.3  # share of a tensor's weights replaced at the first update
        drop_decay: Literal["cosine", "constant"] = "cosine"  # the share goes to 0 at the last update, or stays
        end: Share = 0.75  # updates stop at this share of the phase

    def first_mask(self) -> dict[str, Tensor]:
        """Random, exact counts."""
        return random_mask(self, self.config.target_density, self.config.distribution)

    def start(self, model: nn.Module) -> None:
        """Tell where no update fits into the phase: it is then a static mask under another name."""
        if self.interval() >= self.config.end * self.num_steps:
            LOGGER.warning(
                "sparse.interval: the mask of %s never moves: its first update would be at step %d of a phase of %d steps, "
                "and sparse.end, %g, stops them at that share of it; take a smaller interval or a longer phase.",
                self.config.type, self.interval(), self.num_steps, self.config.end,
            )  # fmt: skip

    def interval(self) -> int:
        """Steps between two updates."""
        return self.config.interval or max(10, min(100, int(self.config.end * self.num_steps) // 20))

    def moves_at(self, step: int) -> bool:
        """At every interval until the end."""
        return step > 0 and step % self.interval() == 0 and step < self.config.end * self.num_steps

    def drop_share(self, step: int) -> float:
        """Share of weights to replace at a step."""
        if self.config.drop_decay == "constant":
            return self.config.drop_rate
        return cosine_drop(self.config.drop_rate, step, self.config.end * self.num_steps)

    def move(self, step: int, dense: dict[str, Tensor]) -> dict[str, Tensor]:
        """Drop by magnitude, grow by gradient; a tensor without a gradient keeps its mask."""
        result = dict(self.mask)
        for name, gradient in dense.items():
            count = int(int(self.mask[name].sum()) * self.drop_share(step))
            result[name] = replace(self.params[name].data, self.mask[name], gradient.abs(), count)
        return result


class Set(Rigl):
    """SET: grow at random (Mocanu et al., Nature Communications 2018).

    The paper updates at each epoch's end but the last, at a constant share of .3, and drops the positive and the
    negative weights closest to zero apart: `drop: sign, drop_decay: constant, end: 1`, with epochs as long as the
    first. Later code (RigL's, and In-Time Over-Parameterization's with a long interval) drops by magnitude. That this
    is the default here, with RigL's cosine and `end`, is ours: so SET differs from `rigl` in what grows and in how
    often alone. Among the places that may grow are those dropped a moment before; these keep their values.
    """

    needs_dense_gradient = False

    @config
    class Config(Rigl.Config):
        """SET."""

        type: Literal["set"] = "set"
        interval: Count | None = None  # steps between two updates; null: as many as the first epoch has
        drop: Literal["magnitude", "sign"] = "magnitude"  # smallest |w|, or those closest to zero on each side

    def interval(self) -> int:
        """Steps between two updates."""
        return self.config.interval or self.steps_per_epoch

    def moves_at(self, step: int) -> bool:
        """With the last step of every interval, so that an epoch ends with its update."""
        return super().moves_at(step + 1)

    def move(self, step: int, dense: dict[str, Tensor]) -> dict[str, Tensor]:
        """Drop, then grow at random; each tensor's count stays."""
        result = {}
        for name, parameter in self.params.items():
            weight, mask = parameter.data, self.mask[name]
            if self.config.drop == "sign":
                kept = keep_by_sign(weight, mask, self.drop_share(step))
            else:
                count = int(int(mask.sum()) * self.drop_share(step))
                kept = keep_largest(weight.abs().float().masked_fill(~mask, -1.0), int(mask.sum()) - count)
            scores = random_scores(weight, self.seed, "grow", name, step).masked_fill_(kept, -1.0)
            result[name] = kept | keep_largest(scores, int(mask.sum()) - int(kept.sum()))
        return result


def keep_by_sign(weight: Tensor, mask: Tensor, share: float) -> Tensor:
    """The live weights without the `share` of positive and of negative ones closest to zero (rounded apart)."""
    kept = torch.zeros_like(mask)
    for side in (mask & (weight >= 0), mask & (weight < 0)):
        count = int(side.sum())
        kept |= keep_largest(weight.abs().float().masked_fill(~side, -1.0), count - round(share * count)) & side
    return kept
