"""SET, RigL, gradual pruning, GraNet: worked updates, constant counts, schedules."""

import pytest
import torch

from msrs.errors import ConfigError
from msrs.sparse.evolving import keep_by_sign
from msrs.sparse.masked import replace
from msrs.sparse.schedules import cubic_density

WEIGHT = torch.tensor([0.9, -0.1, 0.5, 0.05, -0.7, 0.3, 0.0, 0.0, 0.0, 0.0])
MASK = torch.arange(10) < 6


def places(mask: torch.Tensor) -> list[int]:
    return mask.nonzero().flatten().tolist()


def test_rigl_update_of_the_worked_example():
    gradient = torch.tensor([0, 0.8, 0.1, 0.2, 0.1, 0.1, 0.3, -0.9, 0.05, 0.6])
    assert places(replace(WEIGHT, MASK, gradient.abs(), 2)) == [0, 1, 2, 4, 5, 7]  # 1 returns with its value
    gradient[1] = 0.2
    assert places(replace(WEIGHT, MASK, gradient.abs(), 2)) == [0, 2, 4, 5, 7, 9]


def test_set_drops_of_the_worked_example():
    assert places(keep_by_sign(WEIGHT, MASK, 1 / 3)) == [0, 2, 4, 5]


@pytest.mark.parametrize(("name", "keys"), [("rigl", {}), ("set", {}), ("set", {"drop": "sign"})])
def test_counts_stay_and_places_move(name, keys, make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method(name, model, total_steps=60, interval=6, target_density=0.3, **keys)
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 1)
    first = {n: m.clone() for n, m in method.masks().items()}
    fresh = []

    def check(step):
        for n, m in method.masks().items():
            assert int(m.sum()) == int(first[n].sum())
            assert not method.params[n][~m].any()
            fresh.append(int((m & (method.params[n] == 0)).sum()))
            assert not optimizer.state[method.params[n]]["exp_avg"][m & (method.params[n] == 0)].any()

    run_steps(model, method, optimizer, 1, 60, check)
    assert sum(fresh) > 0  # right after an update grown weights are zero
    moved = sum(int((m != first[n]).sum()) for n, m in method.masks().items())
    assert moved > 0.1 * sum(m.numel() for m in first.values())
    last = {n: m.clone() for n, m in method.masks().items()}
    again = make_method(name, make_tagger(), total_steps=60, interval=6, target_density=0.3, **keys)
    run_steps(model, again, optimizer, 0, 1)
    assert all(m.equal(first[n]) for n, m in again.masks().items())
    assert last.keys() == first.keys()


def test_rigl_stops_moving_and_fits_twenty_updates(make_tagger, make_method):
    method = make_method("rigl", make_tagger(), total_steps=1000)
    times = [step for step in range(1000) if method.moves_at(step)]
    assert method.interval() == 37
    assert len(times) == 20
    assert max(times) < 750
    assert make_method("rigl", make_tagger(), total_steps=100_000).interval() == 100
    method = make_method("set", make_tagger(), total_steps=1000)
    times = [step for step in range(1000) if method.moves_at(step)]
    assert times == list(range(5, 749, 6))  # after the last step of each of the first three quarters of the epochs
    assert method.drop_share(0) == pytest.approx(0.3)
    assert make_method("rigl", make_tagger(), drop_decay="constant").drop_share(50) == 0.3


def test_rigl_grows_where_the_dense_gradient_is_largest(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method("rigl", model, total_steps=100, interval=5, target_density=0.3)
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 5)
    before = {n: m.clone() for n, m in method.masks().items()}
    seen = {}
    move = method.move

    def spy(step, dense):
        seen.update(dense)
        return move(step, dense)

    method.move = spy
    run_steps(model, method, optimizer, 5, 6)
    for n, m in method.masks().items():
        grown, left_out = m & ~before[n], ~m & ~before[n]
        assert grown.any()
        assert seen[n][grown].abs().min() >= seen[n][left_out].abs().max()


def test_gradual_pruning_follows_the_cubic_to_its_exact_end(make_tagger, make_method, make_adamw, run_steps):
    expected = [0, 0.2439, 0.4392, 0.5913, 0.7056, 0.7875, 0.8424, 0.8757, 0.8928, 0.8991, 0.9]
    assert [round(1 - cubic_density(1.0, 0.1, i / 10), 4) for i in range(11)] == expected
    model = make_tagger()
    method = make_method("gmp", model, total_steps=60, interval=3, start=0.1, end=0.6, target_density=0.1)
    densities = {}
    run_steps(model, method, make_adamw(model), 0, 60, lambda step: densities.update({step: method.density()}))
    assert densities[5] == 1.0
    assert list(densities.values()) == sorted(densities.values(), reverse=True)
    total = sum(p.numel() for p in method.params.values())
    assert densities[59] == pytest.approx(0.1, abs=1 / total)
    assert len(set(densities.values())) > 8


def test_global_pruning_ranks_all_layers_and_layer_scope_each(make_tagger, make_method):
    for scope in ("global", "layer"):
        model = make_tagger()
        method = make_method(
            "gmp", model, total_steps=40, scope=scope, target_density=0.5, include=["encoder.blocks.*"]
        )
        method.before_forward(0)
        names = list(method.params)
        with torch.no_grad():
            for name, p in method.params.items():
                p.fill_(1.0 if name == names[0] else 2.0)
                p.view(-1)[0] = 3.0
        first, interval, count = method.times()
        pruned = method.move(first + interval * count, {})
        shares = [float(m.float().mean()) for m in pruned.values()]
        if scope == "layer":
            assert shares == [0.5] * len(shares)
        else:
            assert int(pruned[names[0]].sum()) == 1
            assert shares[1] == 1.0


def test_the_two_layer_example_of_global_pruning():
    from msrs.sparse.ranking import keep_largest_of_all

    layers = {"a": torch.tensor([1, 0.2, 0.3, 0.4]), "b": torch.tensor([2, 3, 0.1, 5])}
    kept = keep_largest_of_all(layers, 4)
    assert layers["a"][kept["a"]].tolist() == [1]
    assert layers["b"][kept["b"]].tolist() == [2, 3, 5]


def test_granet_prunes_and_regrows_at_an_unchanged_density(make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method("granet", model, total_steps=60, interval=4, start=0.1, end=0.7, target_density=0.1)
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 1)
    assert method.density() == pytest.approx(0.5, abs=0.01)
    grown = 0

    def check(step):
        nonlocal grown
        grown += sum(int((m & ~before[n]).sum()) for n, m in method.masks().items())
        before.update({n: m.clone() for n, m in method.masks().items()})

    before = {n: m.clone() for n, m in method.masks().items()}
    run_steps(model, method, optimizer, 1, 60, check)
    assert grown > 0
    assert method.density() == pytest.approx(0.1, abs=0.002)


@pytest.mark.parametrize("name", ["gmp", "granet"])
@pytest.mark.parametrize("keys", [{"steps": 1}, {"steps": 2}, {"start": 1.0, "end": 1.0}, {"start": 0.5, "end": 0.5}])
def test_gradual_pruning_reaches_its_density_in_any_phase(name, keys, make_tagger, make_method, make_adamw, run_steps):
    model = make_tagger()
    method = make_method(name, model, total_steps=9, target_density=0.2, **keys)
    run_steps(model, method, make_adamw(model), 0, 9)
    assert method.density() == pytest.approx(0.2, abs=0.002)


def test_pruning_that_ends_before_it_starts_is_refused(make_tagger, make_method):
    with pytest.raises(ConfigError, match="sparse.start: 0.8 is after sparse.end, 0.2"):
        make_method("gmp", make_tagger(), start=0.8, end=0.2)


@pytest.mark.parametrize(("name", "keys"), [("gmp", {"start_density": 0.3}), ("granet", {"target_density": 0.6})])
def test_pruning_that_would_have_to_add_weights_is_refused(name, keys, make_tagger, make_method):
    with pytest.raises(ConfigError, match="sparse.start_density: 0.[35] is below sparse.target_density, 0.[56]"):
        make_method(name, make_tagger(), **{"target_density": 0.5, **keys})
    make_method(name, make_tagger(), target_density=0.5, start_density=0.5)


@pytest.mark.parametrize(("name", "keys"), [("rigl", {"steps": 12}), ("set", {"steps": 6}), ("rigl", {"interval": 99})])
def test_a_mask_that_will_never_move_is_told(name, keys, make_tagger, make_method, caplog):
    make_method(name, make_tagger(), total_steps=60, **keys)
    assert "never moves" in caplog.text
    caplog.clear()
    make_method(name, make_tagger(), total_steps=60)
    assert "never moves" not in caplog.text
