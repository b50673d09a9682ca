"""Exact zeros: how masks are multiplied by, and under which optimisers zeros stay without being made anew."""

import functools

import pytest
import torch

from msrs.sparse import base, masked
from msrs.sparse.zeros import factor, fold, mask_gradients, mask_weights


class Restless(torch.optim.Optimizer):
    """Moves every weight, whatever its gradient."""

    def __init__(self, params):
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            parameter.add_(1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_bytes_and_single_rows_mask_as_bools_of_the_whole_matrix_do(dtype):
    generator = torch.Generator().manual_seed(0)
    for shape in ((6, 5), (6, 5, 1)):
        values = torch.randn(shape, generator=generator).to(dtype)
        mask = torch.rand(shape, generator=generator) < 0.5
        for whole in (mask, mask[:1].expand(shape)):
            for held in (whole, whole.contiguous()):
                weight, other = (torch.nn.Parameter(values.clone()) for _ in range(2))
                weight.grad = values.clone()
                mask_weights({"w": weight}, {"w": held})
                mask_gradients({"w": weight, "no gradient": other}, {"w": held})
                assert weight.dtype == weight.grad.dtype == dtype
                assert torch.equal(weight.data, values * whole)
                assert torch.equal(weight.grad, values * whole)


def test_alike_rows_are_held_once_and_others_are_left_alone():
    mask = torch.tensor([[True, False, True]]).repeat(5, 1)
    folded = fold(mask)
    assert folded.equal(mask)
    assert folded.untyped_storage().nbytes() == 3
    assert factor(folded).shape == (1, 3)
    mask[4, 1] = True
    assert fold(mask) is mask
    assert factor(mask).shape == mask.shape


@pytest.mark.parametrize(
    ("make", "is_masked_each_step"),
    [
        (functools.partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.1), False),
        (functools.partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.1, fused=True), False),
        (functools.partial(torch.optim.AdamW, lr=3e-3, amsgrad=True), False),
        (functools.partial(torch.optim.Adam, lr=3e-3, weight_decay=0.1), False),
        (functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1), False),
        (functools.partial(torch.optim.RMSprop, lr=3e-3, momentum=0.9), True),
        (Restless, True),
    ],
    ids=["adamw", "adamw-fused", "amsgrad", "adam", "sgd", "rmsprop", "restless"],
)
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("msrs", {"strength": 10.0, "phi_lr": 0.3, "min_density": 0.3, "steps": 8}),
        ("msrs", {"strength": 10.0, "phi_lr": 0.3, "min_density": 0.3, "steps": 8, "granularity": "neuron"}),
        ("rigl", {"interval": 3, "steps": 20}),
    ],
    ids=["weights", "units", "rigl"],
)
def test_zeros_are_exact_after_every_step_under_any_optimiser(
    name, keys, make, is_masked_each_step, make_tagger, make_method, run_steps, monkeypatch
):
    model = make_tagger()
    method, optimizer = make_method(name, model, finish="sparse", **keys), make(model.parameters())
    calls = []

    def counted(*values):
        calls.append(1)
        mask_weights(*values)

    for module in (base, masked):
        monkeypatch.setattr(module, "mask_weights", counted)

    def check(step):
        if name == "msrs" and step < 7:
            return
        for n, mask in method.masks().items():
            assert not mask.all(), n
            assert not method.params[n].detach()[~mask].any(), (step, n)
            for value in optimizer.state[method.params[n]].values():
                if value.shape == mask.shape and not is_masked_each_step:
                    assert not value[~mask].any(), (step, n)

    run_steps(model, method, optimizer, 0, 20, check)
    assert method.phase == "sparse"
    calls.clear()
    run_steps(model, method, optimizer, 20, 30, check)
    assert len(calls) == (10 if is_masked_each_step else 0)
