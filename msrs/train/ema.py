"""A running mean of the weights, which is what is validated and kept."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from msrs.shards import own_part
from msrs.sparse.base import DENSE, SPARSE, SparseMethod


class RunningMean:
    """Exponential mean of weights and of normalisation statistics (Polyak and Juditsky, 1992, in its usual form).

    Args: model; sparse, whose exact zeros the mean shares, and at the end of whose phase it begins anew where that changes
    the network, for a mean across it would mix two; decay a step, less during the first steps after a beginning.
    """

    def __init__(self, model: nn.Module, sparse: SparseMethod, decay: float):
        self.model, self.sparse, self.decay = model, sparse, decay
        self.begin()

    def begin(self) -> None:
        """Start from the model as it is."""
        self.count, self.phase = 0, self.sparse.phase
        self.mean = {name: value.detach().clone() for name, value in self._values().items()}

    def _values(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.model.state_dict().items() if value.is_floating_point()}

    def follow_phase(self) -> bool:
        """Begin anew where the mask phase has ended since and changed the network. Returns: whether it was so."""
        has_ended = self.phase != self.sparse.phase
        goes_on = self.sparse.phase == SPARSE and self.sparse.has_exact_zeros
        if has_ended and not goes_on:
            self.begin()
        self.phase = self.sparse.phase
        return has_ended and not goes_on

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step; call when the parameters hold theta."""
        if self.follow_phase():
            return
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        values = self._values()
        means, new = ([own_part(found[name]) for name in self.mean] for found in (self.mean, values))
        torch._foreach_lerp_(means, new, 1.0 - decay)
        if self.phase != DENSE:
            for name, parameter in self.sparse.params.items():
                self.mean[name].mul_(parameter.data != 0)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model holds the mean; enter the sparse method's `applied` after this one."""
        values = self._values()
        kept = {name: value.detach().clone() for name, value in values.items()}
        with torch.no_grad():
            for name, value in values.items():
                value.copy_(self.mean[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in values.items():
                    value.copy_(kept[name])

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {"mean": self.mean, "count": self.count, "phase": self.phase}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Counterpart of `state_dict`."""
        self.count, self.phase = state["count"], state["phase"]
        for name, value in self.mean.items():
            value.copy_(state["mean"][name])
