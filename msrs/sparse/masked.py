"""The common part of methods that keep theta itself masked: zeros stay zero, and at some steps the mask moves."""

import math
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from msrs.shards import part_like
from msrs.sparse.base import SparseMethod
from msrs.sparse.ranking import keep_largest
from msrs.sparse.zeros import keeps_zeros, mask_gradients, mask_moments, mask_weights


class MaskedMethod(SparseMethod):
    """theta stays theta * mask after every step; `moves_at` tells the steps after which `move` gives another mask.

    The gradient of a masked weight is computed all the same (it is dL/dw~, free with a dense forward pass), kept
    aside at the steps at which the mask moves, and zero for the optimiser. Entries that leave lose their moments,
    entries that come start at zero with moments of zero. Unlike the reference code of RigL, the optimiser's step is
    made at those steps too, before the mask moves.
    """

    has_exact_zeros = True
    needs_dense_gradient = False

    def __init__(self, config: Any):
        super().__init__(config)
        self.dense: dict[str, Tensor] = {}

    def begin(self) -> None:
        """The first mask, applied to theta."""
        self.mask = {name: part_like(mask, self.params[name]) for name, mask in self.first_mask().items()}
        mask_weights(self.params, self.mask)

    def first_mask(self) -> dict[str, Tensor]:
        """The mask at step 0, as whole tensors; nothing is masked where a method does not say otherwise."""
        return self.mask

    def moves_at(self, step: int) -> bool:
        """Whether the mask moves after this step."""
        return False

    def move(self, step: int, dense: dict[str, Tensor]) -> dict[str, Tensor]:
        """The next mask. Args: dense, dL/dw~ by name where `needs_dense_gradient` (no entry: no gradient came)."""
        return self.mask

    def read_gradients(self, step: int) -> None:
        """Keep the dense gradients where the mask is about to move, then mask them."""
        if self.needs_dense_gradient and self.moves_at(step):
            self.dense = {n: p.grad.detach().clone() for n, p in self.params.items() if p.grad is not None}
        mask_gradients(self.params, self.mask)

    def update(self, step: int, optimizer: Optimizer | None) -> None:
        """Hold the zeros, or move the mask."""
        if not keeps_zeros(optimizer):
            mask_weights(self.params, self.mask)
        if not self.moves_at(step):
            return
        before = self.mask
        self.mask = self.move(step, self.dense)
        self.dense = {}
        mask_weights(self.params, self.mask)
        mask_moments(optimizer, self.params, {name: m & before[name] for name, m in self.mask.items()})

    def magnitudes(self) -> dict[str, Tensor]:
        """|theta| by name, float32, below zero where masked, so that a live weight of zero outranks a dead one."""
        return {name: p.data.abs().float().masked_fill(~self.mask[name], -1.0) for name, p in self.params.items()}

    def least(self) -> dict[str, int]:
        """The smallest count that `min_density` allows each tensor."""
        return {name: math.ceil(self.config.min_density * p.numel()) for name, p in self.params.items()}


def replace(weight: Tensor, mask: Tensor, growth: Tensor, count: int) -> Tensor:
    """Drop the `count` smallest live weights, then grow as many by `growth` among everything that was not kept.

    What was just dropped may return (it then keeps its value). The number of live weights stays.
    """
    alive = int(mask.sum())
    count = min(count, alive)
    kept = keep_largest(weight.abs().float().masked_fill(~mask, -1.0), alive - count)
    return kept | keep_largest(growth.float().masked_fill(kept, -math.inf), count)
