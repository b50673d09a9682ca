"""Continuous sparsification: MSRS's parametrisation with one temperature, a penalty on the mask itself, no clamp."""

import math
from typing import Literal

from torch import nn
from torch.optim import Optimizer

from msrs.config import config
from msrs.errors import ConfigError
from msrs.ranges import Count, NotNegative, Positive, Share
from msrs.sparse.msrs import Msrs
from msrs.sparse.schedules import Temperature


class ContinuousSparsification(Msrs):
    """Continuous sparsification, "Winning the Lottery with Continuous Sparsification" (Savarese, Silva, Maire, NeurIPS 2020).

    Mask sigma(beta s), beta from 1 to 200 geometrically (once an epoch in the code, `forward.per_epoch`), penalty
    lambda * sum(mask), logits from s0 = 0, the mask divided by the constant sigma(s0) whatever beta is, in the final
    ticket too; at the end 1[s > 0]. During the search s >= 0 counts as kept, as it is at the start of a round. In the
    paper s has its own SGD without decay and lambda = 1e-8 is fixed, which does not carry over to Adam: lambda is
    calibrated here. With `rounds` > 1 each round ends in s <- min(beta s, s0) and beta starts anew; weights are not
    rewound.
    """

    has_constant_scale = True

    @config
    class Config(Msrs.Config):
        """Continuous sparsification; further keys are those of msrs."""

        type: Literal["continuous"] = "continuous"
        epochs: Positive | None = None
        stop_flips: Share = 0.0
        finish: Literal["dense", "sparse"] = "sparse"
        min_density: Share = 0.0
        granularity: Literal["weight", "2:4", "neuron"] = "weight"
        strength: NotNegative | Literal["quantile", "steered"] = "quantile"
        backward: Temperature | None = None
        phi_start: float = 0.0
        phi_clamp: Positive | None = None
        penalty: Literal["linear", "sigmoid"] = "sigmoid"
        rounds: Count = 1  # the phase is cut into as many parts of equal length

    def start(self, model: nn.Module) -> None:
        """Make the logits; those at 0 are kept. Raises: ConfigError where there are more rounds than steps."""
        if self.config.rounds > self.num_steps:
            raise ConfigError(
                f"sparse.rounds: {self.config.rounds} rounds do not fit into a phase of {self.num_steps} steps; take fewer "
                "rounds or a longer phase (sparse.epochs, sparse.steps)."
            )
        super().start(model)
        for gate in self.logits.gates.values():
            gate.keeps_zero = True

    def scale(self, temperature: float) -> float:
        """1 / sigma(s0) at any temperature; 1 where nothing is rescaled or the mask is hard."""
        return super().scale(temperature if math.isinf(temperature) else 1.0)

    def round_steps(self) -> int:
        """Steps of one round."""
        return max(1, self.num_steps // self.config.rounds)

    def temperatures(self, step: int) -> tuple[float, float]:
        """(l_f, l_b), the same number, at a step inside its round."""
        length = self.round_steps()
        step = step - min(step // length, self.config.rounds - 1) * length
        forward = self.config.forward.value(step, length, self.steps_per_epoch)
        backward = self.config.backward
        return forward, backward.value(step, length, self.steps_per_epoch) if backward else forward

    def update(self, step: int, optimizer: Optimizer | None) -> None:
        """Move the logits; between rounds set the decided ones back to their start."""
        super().update(step, optimizer)
        if (step + 1) % self.round_steps() == 0 and (step + 1) // self.round_steps() < self.config.rounds:
            for gate in self.logits.gates.values():
                gate.phi.data.mul_(self.temperatures(step)[0]).clamp_(max=self.config.phi_start)
            self.logits.guard()

    def judge_epoch(self, epoch: int, optimizer: Optimizer | None) -> None:
        """In the last round alone: a round starts from logits that no ticket has."""
        if self.step >= self.round_steps() * (self.config.rounds - 1):
            super().judge_epoch(epoch, optimizer)

    def before_finish(self) -> None:
        """The ticket is 1[s > 0]."""
        for gate in self.logits.gates.values():
            gate.keeps_zero = False
        super().before_finish()
