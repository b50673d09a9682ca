"""A matrix and its mask logits phi: what the network sees of it, and the gradients that come back.

Forward mask m_f = sigma(l_f phi), effective weight w~ = theta m_f / c. From G = dL/dw~ the gradients are
dL/dtheta = G m_f / c and dL/dphi = (G theta) l_b sigma'(l_b phi) / c + d penalty / d phi: exact where l_f = l_b, else
a surrogate that keeps the logits moving while the network already sees a nearly binary mask. All in float32 and in
place.
"""

import math

import torch
from torch import Tensor

from msrs.errors import ConfigError
from msrs.log import LOGGER
from msrs.shards import count_true, own_part, part_like, whole
from msrs.sparse.ranking import keep_largest
from msrs.sparse.zeros import factor


def soft_mask(phi: Tensor, temperature: float, out: Tensor | None = None) -> Tensor:
    """sigma(l phi); an infinite l gives 1[phi > 0]."""
    if math.isinf(temperature):
        return torch.gt(phi, 0, out=out) if out is not None else (phi > 0).to(phi.dtype)
    return torch.mul(phi, temperature, out=out).sigmoid_()


def mask_slope(phi: float, temperature: float) -> float:
    """How fast sigma(l phi) rises with phi: l sigma'(l phi).

    >>> mask_slope(0.0, 5.0), round(mask_slope(-0.3, 5.0), 8), mask_slope(9.0, 200.0)
    (1.25, 0.74573226, 0.0)
    """
    small = math.exp(-abs(temperature * phi))
    return temperature * small / (1 + small) ** 2


def logit_gradient(helped: Tensor, phi: Tensor, l_b: float, scale: float, strength: Tensor, is_linear: bool) -> Tensor:
    """dL/dphi of logits from `helped` = G theta (overwritten), plus the penalty's gradient.

    The penalty is strength * sum(phi) where `is_linear`, else strength * sum(sigma(l_b phi)).

    >>> g = torch.tensor([2.0, -2.0, 1.5], dtype=torch.float64)
    >>> phi = torch.tensor([0.3, 0.0, -0.3], dtype=torch.float64)
    >>> [round(v, 8) for v in logit_gradient(g, phi, 5.0, 1.0, torch.tensor(0.0), True).tolist()]
    [1.49146452, -2.5, 1.11859839]
    """
    backward = soft_mask(phi, l_b)
    if not is_linear:
        helped = helped.mul_(scale).add_(strength)
        return torch.ops.aten.sigmoid_backward(helped, backward).mul_(l_b)
    return torch.ops.aten.sigmoid_backward(helped, backward).mul_(l_b * scale).add_(strength)


class WeightGate:
    """One logit a weight."""

    cost = 1.0  # what the penalty of one logit is multiplied by
    weight = 1  # parameters that one logit decides about
    keeps_zero = False  # whether a logit of exactly 0 counts as kept

    def __init__(self, name: str, theta: Tensor, phi_start: float):
        self.phi = torch.nn.Parameter(self.start_logits(theta, phi_start), requires_grad=False)

    def start_logits(self, theta: Tensor, phi_start: float) -> Tensor:
        """The logits at step 0, float32."""
        return torch.full_like(theta, phi_start, dtype=torch.float32)

    def spread(self, mask: Tensor) -> Tensor:
        """A mask over logits as one that multiplies the matrix."""
        return mask

    def gather(self, values: Tensor) -> Tensor:
        """Values over the matrix summed over what shares a logit."""
        return values

    def forward_mask(self, l_f: float) -> Tensor:
        """m_f over the logits that this process holds, float32."""
        return soft_mask(own_part(self.phi.data), l_f)

    def write(self, theta: Tensor, l_f: float, scale: float) -> Tensor:
        """w~ in theta's type, of what this process holds; the gate does not keep it."""
        mask, theta = self.forward_mask(l_f), own_part(theta)
        mask = self.spread(mask if scale == 1.0 else mask.mul_(scale))
        return torch.mul(theta, mask, out=torch.empty_like(theta))

    def read(self, gradient: Tensor, theta: Tensor, l_b: float, scale: float, strength: Tensor, linear: bool) -> None:
        """phi.grad from G = dL/dw~."""
        helped = self.gather(torch.mul(gradient.float(), theta.float()))
        self.phi.grad = logit_gradient(helped, self.phi.data, l_b, scale, strength * self.cost, linear)

    def mask_gradient(self, gradient: Tensor, l_f: float, scale: float) -> None:
        """G <- G m_f / c, that is dL/dtheta, in place."""
        mask = self.forward_mask(l_f)
        own_part(gradient).mul_(self.spread(mask if scale == 1.0 else mask.mul_(scale)))

    def kept(self) -> Tensor:
        """1[phi > 0] over the logits, bool; 1[phi >= 0] where the gate keeps zero."""
        return self.phi.data >= 0 if self.keeps_zero else self.phi.data > 0

    def binary(self) -> Tensor:
        """`kept` over the matrix, bool."""
        return self.spread(self.kept())

    def keep_at_least(self, share: float, margin: float, floor: float = 0.0) -> None:
        """Of the `share` of logits that are the largest lift those not above `floor` (less than `margin`) to `margin`."""
        count = math.ceil(share * self.phi.numel() - 1e-9)
        if count_true(self.phi.data > floor) >= count:
            return
        least = part_like(keep_largest(whole(self.phi.data), count), self.phi)
        self.phi.data.copy_(torch.where(least & (self.phi.data <= floor), margin, self.phi.data))


class PairGate(WeightGate):
    """2:4: of each four consecutive inputs the two with the largest logits stay; the forward mask is hard."""

    def __init__(self, name: str, theta: Tensor, phi_start: float):
        check_two_of_four(name, theta)
        super().__init__(name, theta, phi_start)
        self.shown: Tensor | None = None

    def start_logits(self, theta: Tensor, phi_start: float) -> Tensor:
        """Proportional to the weights' size, at most `phi_start`: the first mask is that of the magnitudes."""
        size = theta.abs().float()
        return size.mul_(phi_start / size.max().clamp_min(torch.finfo(torch.float32).tiny))

    def write(self, theta: Tensor, l_f: float, scale: float) -> Tensor:
        """w~ by the hard mask, which is kept for the gradient."""
        self.shown = self.binary()
        return theta * factor(self.shown)

    def mask_gradient(self, gradient: Tensor, l_f: float, scale: float) -> None:
        """G <- G * mask, which is let go."""
        gradient.mul_(factor(self.shown))
        self.shown = None

    def binary(self) -> Tensor:
        """The 2:4 mask of the logits, bool."""
        return two_of_four(self.phi.data)

    def keep_at_least(self, share: float, margin: float, floor: float = 0.0) -> None:
        """Nothing to do: half of every tensor stays."""


def tell_half(target_density: float) -> None:
    """Tell where another density was asked for than the one that 2:4 has."""
    if target_density != 0.5:
        LOGGER.warning(
            "sparse.target_density: %g is not what 2:4 can keep, which is half of each matrix (0.5); leave the option out, or "
            "take granularity weight or neuron of msrs.",
            target_density,
        )  # fmt: skip


def check_two_of_four(name: str, theta: Tensor) -> None:
    """Raises: ConfigError where a matrix cannot be cut into groups of four inputs."""
    if theta[0].numel() % 4:
        raise ConfigError(
            f"sparse: 2:4 needs a multiple of 4 inputs, {name} has {theta[0].numel()}; leave it out by sparse.exclude."
        )


def two_of_four(scores: Tensor) -> Tensor:
    """True at the two largest of each four along the input dimension (1, flattened with any kernel); ties: lower index.

    >>> two_of_four(torch.tensor([[0.1, 0.9, 0.4, 0.3, 2.0, 0.0, 1.0, 0.5]])).int().tolist()
    [[0, 1, 1, 0, 1, 0, 1, 0]]
    """
    a, b, c, d = scores.reshape(scores.shape[0], -1, 4).unbind(-1)
    ab, ac, ad, bc, bd, cd = a >= b, a >= c, a >= d, b >= c, b >= d, c >= d
    # Who wins two of its three comparisons stays; a sort of every four is ten times slower.
    stays = [_two(ab, ac, ad), _two(~ab, bc, bd), _two(~ac, ~bc, cd), _two(~ad, ~bd, ~cd)]
    return torch.stack(stays, dim=-1).view_as(scores)


def _two(first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """At least two of three."""
    return (first & second) | (third & (first | second))
