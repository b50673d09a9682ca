"""Gradient norms and signal to noise by hand, densities and flips by block and type, overlap of masks."""

import pytest
import torch
from torch import nn

from msrs.sparse.packed import PackedMasks
from msrs.sparse.stats import GradientWatch, count_masks, mask_overlap, shares_by_part


def test_norms_and_noise_of_three_micro_batches():
    model = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(2, 1, bias=False), nn.Linear(1, 2)])})
    first, second = (layer.weight for layer in model["blocks"])
    parts = [torch.tensor([[3.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 2.0]])]
    watch = GradientWatch(model)
    for part in parts:
        (first * part).sum().backward()
        watch.micro_batch()
    second.grad = torch.tensor([[1e-9], [2.0]])
    numbers = watch.collect()
    assert numbers["grad_norm/blocks.0.weight"] == pytest.approx((81 + 36) ** 0.5)
    assert numbers["grad_norm/blocks.0"] == numbers["grad_norm/blocks.0.weight"]
    stacked = torch.stack(parts)
    mean = stacked.mean(0)
    noise = (stacked - mean).square().sum((1, 2)).mean()
    assert numbers["grad_snr/blocks.0.weight"] == pytest.approx(float(mean.square().sum() / noise), rel=1e-5)
    assert numbers["grad_tiny/blocks.1"] == 0.5
    assert not any(name.endswith("bias") for name in numbers)
    assert "grad_snr/blocks.0.weight" not in watch.collect()


def test_the_watch_sees_the_effective_weights_gradients(make_tagger, make_method, make_batch):
    model = make_tagger()
    method = make_method("static", model, target_density=0.1)
    watch = GradientWatch(model)
    method.before_forward(0)
    model.loss(make_batch(0)).backward()
    before = watch.collect()
    method.after_backward(0)
    after = watch.collect()
    for name in method.params:
        assert 0 < after[f"grad_norm/{name}"] < before[f"grad_norm/{name}"]


def test_densities_by_block_and_type(make_tagger, make_method, make_adamw, run_steps):
    masks = {
        "encoder.blocks.0.query.weight": torch.tensor([[True, False]]),
        "encoder.blocks.0.out.weight": torch.tensor([[True, True, True, False]]),
        "encoder.blocks.1.query.weight": torch.tensor([[False, False]]),
    }
    assert shares_by_part("density", *count_masks(masks)) == {
        "density/block/encoder.blocks.0": 4 / 6,
        "density/block/encoder.blocks.1": 0,
        "density/type/query": 0.25,
        "density/type/out": 0.75,
    }
    model = make_tagger()
    method = make_method("msrs", model, steps=60, phi_lr=0.1, stop_flips=0.0)
    run_steps(model, method, make_adamw(model), 0, 12)
    stats = method.stats()
    assert 0 < stats["density"] < 1
    assert stats["flips"] > 0
    assert sum(stats[f"phi_histogram/{i}"] for i in range(10)) == pytest.approx(1)
    assert stats["l_f"] == pytest.approx(200 ** (11 / 59))
    assert stats["l_b"] == 5


@pytest.mark.parametrize("finish", ["dense", "sparse"])
@pytest.mark.parametrize("last", [9, 12, 13])  # amid an epoch of six steps, at its end, at the first step of the next
def test_flips_and_the_found_mask_are_told_by_block_and_type_in_the_epoch_that_ends_the_phase(
    finish, last, make_tagger, make_method, make_adamw, run_steps
):
    model = make_tagger()
    method = make_method("msrs", model, steps=last, phi_lr=0.3, stop_flips=0.0, min_density=0.0, finish=finish)
    optimizer = make_adamw(model)
    before = {n: torch.ones_like(p, dtype=torch.bool) for n, p in method.params.items()}  # phi_start is positive
    for first in range(0, 24, 6):
        run_steps(model, method, optimizer, first, first + 6)
        stats, masks = method.stats(), method.masks()
        flips = {n: int((m != before[n]).sum()) for n, m in masks.items()}
        sizes = {n: m.numel() for n, m in masks.items()}
        shares = shares_by_part("flips", flips, sizes)
        ends = first < last <= first + 6
        if method.phase == "search" or ends:
            assert sum(flips.values()) > 0
            assert {key: value for key, value in stats.items() if key.startswith("flips/")} == shares
            assert len(shares) == 2 + 3  # two blocks, three kinds of matrices
            assert stats["flips"] == sum(flips.values()) / sum(sizes.values())
        else:
            assert stats.get("flips", 0.0) == 0.0
            assert not any(key.startswith("flips/") for key in stats)
        found = {key: value for key, value in stats.items() if key.startswith("found_density/")}
        assert found == (shares_by_part("found_density", *count_masks(masks)) if ends and finish == "dense" else {})
        before = {n: m.clone() for n, m in masks.items()}


def test_a_phase_that_ends_on_its_flips_tells_them(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method("msrs", model, steps=60, phi_lr=0.1, finish="dense")
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 5)
    method.has_moved = True
    method._previous = PackedMasks(method.masks())
    for gate in method.logits.gates.values():
        gate.phi.data.view(-1)[0] = -0.9
    method.config = type(method.config)(stop_flips=1.0)
    method.end_epoch(1, optimizer)
    assert method.phase == "dense"
    stats = method.stats()
    assert stats["flips"] == len(method.params) / sum(p.numel() for p in method.params.values())
    assert stats["flips/type/pointwise"] == 1 / 64
    assert "found_density/type/pointwise" in stats
    method.end_epoch(2, optimizer)
    assert method.stats() == {"density": 1.0, "found_density": method.density(), "is_searching": 0.0}


def test_overlap_of_masks_and_its_chance():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(300, 300, generator=generator) < 0.3 for _ in range(2))
    overlap = mask_overlap({"w": a}, {"w": b})
    assert overlap["w"] == pytest.approx(0.3 / 1.7, abs=0.01)
    assert overlap["chance/w"] == pytest.approx(0.3 / 1.7, abs=0.01)
    assert mask_overlap({"w": a}, {"w": a})["w"] == pytest.approx(1)
