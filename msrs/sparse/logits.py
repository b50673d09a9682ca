"""All logits of a model: their gates, their own optimiser, the penalty's strength, clamp and guard."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from msrs.shards import part_like, whole
from msrs.sparse.gates import WeightGate
from msrs.sparse.strength import Strength

_GUARD_EVERY = 20  # steps between two looks at the minimum density, at most
_BINS = 10  # of the histogram of the logits


class Logits:
    """The gates by parameter name, with what moves them.

    Args: clamp, logits stay within plus and minus this (None: free); min_density, share of each tensor's logits that
    is
        held positive, by lifting the largest to `margin`.
    """

    def __init__(
        self, gates: dict[str, WeightGate], strength: Strength, kind: str, lr: float,
        clamp: float | None, min_density: float, margin: float,
    ):  # fmt: skip
        self.gates, self.strength, self.clamp = gates, strength, clamp
        self.min_density, self.margin = min_density, max(margin, 0.01)
        # A logit falls by `lr` a step: look again before those just lifted can be negative.
        self.guard_every = max(1, min(_GUARD_EVERY, int(self.margin / lr / 2)))
        phis = [gate.phi for gate in gates.values()]
        strength.attach({name: gate.phi for name, gate in gates.items()})
        if kind == "sgd":
            self.optimizer: Optimizer = torch.optim.SGD(phis, lr=lr)
        else:
            is_fused = all(phi.device.type in ("cpu", "cuda") for phi in phis)
            self.optimizer = torch.optim.Adam(phis, lr=lr, betas=(0.9, 0.999), fused=is_fused)

    def step(self, step: int) -> None:
        """Move the logits by their gradients; while the strength is calibrated they stand still and are only watched."""
        gradients = {name: gate.phi.grad for name, gate in self.gates.items() if gate.phi.grad is not None}
        if self.strength.is_calibrating:
            self.strength.observe(gradients)
        elif gradients:
            self.optimizer.step()
            if self.clamp is not None:
                for gate in self.gates.values():
                    gate.phi.data.clamp_(-self.clamp, self.clamp)
            if step % self.guard_every == 0:
                self.guard()
            if self.strength.is_steered:
                self.strength.steer(self.density())
        self.optimizer.zero_grad(set_to_none=True)

    def guard(self) -> None:
        """Keep the minimum density."""
        for gate in self.gates.values():
            gate.keep_at_least(self.min_density, self.margin)

    def density(self) -> Tensor:
        """Share of positive logits, weighted by their cost; a scalar on the first logits' device."""
        gates = list(self.gates.values())
        device = gates[0].phi.device
        kept = torch.stack([(whole((gate.phi.data > 0).sum()) * gate.weight).to(device) for gate in gates]).sum()
        return kept / sum(gate.phi.numel() * gate.weight for gate in gates)

    def stats(self) -> dict[str, float]:
        """lambda, share of undecided logits (|phi| < .02), histogram over the clamp in ten bins."""
        phi = torch.cat([whole(gate.phi.data).reshape(-1).cpu() for gate in self.gates.values()])
        edge = self.clamp or float(phi.abs().max().clamp_min(1e-6))
        bins = torch.histc(phi, _BINS, -edge, edge) / phi.numel()
        return {
            "lambda": self.strength.mean(),
            "undecided": float((phi.abs() < 0.02).float().mean()),
            **{f"phi_histogram/{i}": float(share) for i, share in enumerate(bins)},
        }

    def state_dict(self) -> dict[str, Any]:
        """Logits, their optimiser, the strength."""
        return {
            "phi": {name: gate.phi.data for name, gate in self.gates.items()},
            "optimizer": self.optimizer.state_dict(),
            "strength": self.strength.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Counterpart of `state_dict`."""
        for name, phi in state["phi"].items():
            self.gates[name].phi.data.copy_(phi)
        phis = [gate.phi for gate in self.gates.values()]
        moments = {
            number: {key: part_like(value, phis[number]) if value.shape == phis[number].shape else value
                     for key, value in own.items()}
            for number, own in state["optimizer"]["state"].items()
        }  # fmt: skip
        self.optimizer.load_state_dict(state["optimizer"] | {"state": moments})
        self.strength.load_state_dict(state["strength"])
