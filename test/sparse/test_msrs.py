"""MSRS: where logits come to rest, what Adam makes of lambda, which support is found, when the phase ends."""

import math

import pytest
import torch
from torch import nn

from msrs.errors import ConfigError
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.gates import logit_gradient
from msrs.sparse.logits import _FASTEST
from msrs.sparse.msrs import Msrs
from msrs.sparse.schedules import Temperature


class Line(nn.Module):
    """y = W x without bias, under a name that is masked."""

    def __init__(self, inputs: int, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.blocks = nn.ModuleList([nn.Linear(inputs, 1, bias=False, dtype=dtype)])

    @property
    def weight(self) -> nn.Parameter:
        return self.encoder.blocks[0].weight


def constant(value: float) -> Temperature:
    return Temperature(curve="constant", start=value)


def settle(force: float, steps: int, **keys: object) -> float:
    """phi after steps of a loss -force * w~ with theta = 1 held still."""
    model = Line(1)
    nn.init.ones_(model.weight)
    keys = {"min_density": 0.0, "rescale": False, "forward": constant(1.0), "backward": constant(1.0)} | keys
    keys |= {"granularity": "weight"}
    method = SPARSE_METHODS.build(Msrs.Config(steps=steps, stop_flips=0.0, **keys))
    method.attach(model, steps + 1, 1, 0)
    for step in range(steps - 1):  # the last step of a phase ends it
        method.before_forward(step)
        model.weight.grad = None
        (-force * model.weight).sum().backward()
        method.after_backward(step)
        method.after_step(step, None)
    return float(method.logits.gates["encoder.blocks.0.weight"].phi)


@pytest.mark.parametrize(("strength", "rest"), [(0.1, 2.0634), (0.2, 0.9624), (0.3, -6.0)])
def test_the_linear_penalty_leaves_helpful_weights_at_the_derived_point(strength, rest):
    keys = {"phi_optimizer": "sgd", "phi_lr": 0.1, "phi_start": 0.2, "phi_clamp": 6.0}
    assert settle(1.0, 2001, strength=strength, **keys) == pytest.approx(rest, abs=1e-3)
    if rest > 0:
        root = math.sqrt(1 - 4 * strength)
        assert rest == pytest.approx(math.log((1 + root) / (1 - root)), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "strength", "phi"), [("adam", 1e-6, -7.920792), ("adam", 1e-9, -0.727273), ("sgd", 1e-6, -8e-6)]
)
def test_without_data_adam_moves_logits_by_its_rate_whatever_lambda(kind, strength, phi):
    got = settle(0.0, 401, strength=strength, phi_optimizer=kind, phi_lr=0.02, phi_start=0.0, phi_clamp=None)
    assert got == pytest.approx(phi, rel=1e-4)


def recover(seed: int, **keys: object) -> tuple[int, int]:
    """(true kept, false kept) of ten true weights among twenty."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(200, 20, generator=generator, dtype=torch.float64)
    truth = torch.zeros(20, dtype=torch.float64)
    signs = torch.where(torch.rand(10, generator=generator) < 0.5, -1.0, 1.0).double()
    truth[torch.randperm(20, generator=generator)[:10]] = torch.linspace(0.5, 2, 10, dtype=torch.float64) * signs
    model = Line(20, torch.float64)
    model.weight.data = 0.3 * torch.randn(1, 20, generator=generator, dtype=torch.float64)
    keys = {"strength": 1e-3, "phi_start": 0.0, "phi_lr": 0.02, "rescale": False, "min_density": 0.0} | keys
    keys |= {"granularity": "weight"}
    method = SPARSE_METHODS.build(Msrs.Config(steps=400, finish="sparse", **keys))
    method.attach(model, 400, 400, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(400):
        method.before_forward(step)
        optimizer.zero_grad()
        (inputs @ (model.weight[0] - truth)).square().mean().backward()
        method.after_backward(step)
        optimizer.step()
        method.after_step(step, optimizer)
    assert method.phase == "sparse"
    kept = model.weight[0] != 0
    return int((kept & (truth != 0)).sum()), int((kept & (truth == 0)).sum())


@pytest.mark.parametrize("seed", range(5))
def test_the_true_support_is_recovered(seed):
    assert recover(seed) == (10, 0)


def test_a_stronger_penalty_loses_weak_true_weights_and_the_soft_penalty_works_too():
    weak, false = recover(0, strength=3e-2)
    assert 5 <= weak <= 8
    assert false == 0
    true, false = recover(0, penalty="sigmoid", backward=None, phi_clamp=None)
    assert true >= 9
    assert false == 0


def test_alternating_updates_move_weights_and_logits_in_turn(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    keys = {"update": "alternate", "alternate_steps": 2, "strength": 1e-4, "min_density": 0.0}
    method = make_method("msrs", model, steps=40, **keys)
    optimizer = make_adamw(model)
    name = next(iter(method.params))

    def state() -> tuple[torch.Tensor, torch.Tensor]:
        return method.params[name].detach().clone(), method.logits.gates[name].phi.detach().clone()

    before = state()
    for step in range(8):
        run_steps(model, method, optimizer, step, step + 1)
        after = state()
        is_weights = step % 4 < 2
        assert before[0].equal(after[0]) != is_weights
        assert before[1].equal(after[1]) == is_weights
        before = after


def test_logits_stand_still_while_lambda_is_calibrated(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method("msrs", model, steps=100, calibration_steps=10)
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 9)
    assert all(gate.phi.eq(0.1).all() for gate in method.logits.gates.values())
    assert method.stats()["lambda"] == 0
    run_steps(model, method, optimizer, 9, 12)
    assert all(gate.phi.ne(0.1).any() for gate in method.logits.gates.values())
    assert method.stats()["lambda"] > 0


def test_rescaled_the_model_starts_as_the_dense_one_and_folds_the_scale_at_the_end(
    make_tagger, make_method, make_batch
):
    model = make_tagger()
    dense = model(make_batch(0)[0])
    method = make_method("msrs", model, steps=10)
    method.before_forward(0)
    assert torch.allclose(model(make_batch(0)[0]), dense, atol=1e-6)
    with torch.no_grad():
        method.swap.restore(method.params)
    theta = {name: p.detach().clone() for name, p in method.params.items()}
    free = make_method("msrs", make_tagger(), steps=10, rescale=False, phi_start=0.0)
    free.before_forward(0)
    for name, p in free.params.items():
        assert torch.allclose(p, theta[name] / 2)
    folded = make_method("msrs", make_tagger(), steps=10, phi_start=0.0, finish="sparse", min_density=0.0)
    folded.before_forward(0)
    folded.after_backward(0)
    for gate in folded.logits.gates.values():
        gate.phi.data.view(-1)[::2] = 0.5
    folded.finish(None)
    for name, p in folded.params.items():
        kept = p.view(-1)[::2]
        assert torch.allclose(kept, 2 * theta[name].view(-1)[::2])  # c stays sigma(0)
        assert not p.view(-1)[1::2].any()


def test_the_phase_ends_once_the_mask_stands_still_after_it_moved(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method("msrs", model, total_steps=300, epochs=50, stop_flips=0.02, phi_lr=0.05, calibration_steps=12)
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 12)  # two epochs without any flip: it has not moved yet
    assert method.phase == "search"
    run_steps(model, method, optimizer, 12, 300)
    assert method.phase == "dense"
    assert method.step > 250  # the trainer's steps go on
    never = make_method("msrs", make_tagger(), epochs=3, stop_flips=0.0)
    assert never.num_steps == 18


def test_minimum_density_holds_under_any_lambda(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method("msrs", model, steps=60, strength=10.0, min_density=0.1, finish="sparse")
    run_steps(model, method, make_adamw(model), 0, 60)
    for name, mask in method.masks().items():
        assert int(mask.sum()) == math.ceil(0.1 * mask.numel()), name


@pytest.mark.parametrize(
    ("keys", "interval"),
    [
        ({"phi_start": 0.1}, 4),
        ({"phi_start": 0.3}, 13),
        ({"phi_start": 0.3, "update": "alternate"}, 13),  # logits move at odd steps alone
        ({"phi_start": 0.1, "phi_optimizer": "sgd", "phi_lr": 0.01}, 1),
    ],
    ids=str,
)
def test_minimum_density_holds_at_every_step_of_the_search(
    keys, interval, make_tagger, make_method, make_adamw, run_steps
):
    model = make_tagger()
    keys = {"steps": 320, "phi_lr": 0.003, "strength": 10.0, "min_density": 0.1} | keys
    method = make_method("msrs", model, total_steps=320, **keys)
    assert method.logits.guard_every == interval

    def check(step):
        for name, mask in method.masks().items():
            assert int(mask.sum()) >= math.ceil(0.1 * mask.numel()), (step, name)

    run_steps(model, method, make_adamw(model), 0, 319, check)
    assert method.density() < 0.11


def test_the_guard_looks_again_before_adam_can_undo_it():
    """The fastest way down: silence, then gradients that grow as Adam's second moment forgets."""
    decay, forget = 0.9, 0.999
    pulls = [(decay / forget) ** i for i in range(400)][::-1]
    phi = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.Adam([phi], lr=1.0, betas=(decay, forget), eps=1e-30)
    falls = []
    for pull in [0.0, *pulls]:
        before = float(phi.detach())
        phi.grad = torch.full((1,), pull, dtype=torch.float64)
        optimizer.step()
        optimizer.state[phi]["step"].fill_(100_000)
        falls.append(before - float(phi.detach()))
    assert 7.25 < max(falls) < _FASTEST


@pytest.mark.parametrize("target", [0.1, 0.25, 0.8])
def test_a_steered_lambda_reaches_the_target_density(target, make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method(
        "msrs", model, total_steps=400, steps=300, stop_flips=0.0, strength="steered", target_density=target
    )
    run_steps(model, method, make_adamw(model), 0, 300)
    assert method.density() == pytest.approx(target, abs=0.02)


def test_impossible_temperatures_are_refused():
    hard, still = Temperature(curve="straight_through"), Temperature(curve="constant", start=0.0)
    for keys in ({"backward": hard}, {"forward": hard, "backward": None}, {"forward": hard, "phi_start": 0.0},
                 {"backward": still}, {"forward": still, "backward": None}):  # fmt: skip
        with pytest.raises(ConfigError, match="sparse"):
            SPARSE_METHODS.build(Msrs.Config(**keys))


def test_starts_that_cannot_be_rescaled_or_lie_beyond_the_clamp_are_refused():
    for name, keys, message in (
        ("msrs", {"phi_start": -0.3}, "sparse.rescale: false"),
        ("msrs", {"phi_start": 1.5}, "larger phi_clamp"),
        ("msrs", {"phi_start": -1.5, "rescale": False}, "larger phi_clamp"),
        ("continuous", {"phi_start": 0.3, "phi_clamp": 0.2}, "larger phi_clamp"),
    ):
        with pytest.raises(ConfigError, match=message):
            SPARSE_METHODS.build(SPARSE_METHODS[name].Config(**keys))
    SPARSE_METHODS.build(Msrs.Config(phi_start=-0.3, rescale=False))
    SPARSE_METHODS.build(Msrs.Config(phi_start=1.5, phi_clamp=None))


@pytest.mark.parametrize("keys", [{}, {"penalty": "sigmoid"}, {"penalty": "sigmoid", "backward": None}], ids=str)
@pytest.mark.parametrize("strength", ["quantile", "steered"])
def test_lambda_outweighs_its_quantile_of_the_forces_whatever_the_penalty(strength, keys, make_tagger):
    config = Msrs.Config(
        granularity="weight", target_density=0.25, calibration_steps=5, steps=100, strength=strength, rescale=False,
        phi_start=0.5, **keys,
    )  # fmt: skip
    method = SPARSE_METHODS.build(config)
    method.attach(make_tagger(), 100, 10, 0)
    for step in range(5):
        method.before_forward(step)
        for p in method.params.values():
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
        method.after_backward(step)
        forces = {name: gate.phi.grad.clone() for name, gate in method.logits.gates.items()}
        method.after_step(step, None)
    falls = []
    for name, gate in method.logits.gates.items():
        value, l_b = method.logits.strength.current[name], method.temperatures(4)[1]
        penalty = logit_gradient(torch.zeros_like(gate.phi), gate.phi.data, l_b, 1.0, value, config.penalty == "linear")
        falls.append((forces[name].abs() < penalty).flatten())
    assert float(torch.cat(falls).float().mean()) == pytest.approx(0.5, abs=0.01)  # q = 2 * .75 - 1


def test_temperatures_over_the_phase():
    geometric = Temperature()
    assert [round(geometric.value(i, 85), 4) for i in (0, 1, 42, 84)] == [1.0, 1.0651, 14.1421, 200.0]
    stepped = Temperature(per_epoch=True)
    assert [round(stepped.value(i, 850, 10), 4) for i in (0, 9, 10, 19, 849)] == [1.0, 1.0, 1.0651, 1.0651, 200.0]
    two = Temperature(curve="two_stage", start=2.0, end=9.0, switch=0.5)
    assert [two.value(i, 10) for i in (0, 4, 5, 9)] == [2.0, 2.0, 9.0, 9.0]
    assert math.isinf(Temperature(curve="straight_through").value(0, 10))
    assert Temperature(curve="constant", start=5.0).value(7, 10) == 5.0


def test_a_phase_that_could_only_end_with_an_empty_model_is_refused(make_tagger, make_method):
    with pytest.raises(ConfigError, match="sparse.steps: a mask phase of 1 step ends before a logit has moved"):
        make_method("continuous", make_tagger(), steps=1)
    for keys in ({"strength": 0.0}, {"phi_start": 0.1}, {"steps": 2}):
        make_method("continuous", make_tagger(), **{"steps": 1, **keys})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"update": "alternate", "alternate_steps": 60}, "sparse.alternate_steps"),
        ({"update": "alternate", "steps": 2, "alternate_steps": 2}, "sparse.alternate_steps"),
        ({"steps": 1}, "sparse.steps"),
    ],
)
def test_logits_whose_turn_never_comes_are_told(keys, message, make_tagger, make_method, caplog):
    make_method("msrs", make_tagger(), total_steps=60, strength="steered", **keys)
    assert "the mask of msrs never moves" in caplog.text
    assert message in caplog.text
    caplog.clear()
    make_method("msrs", make_tagger(), total_steps=60, strength="steered", **keys | {"alternate_steps": 1, "steps": 3})
    assert "never moves" not in caplog.text


@pytest.mark.parametrize("name", ["msrs", "continuous", "sr_ste"])
def test_a_density_that_two_of_four_cannot_have_is_told(name, make_tagger, make_method, caplog):
    keys = {} if name == "sr_ste" else {"granularity": "2:4"}
    make_method(name, make_tagger(), target_density=0.1, **keys)
    assert "sparse.target_density: 0.1 is not what 2:4 can keep" in caplog.text
    caplog.clear()
    make_method(name, make_tagger(), target_density=0.5, **keys)
    assert not caplog.text
