"""Values and gradients of masks: worked numbers, finite differences, the surrogate for every pair of temperatures."""

import math

import pytest
import torch

from msrs.errors import ConfigError
from msrs.sparse.gates import PairGate, WeightGate, logit_gradient, soft_mask, two_of_four


def test_mask_and_gradients_of_the_worked_example():
    gate = WeightGate("w", torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64), 0.0)
    gate.phi.data = torch.tensor([0.3, 0.0, -0.3], dtype=torch.float64)
    theta, gradient = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 2.0, 3.0])
    mask = gate.forward_mask(200.0)
    assert torch.allclose(mask, torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64), atol=1e-25, rtol=0)
    gate.read(gradient.double(), theta.double(), 5.0, 1.0, torch.tensor(0.0), True)
    expected = torch.tensor([1.4914645207, -2.5, 1.1185983906], dtype=torch.float64)
    assert torch.allclose(gate.phi.grad.double(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("temperature", "phi", "expected"),
    [(1, 0, 0.25), (10, 0, 2.5), (200, 0, 50), (10, 0.3, 0.4517666), (10, -0.3, 0.4517666), (5, 0.3, 0.74573226)],
)
def test_slope_of_the_mask(temperature, phi, expected):
    one, phi = torch.ones(1, dtype=torch.float64), torch.tensor([phi], dtype=torch.float64)
    got = logit_gradient(one, phi, float(temperature), 1.0, torch.tensor(0.0), True)
    assert float(got) == pytest.approx(expected, rel=1e-6)


def test_the_slope_dies_far_from_zero():
    for phi in (0.3, -0.3):
        one = torch.ones(1, dtype=torch.float64)
        got = logit_gradient(one, torch.tensor([phi], dtype=torch.float64), 200.0, 1.0, torch.tensor(0.0), True)
        assert abs(float(got)) < 1e-9


@pytest.mark.parametrize("penalty", ["linear", "sigmoid"])
@pytest.mark.parametrize("l_f", [1.0, 3.0, 20.0, math.inf])
@pytest.mark.parametrize("l_b", [1.0, 3.0])
def test_gradients_against_autograd_of_the_surrogate_and_finite_differences(l_f, l_b, penalty):
    """Loss sum(w~^3) + penalty; where l_f = l_b the surrogate is the function itself and differences must agree."""
    generator = torch.Generator().manual_seed(1)
    theta, phi = (torch.randn(3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    strength, scale = 0.3, 1.7
    gate = WeightGate("w", theta, 0.0)
    gate.phi.data = phi.clone()
    gradient = 3 * (gate.write(theta, l_f, scale) ** 2)
    # `read` computes in float32 as the masks of a run do, hence the tolerance
    gate.read(gradient, theta, l_b, scale, torch.tensor(strength), penalty == "linear")
    gate.mask_gradient(gradient, l_f, scale)

    free_theta, free_phi = theta.clone().requires_grad_(), phi.clone().requires_grad_()
    hard, soft = soft_mask(phi, l_f), torch.sigmoid(l_b * free_phi)
    mask = hard + soft - soft.detach()
    cost = free_phi.sum() if penalty == "linear" else torch.sigmoid(l_b * free_phi).sum()
    ((free_theta * mask * scale) ** 3).sum().add(strength * cost).backward()
    assert torch.allclose(gate.phi.grad.double(), free_phi.grad, rtol=1e-4, atol=1e-5)
    assert torch.allclose(gradient, free_theta.grad, rtol=1e-9)
    if l_f == l_b:
        for index in ((0, 0), (1, 2), (2, 3)):
            values = []
            for step in (1e-5, -1e-5):
                moved = phi.clone()
                moved[index] += step
                cost = moved.sum() if penalty == "linear" else torch.sigmoid(l_b * moved).sum()
                values.append(((theta * torch.sigmoid(l_f * moved) * scale) ** 3).sum() + strength * cost)
            slope = float(values[0] - values[1]) / 2e-5
            assert slope == pytest.approx(float(gate.phi.grad[index]), rel=1e-3, abs=1e-4)


def test_two_of_four_and_its_ties():
    scores = torch.tensor([[0.1, 0.9, 0.4, 0.3, 2.0, 0.0, 1.0, 0.5]])
    assert two_of_four(scores).int().tolist() == [[0, 1, 1, 0, 1, 0, 1, 0]]
    assert two_of_four(torch.ones(2, 4)).int().tolist() == [[1, 1, 0, 0]] * 2
    kernel = two_of_four(torch.rand(6, 8, 1))
    assert kernel.shape == (6, 8, 1)
    assert kernel.view(6, 2, 4).sum(-1).eq(2).all()


def test_pair_gate_starts_from_the_magnitudes_and_masks_hard():
    theta = torch.tensor([[0.1, -0.9, 0.4, 0.3, 2.0, 0.0, -1.0, 0.5]])
    gate = PairGate("w", theta, 0.1)
    assert gate.binary().equal(two_of_four(theta.abs()))
    assert float(gate.phi.data.max()) == pytest.approx(0.1)
    assert gate.write(theta, 3.0, 1.0).equal(theta * gate.binary())
    with pytest.raises(ConfigError, match="multiple of 4 inputs, w has 6"):
        PairGate("w", torch.ones(2, 6), 0.1)


def test_the_guard_lifts_the_largest_logits_only_where_too_few_are_positive():
    gate = WeightGate("w", torch.zeros(2, 5), 0.0)
    gate.phi.data = torch.tensor([[-1.0, -0.5, -0.2, -1.0, -1.0], [-0.1, -1.0, -1.0, 0.3, -1.0]])
    gate.keep_at_least(0.3, 0.1)
    assert gate.binary().int().tolist() == [[0, 0, 1, 0, 0], [1, 0, 0, 1, 0]]
    assert float(gate.phi.data[1, 3]) == pytest.approx(0.3)
    before = gate.phi.data.clone()
    gate.keep_at_least(0.2, 0.1)
    assert gate.phi.data.equal(before)


def test_two_of_four_agrees_with_a_stable_sort():
    scores = torch.randint(0, 3, (500, 8), generator=torch.Generator().manual_seed(0)).float()
    order = scores.view(-1, 4).argsort(dim=-1, descending=True, stable=True)
    expected = torch.zeros(1000, 4, dtype=torch.bool).scatter_(-1, order[:, :2], True)
    assert two_of_four(scores).equal(expected.view(500, 8))
