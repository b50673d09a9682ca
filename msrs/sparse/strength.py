"""The penalty's strength lambda: a number, a quantile of the logits' gradients, or steered to a density."""

from typing import Any

import torch
from torch import Tensor

from msrs.shards import whole

_DECAY = 0.95  # of the running mean of dL/dphi during the calibration
_SAMPLE = 1 << 22  # entries of a tensor beyond which a quantile is taken over an even sample


class Strength:
    """lambda of every masked tensor, kept on the device so that a step needs no synchronisation.

    A weight that does not help is pruned by any lambda >= 0, one that helps survives if its force |dL/dphi| is larger
    than what lambda pulls it down by: lambda itself under the linear penalty, lambda l_b sigma'(l_b phi) under the
    sigmoid one, either times the cost of a unit. So lambda = the q-quantile of force / pull of lambda = 1,
    q = 2 s - 1 for a target sparsity s (at least 0.1), aims at s. It means the same at every model size and loss scale;
    an absolute number spans four decades between them (our derivation and measurement, not the paper's). The force is
    the size of the signed mean: that of single gradients is mostly noise, which does not hold a logit up.

    Args: value, a number, "quantile" or "steered"; target_density; num_steps of calibration, in which logits stand
        still; rate of steering, in units of the calibrated lambda a step; per_tensor, one quantile a tensor instead of
        one of all.
    """

    def __init__(self, value: float | str, target_density: float, num_steps: int, rate: float, per_tensor: bool):
        self.value, self.target_density, self.rate, self.per_tensor = value, target_density, rate, per_tensor
        self.num_steps = 0 if isinstance(value, float) else num_steps
        self.means: dict[str, Tensor] = {}
        self.current: dict[str, Tensor] = {}
        self.unit: dict[str, Tensor] = {}  # lambda as calibrated
        self.grown: dict[str, Tensor] = {}  # lambda as steering raised it
        self.num_seen = 0

    def attach(self, logits: dict[str, Tensor]) -> None:
        """Start for these logits."""
        value = self.value if isinstance(self.value, float) else 0.0
        self.current = {n: torch.tensor(value, dtype=torch.float32, device=phi.device) for n, phi in logits.items()}

    @property
    def is_steered(self) -> bool:
        """Whether lambda follows the density."""
        return self.value == "steered" and not self.is_calibrating

    @property
    def is_calibrating(self) -> bool:
        """Whether the logits have to stand still."""
        return self.num_seen < self.num_steps

    def observe(self, gradients: dict[str, Tensor], pulls: dict[str, float] | None = None) -> None:
        """Take in one step's dL/dphi (without penalty); after the last step of the calibration lambda is set.

        Args: pulls, by name what a lambda of 1 would add to each entry of the gradient (left out: 1).
        """
        self.num_seen += 1
        for name, gradient in gradients.items():
            # Where the mask does not feel its logit any more (a pull of zero) the force is zero too.
            share = (1 - _DECAY) / max((pulls or {}).get(name, 1.0), 1e-30)
            if name not in self.means:
                self.means[name] = gradient.mul(share)
            else:
                self.means[name].mul_(_DECAY).add_(gradient, alpha=share)
        if not self.is_calibrating:
            self._set()

    def _set(self) -> None:
        bias = 1 - _DECAY**self.num_seen
        share = max(2 * (1 - self.target_density) - 1, 0.1)
        pools = {name: _sample(mean).abs() for name, mean in self.means.items()}
        if not self.per_tensor:
            pool = torch.cat(list(pools.values()))
            pools = dict.fromkeys(pools, pool)
        found: dict[int, Tensor] = {}
        for name, pool in pools.items():
            if id(pool) not in found:
                found[id(pool)] = torch.kthvalue(pool, max(1, round(share * pool.numel()))).values / bias
            self.current[name] = found[id(pool)].to(self.current[name].device, copy=True)
        self.unit = {name: value.clone() for name, value in self.current.items()}
        self.grown = {name: value.clone() for name, value in self.current.items()}
        self.means = {}

    def steer(self, density: Tensor) -> None:
        """Push down while the density (a scalar tensor) is above the target, pull up while it is below.

        Above: lambda <- lambda + rate * unit * (density - target), dual ascent. Below, lambda is minus the calibrated
        one: dual ascent alone overshoots and does not come back, because under Adam logits fall at one speed whatever
        lambda is, and those that fell feel the loss no more.
        """
        for name, value in self.current.items():
            excess = density.to(value.device) - self.target_density
            self.grown[name].add_(self.unit[name] * excess.clamp_min(0), alpha=self.rate)
            value.copy_(torch.where(excess > 0, self.grown[name], -self.unit[name]))

    def mean(self) -> float:
        """Mean lambda over the tensors."""
        return float(torch.stack([v.cpu() for v in self.current.values()]).mean()) if self.current else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Everything, as tensors."""
        return {key: getattr(self, key) for key in ("means", "current", "unit", "grown", "num_seen")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Counterpart of `state_dict`."""
        for key in ("means", "current", "unit", "grown"):
            setattr(self, key, {n: v.to(self.current[n].device, copy=True) for n, v in state[key].items()})
        self.num_seen = state["num_seen"]


def _sample(values: Tensor) -> Tensor:
    flat = whole(values).reshape(-1)
    return flat[:: -(-flat.numel() // _SAMPLE)]
