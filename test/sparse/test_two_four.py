"""2:4: SR-STE's worked example, one-shot pruning; continuous sparsification's schedule, scale and rounds."""

import pytest
import torch

from msrs.errors import ConfigError
from msrs.sparse.gates import soft_mask


def test_sr_ste_of_the_worked_example(make_tagger, make_method):
    model = make_tagger()
    method = make_method("sr_ste", model, include=["encoder.blocks.0.pointwise.weight"])
    (p,) = method.params.values()
    with torch.no_grad():
        p.copy_(torch.tensor([0.1, -0.9, 0.4, 0.3, 2.0, 0.0, -1.0, 0.5]).view(1, 8, 1).expand_as(p))
    theta = p.detach().clone()
    method.before_forward(0)
    assert p[0, :, 0].tolist() == pytest.approx([0, -0.9, 0.4, 0, 2, 0, -1, 0])
    p.grad = torch.full_like(p, 1.0)
    method.after_backward(0)
    assert torch.equal(p, theta)
    extra = (p.grad[0, :, 0].double() - 1).tolist()
    assert extra == pytest.approx([2e-5, 0, 0, 6e-5, 0, 0, 0, 1e-4], abs=2e-7)


def test_one_shot_is_dense_before_its_start_and_fixed_after(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method("sr_ste", model, total_steps=40, choose="once", start=0.5)
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 20)
    assert method.density() == 1.0
    run_steps(model, method, optimizer, 20, 21)
    first = {n: m.clone() for n, m in method.masks().items()}
    assert method.density() == 0.5
    run_steps(model, method, optimizer, 21, 40)
    for n, m in method.masks().items():
        assert m.equal(first[n])
        assert m.flatten(1).view(len(m), -1, 4).sum(-1).eq(2).all()


@pytest.mark.parametrize("choose", ["always", "once"])
def test_a_mask_that_never_moved_has_not_flipped(choose, make_tagger, make_method, run_steps):
    model = make_tagger()
    method = make_method("sr_ste", model, choose=choose)
    run_steps(model, method, torch.optim.SGD(model.parameters(), lr=0.0), 0, 6)
    assert method.density() == 0.5
    assert method.stats()["flips"] == 0.0


@pytest.mark.parametrize("start", [1.0, 0.99])
def test_one_shot_that_starts_after_the_last_step_prunes_at_the_end(
    start, make_tagger, make_method, make_adamw, run_steps
):
    model = make_tagger()
    method = make_method("sr_ste", model, total_steps=40, steps=20, choose="once", start=start)
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 19)
    assert method.density() == 1.0
    magnitudes = {n: p.detach().abs() for n, p in method.params.items()}
    run_steps(model, method, optimizer, 19, 30)
    assert method.phase == "sparse"
    assert method.density() == 0.5
    for n, m in method.masks().items():
        assert m.flatten(1).view(len(m), -1, 4).sum(-1).eq(2).all()
        assert not method.params[n][~m].any()
        assert magnitudes[n][m].mean() > magnitudes[n][~m].mean()


def test_sr_ste_changes_its_mind(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method("sr_ste", model, total_steps=60)
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 1)
    first = {n: m.clone() for n, m in method.masks().items()}
    run_steps(model, method, optimizer, 1, 40)
    assert any(not m.equal(first[n]) for n, m in method.masks().items())
    assert all(p.ne(0).all() for p in method.params.values())  # theta itself stays dense


def test_inputs_that_do_not_make_groups_of_four_are_refused(make_tagger, make_method):
    model = make_tagger()
    model.encoder.blocks[0].feed_forward[0] = torch.nn.Linear(6, 16)
    with pytest.raises(ConfigError, match=r"feed_forward.0.weight has 6"):
        make_method("sr_ste", model)


def test_continuous_sparsification_temperatures_and_masks(make_tagger, make_method):
    method = make_method("continuous", make_tagger(), total_steps=85)
    betas = [method.temperatures(step) for step in (0, 1, 42, 84)]
    assert [round(a, 4) for a, _ in betas] == [1.0, 1.0651, 14.1421, 200.0]
    assert all(a == b for a, b in betas)
    logits = torch.tensor([-0.1, -0.01, 0.0, 0.01, 0.1], dtype=torch.float64)
    table = {
        1.0: (0.475021, 0.4975, 0.5, 0.5025, 0.524979),
        10.0: (0.268941, 0.475021, 0.5, 0.524979, 0.731059),
        200.0: (2.06e-9, 0.119203, 0.5, 0.880797, 1.0),
    }
    for beta, expected in table.items():
        assert soft_mask(logits, beta).tolist() == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("start", [-0.3, 0.0, 0.3])
def test_the_scale_of_continuous_sparsification_is_that_of_its_start_and_stays_in_the_ticket(
    start, make_tagger, make_method, make_adamw, run_steps
):
    model = make_tagger()
    method = make_method("continuous", model, total_steps=40, steps=30, phi_start=start, strength=0.0)
    theta = {n: p.detach().clone() for n, p in method.params.items()}
    scale = 1 / torch.sigmoid(torch.tensor(start)).item()
    method.before_forward(0)
    for n, p in method.params.items():
        assert torch.allclose(p, theta[n], rtol=1e-5)  # starts as the dense model
    method.after_backward(0)
    run_steps(model, method, make_adamw(model), 0, 29)
    l_f = method.temperatures(28)[0]
    assert l_f > 100
    before = {n: (p.detach().clone(), method.logits.gates[n].phi.detach().clone()) for n, p in method.params.items()}
    with method.applied():
        for n, p in method.params.items():
            value, phi = before[n]
            assert torch.allclose(p, value * torch.sigmoid(l_f * phi) * scale, rtol=1e-4, atol=1e-7)
    method.finish(None)
    for n, p in method.params.items():
        value, phi = before[n]
        assert torch.allclose(p, value * (phi > 0) * scale, rtol=1e-5)


def test_a_round_starts_with_the_tickets_density(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method("continuous", model, total_steps=60, rounds=2)
    assert method.density() == method.logits.density() == 1.0  # all logits are 0
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 29)
    masks = {n: gate.phi.data > 0.1 for n, gate in method.logits.gates.items()}
    assert 0.1 < sum(int(m.sum()) for m in masks.values()) / sum(m.numel() for m in masks.values()) < 0.9
    run_steps(model, method, optimizer, 29, 30)
    assert float(method.logits.density()) == pytest.approx(method.density())
    for n, m in method.masks().items():
        assert m[masks[n]].all()
    assert 0.1 < method.stats()["density"] < 0.9
    assert method.stats()["flips"] < 0.9


def test_rounds_start_anew_and_keep_what_was_pruned(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method("continuous", model, total_steps=60, rounds=2)
    assert [round(method.temperatures(step)[0], 3) for step in (0, 29, 30, 59)] == [1, 200, 1, 200]
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 29)
    phi = {n: gate.phi.detach().clone() for n, gate in method.logits.gates.items()}
    run_steps(model, method, optimizer, 29, 30)
    for n, gate in method.logits.gates.items():
        assert gate.phi.max() <= 0
        assert gate.phi[phi[n] < -0.05].max() < -5  # times 200


def test_evaluating_other_weights_moves_no_mask(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method("sr_ste", model, total_steps=40, choose="once", start=0.5)
    run_steps(model, method, make_adamw(model), 0, 21)  # the mask has just been chosen
    before = {n: m.clone() for n, m in method.masks().items()}
    for p in method.params.values():
        p.data.copy_(torch.randn_like(p))  # as a running mean of weights stands in for them
    with method.applied():
        assert all(not p[~before[n]].any() for n, p in method.params.items())
    assert all(m.equal(before[n]) for n, m in method.masks().items())


def test_more_rounds_than_steps_are_refused(make_tagger, make_method):
    with pytest.raises(ConfigError, match="sparse.rounds: 9 rounds do not fit into a phase of 8 steps"):
        make_method("continuous", make_tagger(), steps=8, rounds=9)


def test_a_phase_of_several_rounds_ends_early_in_its_last_one_alone(make_tagger, make_method, run_steps):
    model = make_tagger()
    method = make_method("continuous", model, total_steps=48, rounds=2, stop_flips=0.9, phi_lr=0.05)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    method.has_moved = True  # so that less than 90 % of flips ends it
    run_steps(model, method, optimizer, 0, 24)  # the first round and the step back to its start
    assert method.phase == "search"
    run_steps(model, method, optimizer, 24, 30)
    assert method.phase == "sparse"
    assert method.density() > 0.1
