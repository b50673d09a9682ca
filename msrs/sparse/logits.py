"""All logits of a model: their gates, their own optimiser, the penalty's strength, clamp and guard."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from msrs.shards import part_like, whole
from msrs.sparse.gates import WeightGate
from msrs.sparse.strength import Strength

_GUARD_EVERY = 20  # moves of the logits between two looks at the minimum density, at most
# Learning rates that Adam moves by in one step at most, whatever the gradients were (Cauchy and Schwarz on its two sums):
# (1 - b1) / sqrt((1 - b2) (1 - b1^2 / b2)) for b1 = .9, b2 = .999.
_FASTEST = 7.3
_BINS = 10  # of the histogram of the logits


class Logits:
    """The gates by parameter name, with what moves them.

    Args: clamp, logits stay within plus and minus this (None: free); min_density, share of each tensor's logits that
        is positive after every move: at each look the largest are lifted to `margin` unless they are so high that they
        cannot be negative before the next.
    """

    def __init__(
        self, gates: dict[str, WeightGate], strength: Strength, kind: str, lr: float,
        clamp: float | None, min_density: float, margin: float,
    ):  # fmt: skip
        self.gates, self.strength, self.clamp = gates, strength, clamp
        self.min_density, self.margin = min_density, min(max(margin, 0.01), clamp or math.inf)
        # Look again before those just lifted can be negative; no bound is known of how far SGD goes in a step.
        fall = math.inf if kind == "sgd" else _FASTEST * lr
        self.guard_every = max(1, min(_GUARD_EVERY, int(self.margin / fall)))
        self.floor = self.guard_every * fall if self.guard_every > 1 else 0.0
        self.num_moves = 0  # not steps of the run: in alternate updates logits move at some of them only
        phis = [gate.phi for gate in gates.values()]
        strength.attach({name: gate.phi for name, gate in gates.items()})
        if kind == "sgd":
            self.optimizer: Optimizer = torch.optim.SGD(phis, lr=lr)
        else:
            is_fused = all(phi.device.type in ("cpu", "cuda") for phi in phis)
            self.optimizer = torch.optim.Adam(phis, lr=lr, betas=(0.9, 0.999), fused=is_fused)

    def step(self, pull: float = 1.0) -> None:
        """Move the logits by their gradients; while the strength is calibrated they stand still and are only watched.

        Args: pull, what a strength of 1 adds to the gradient of a logit of cost 1 where it stands.
        """
        gradients = {name: gate.phi.grad for name, gate in self.gates.items() if gate.phi.grad is not None}
        if self.strength.is_calibrating:
            self.strength.observe(gradients, {name: pull * self.gates[name].cost for name in gradients})
        elif gradients:
            self.optimizer.step()
            if self.clamp is not None:
                for gate in self.gates.values():
                    gate.phi.data.clamp_(-self.clamp, self.clamp)
            if self.num_moves % self.guard_every == 0:
                self.guard()
            self.num_moves += 1
            if self.strength.is_steered:
                self.strength.steer(self.density())
        self.optimizer.zero_grad(set_to_none=True)

    def guard(self) -> None:
        """Keep the minimum density."""
        for gate in self.gates.values():
            gate.keep_at_least(self.min_density, self.margin, self.floor)

    def density(self) -> Tensor:
        """Share of the logits that are kept, by the parameters they decide about; a scalar on the first logits' device."""
        gates = list(self.gates.values())
        device = gates[0].phi.device
        kept = torch.stack([(whole(gate.kept().sum()) * gate.weight).to(device) for gate in gates]).sum()
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
        """Logits, their optimiser and how often they moved, the strength."""
        return {
            "phi": {name: gate.phi.data for name, gate in self.gates.items()},
            "optimizer": self.optimizer.state_dict(),
            "num_moves": self.num_moves,
            "strength": self.strength.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Counterpart of `state_dict`; without `num_moves`, as older ones are, the next move is looked at."""
        self.num_moves = state.get("num_moves", 0)
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
