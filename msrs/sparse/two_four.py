"""2:4 by magnitude: SR-STE, or chosen once."""

from typing import Literal

from torch import nn
from torch.optim import Optimizer

from msrs.config import config
from msrs.ranges import NotNegative, Share
from msrs.sparse.base import SparseMethod
from msrs.sparse.gates import check_two_of_four, tell_half, two_of_four
from msrs.sparse.zeros import factor, mask_gradients, mask_moments, mask_weights


class TwoFour(SparseMethod):
    """2:4 magnitude masks learned with SR-STE (Zhou et al., "Learning N:M fine-grained structured sparse networks", ICLR 2021).

    The forward pass sees the two largest of each four consecutive inputs, the gradient goes straight through to all
    weights, and masked ones are drawn to zero by `decay` * (1 - mask) * theta in the gradient. `choose: once` is the
    one-shot way (NVIDIA's ASP, from general knowledge): train dense until `start`, prune, train on with that mask.
    The density is .5, whatever target_density says.
    """

    @config
    class Config(SparseMethod.Config):
        """2:4 by magnitude."""

        type: Literal["sr_ste"] = "sr_ste"
        start: Share = 0.0  # share of the phase before which the model is dense
        choose: Literal["always", "once"] = "always"  # the mask anew every step, or once at `start`
        decay: NotNegative = 2e-4  # pull of masked weights to zero (the paper's value, under SGD)

    def start(self, model: nn.Module) -> None:
        """Check that groups of four fit."""
        tell_half(self.config.target_density)
        for name, parameter in self.params.items():
            check_two_of_four(name, parameter)

    def begin(self) -> None:
        """The first mask, where it acts from the first step on; against it the first epoch's flips are counted."""
        if self.is_masking(0):
            self.choose_mask()

    def choose_mask(self) -> None:
        """That of the weights as they are."""
        self.mask = {name: two_of_four(p.data.abs()) for name, p in self.params.items()}

    def is_masking(self, step: int) -> bool:
        """Whether the mask acts at a step."""
        return step >= self.config.start * self.num_steps

    def show(self, step: int, is_training: bool = True) -> None:
        """theta * mask in theta's place."""
        if not self.is_masking(step):
            return
        is_first = step - 1 < self.config.start * self.num_steps
        if self.config.choose == "always" or (is_first and is_training):  # evaluation may be of a running mean
            self.choose_mask()
        for name, parameter in self.params.items():
            self.swap.put(name, parameter, parameter.data * factor(self.mask[name]))

    def read_gradients(self, step: int) -> None:
        """Straight through, with the pull; or masked."""
        if not self.is_masking(step):
            return
        if self.config.choose == "once":
            mask_gradients(self.params, self.mask)
            return
        for name, parameter in self.params.items():
            if parameter.grad is not None:
                parameter.grad.add_(parameter.data * factor(~self.mask[name]), alpha=self.config.decay)

    def update(self, step: int, optimizer: Optimizer | None) -> None:
        """A mask chosen once holds its zeros."""
        if self.config.choose == "once" and self.is_masking(step):
            mask_weights(self.params, self.mask)
            mask_moments(optimizer, self.params, self.mask)

    def before_finish(self) -> None:
        """The mask of the final weights; also where it is chosen once and `start` was too late for a step of the phase."""
        if self.config.choose == "always" or not self.is_masking(self.step):
            self.choose_mask()
