"""MSRS over whole units: one logit a feed-forward unit, head or channel, for a physically narrower model."""

import torch
from torch import Tensor, nn

from msrs.errors import ConfigError
from msrs.log import LOGGER
from msrs.shards import whole
from msrs.sparse.gates import WeightGate
from msrs.sparse.units import UnitGroup, find_units, keeps_its_heads, spread_columns, sum_columns


class UnitGate(WeightGate):
    """One logit a unit; the mask multiplies the columns of the outgoing matrix, that is the unit's output.

    After batch norm and activation, therefore, which would revive a zero that came in. `cost` weighs the penalty by
    the unit's number of parameters, relative to the mean over all units.
    """

    def __init__(self, group: UnitGroup, theta: Tensor, phi_start: float, weight: int):
        self.group, self.weight, self.shape = group, weight, theta.shape
        super().__init__(group.outgoing, theta, phi_start)

    def start_logits(self, theta: Tensor, phi_start: float) -> Tensor:
        """One a unit."""
        return torch.full((self.group.count,), phi_start, dtype=torch.float32, device=theta.device)

    def spread(self, mask: Tensor) -> Tensor:
        """Over the columns."""
        return spread_columns(mask, self.group.width, len(self.shape))

    def gather(self, values: Tensor) -> Tensor:
        """Summed over the unit's columns, and over the rows that other processes hold."""
        return whole(sum_columns(values, self.group.width))

    def binary(self) -> Tensor:
        """`kept` over the matrix, bool; one row that stands for all."""
        return super().binary().expand(self.shape)

    def keep_at_least(self, share: float, margin: float, floor: float = 0.0) -> None:
        """At least one unit stays."""
        super().keep_at_least(max(share, 1 / self.phi.numel()), margin, floor)


def make_unit_gates(
    model: nn.Module, params: dict[str, nn.Parameter], phi_start: float, is_default: bool = False
) -> dict[str, UnitGate]:
    """A gate for each group whose outgoing matrix is among `params`; a warning tells of those that belong to none.

    Args: is_default, that nobody asked for these parameters by name: that a decoder's self-attention keeps its heads is
    then not told. Raises: ConfigError where there is no group.
    """
    groups = [group for group in find_units(model) if group.outgoing in params]
    if not groups:
        raise ConfigError(
            "sparse.granularity: neuron finds no feed-forward units, heads or channels among the chosen parameters; "
            "use weight, or widen sparse.include."
        )
    of_units = {name for group in groups for name in (group.outgoing, *(part.name for part in group.incoming))}
    left = [name for name in params if name not in of_units and not (is_default and keeps_its_heads(name))]
    if left:
        LOGGER.warning(
            "sparse.granularity: neuron masks whole units, and %d of the %d chosen matrices belong to none (%s%s): they "
            "stay dense; set sparse.granularity: weight to mask them.",
            len(left), len(params), left[0], ", ..." if len(left) > 1 else "",
        )  # fmt: skip
    costs = {group.outgoing: group.cost(model) for group in groups}
    mean = sum(costs[g.outgoing] * g.count for g in groups) / sum(g.count for g in groups)
    gates = {}
    for group in groups:
        gate = UnitGate(group, params[group.outgoing].data, phi_start, costs[group.outgoing])
        gate.cost = costs[group.outgoing] / mean
        gates[group.outgoing] = gate
    return gates
