"""The contract that every sparse method keeps, tested over the table."""

import io
import math

import pytest
import torch

from msrs import config as configuration
from msrs.errors import ConfigError, TrainingError
from msrs.log import LOGGER
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.msrs import Msrs
from msrs.sparse.schedules import Temperature
from msrs.train.options import TrainConfig

METHODS = [name for name in SPARSE_METHODS if name != "none"]
VARIANTS = [
    *((name, {}) for name in METHODS),
    ("msrs", {"granularity": "2:4"}),
    ("msrs", {"granularity": "neuron"}),
    ("msrs", {"update": "alternate"}),
    ("msrs", {"strength": "steered", "strength_per_tensor": True}),
    ("msrs", {"forward": Temperature(curve="straight_through")}),
    ("msrs", {"phi_optimizer": "sgd", "phi_lr": 30.0}),
    ("continuous", {"rounds": 3}),
    ("set", {"drop": "sign", "interval": 4}),
    ("gmp", {"scope": "layer"}),
    ("sr_ste", {"choose": "once", "start": 0.3}),
    ("control_shrink", {"hold": "phase"}),
    ("control_mask", {"change": "shuffled", "weights": "redrawn", "rescale": True}),
]
IDS = ["-".join([name, *map(str, keys.values())])[:50] for name, keys in VARIANTS]
METHODS_DENSE = [f"{name}-then-dense" for name in METHODS]
EARLY = {"steps": 18}  # three epochs of the tests' six steps


def saved(state: dict) -> dict:
    """What comes back from a checkpoint."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def snapshot(model, method, optimizer) -> dict:
    return saved({"model": model.state_dict(), "method": method.state_dict(), "optimizer": optimizer.state_dict()})


def assert_equal(first: object, second: object, where: str = "state") -> None:
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_equal(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, (list, tuple)):
        assert_equal(dict(enumerate(first)), dict(enumerate(second)), where)
    else:
        assert first == second, where


@pytest.mark.parametrize(
    ("name", "keys"), [*VARIANTS, *((name, {"finish": "dense"}) for name in METHODS)], ids=[*IDS, *METHODS_DENSE]
)
def test_save_and_resume_in_every_phase_is_bitwise(name, keys, make_tagger, make_method, make_adamw, run_steps):
    keys = {"finish": "sparse"} | keys

    def start():
        model = make_tagger()
        return model, make_method(name, model, **EARLY, **keys), make_adamw(model)

    kept = {}
    model, method, optimizer = start()
    run_steps(
        model, method, optimizer, 0, 24,
        lambda step: kept.update({step: snapshot(model, method, optimizer)}) if step in (1, 13, 20) else None,
    )  # fmt: skip
    last = snapshot(model, method, optimizer)
    assert {state["method"]["phase"] for state in kept.values()} == {"search", keys["finish"]}
    for step, state in kept.items():
        model, method, optimizer = start()
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        method.load_state_dict(state["method"])
        run_steps(model, method, optimizer, step + 1, 24)
        assert_equal(last, snapshot(model, method, optimizer), f"resumed after {step}")


@pytest.mark.parametrize(("name", "keys"), VARIANTS, ids=IDS)
def test_zeros_stay_exactly_zero_for_100_steps_of_a_sparse_finish(
    name, keys, make_tagger, make_method, make_adamw, run_steps
):
    model = make_tagger()
    method = make_method(name, model, total_steps=200, finish="sparse", **EARLY, **keys)
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 15)
    assert method.phase == "search"
    assert all(math.isfinite(value) for value in method.stats().values())
    run_steps(model, method, optimizer, 15, 18)
    assert method.phase == "sparse"
    assert method.stats()["density"] == method.density()
    masks = {n: mask.clone() for n, mask in method.masks().items()}
    assert any(not mask.all() for mask in masks.values()) or name == "control_shrink"
    average = {n: p.detach().clone() for n, p in method.params.items()}

    def check(step):
        for n, p in method.params.items():
            average[n].mul_(0.9).add_(p.detach(), alpha=0.1)

    run_steps(model, method, optimizer, 18, 118, check)
    for n, p in method.params.items():
        zero = ~masks[n]
        assert torch.equal(method.masks()[n], masks[n])
        for tensor in (p, average[n], optimizer.state[p]["exp_avg"], optimizer.state[p]["exp_avg_sq"]):
            assert not tensor[zero].any(), n
        assert p[masks[n]].ne(0).float().mean() > 0.9, n


@pytest.mark.parametrize(("name", "keys"), VARIANTS, ids=IDS)
def test_after_a_dense_finish_every_weight_moves_and_the_model_still_learns(
    name, keys, make_tagger, make_method, make_adamw, run_steps
):
    model = make_tagger()
    method = make_method(name, model, finish="dense", **EARLY, **keys)
    optimizer = make_adamw(model)
    losses = run_steps(model, method, optimizer, 0, 40)
    assert method.phase == "dense"
    for n, p in method.params.items():
        assert p.ne(0).float().mean() > 0.95, n
    assert losses[-1] < losses[0] - 0.1
    assert method.stats() == {"density": 1.0, "found_density": method.density(), "is_searching": 0.0}


@pytest.mark.parametrize(("name", "keys"), VARIANTS, ids=IDS)
def test_applied_shows_the_effective_weights_and_gives_theta_back(
    name, keys, make_tagger, make_method, make_adamw, run_steps
):
    model = make_tagger()
    method = make_method(name, model, **EARLY, **keys)
    run_steps(model, method, make_adamw(model), 0, 10)
    theta = {n: (p.data_ptr(), p.detach().clone()) for n, p in method.params.items()}
    try:
        with method.applied(), method.applied():
            raise KeyError
    except KeyError:
        pass
    for n, p in method.params.items():
        assert p.data_ptr() == theta[n][0]
        assert torch.equal(p, theta[n][1])
    with method.applied():
        for n, mask in method.masks().items():
            if method.config.type not in ("msrs", "continuous"):  # whose masks are soft
                assert not method.params[n][~mask].any()


@pytest.mark.parametrize(("name", "keys"), VARIANTS, ids=IDS)
def test_two_runs_of_one_seed_are_equal_and_bf16_parameters_train(
    name, keys, make_tagger, make_method, make_adamw, run_steps
):
    ends = []
    for _ in range(2):
        model = make_tagger()
        model.encoder.blocks.bfloat16()
        method = make_method(name, model, finish="sparse", **EARLY, **keys)
        losses = run_steps(model, method, make_adamw(model), 0, 24)
        assert all(math.isfinite(loss) for loss in losses)
        for n, p in method.params.items():
            assert p.dtype == torch.bfloat16
            assert not p[~method.masks()[n]].any()
        ends.append((losses, {n: p.detach().clone() for n, p in model.named_parameters()}))
    assert_equal(*ends)


@pytest.mark.parametrize("name", list(SPARSE_METHODS))
def test_config_round_trip(name, mask_path):
    document = configuration.parse_document(
        f"sparse: {{type: {name}{f', masks: {mask_path}' if name == 'control_mask' else ''}}}", "train.yaml"
    )

    @configuration.config
    class Outer:
        sparse: SPARSE_METHODS.config_type()

    built = configuration.build(Outer, document)
    again = configuration.build(Outer, configuration.parse_document(configuration.to_yaml(built), "again.yaml"))
    assert again == built
    assert isinstance(SPARSE_METHODS.build(built.sparse), SPARSE_METHODS[name])


def test_none_changes_nothing(make_tagger, make_method, make_adamw, run_steps):
    losses = []
    for name in ("none", None):
        model = make_tagger()
        optimizer = make_adamw(model)
        if name is None:
            method = SPARSE_METHODS.build(SPARSE_METHODS["none"].Config())  # never attached
        else:
            method = make_method(name, model)
        losses.append(run_steps(model, method, optimizer, 0, 8))
        assert method.stats() == {}
        assert method.masks() == {}
        method.load_state_dict(saved(method.state_dict()))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("finish", ["dense", "sparse"])
def test_what_the_log_tells_survives_a_save_within_the_epoch_that_ends_the_phase(
    finish, make_tagger, make_method, make_adamw, run_steps
):
    def start():
        model = make_tagger()
        return model, make_method("msrs", model, steps=15, phi_lr=0.3, finish=finish), make_adamw(model)

    def follow(first, model, method, optimizer):
        kept = {}

        def keep(step):
            kept[step] = snapshot(model, method, optimizer) | {"stats": method.stats()}

        run_steps(model, method, optimizer, first, 24, keep)
        return kept

    kept = follow(0, *start())
    assert kept[17]["stats"]["flips"] > 0
    for step in (13, 15, 17):
        model, method, optimizer = start()
        model.load_state_dict(kept[step]["model"])
        optimizer.load_state_dict(kept[step]["optimizer"])
        method.load_state_dict(kept[step]["method"])
        assert method.stats() == kept[step]["stats"]
        for later, state in follow(step + 1, model, method, optimizer).items():
            assert state["stats"] == kept[later]["stats"]


@pytest.mark.parametrize("granularity", ["weight", "neuron"])
@pytest.mark.parametrize("finish", ["sparse", "dense"])
@pytest.mark.parametrize("step", [3, 8, 14, 20])
def test_checkpoints_of_before_load(step, finish, granularity, make_tagger, make_method, make_adamw, run_steps):
    """Without the newer keys, with a mask in the search too, and with masks of units as whole matrices."""
    states = []
    keys = {"steps": 15, "phi_lr": 0.1, "finish": finish, "granularity": granularity}
    for is_old in (False, True):
        model = make_tagger()
        method, optimizer = make_method("msrs", model, **keys), make_adamw(model)
        run_steps(model, method, optimizer, 0, step)
        state = saved(method.state_dict())
        if is_old:
            for key in ("flipped", "ends_now", "has_just_ended"):
                del state[key]
            state["search"].get("logits", {}).pop("num_moves", None)
            if method.phase == "search":
                state["mask"] = {n: torch.ones_like(p, dtype=torch.bool) for n, p in method.params.items()}
            for masks in (state["mask"], state["previous"]):
                masks.update({n: mask.contiguous() for n, mask in masks.items()})
        method = make_method("msrs", model, **keys)
        method.load_state_dict(state)
        flips = []
        run_steps(model, method, optimizer, step, 24, lambda _, m=method, f=flips: f.append((m.flips, m.masks())))
        states.append({"flips": flips[-1 if step > 12 else 0 :], **dict(model.named_parameters())})
        assert method.phase == finish
        held = sum(mask.untyped_storage().nbytes() for mask in method.mask.values())
        whole = sum(mask.numel() for mask in method.masks().values())
        assert held == (0 if finish == "dense" else whole if granularity == "weight" else whole // 8)
    assert_equal(*states)


def test_a_checkpoint_of_another_method_is_refused(make_tagger, make_method):
    state = make_method("rigl", make_tagger()).state_dict()
    with pytest.raises(TrainingError, match="'rigl'"):
        make_method("msrs", make_tagger()).load_state_dict(state)
    other = make_method("static", make_tagger(), include=["encoder.blocks.0.*"])
    state = make_method("static", make_tagger()).state_dict()
    with pytest.raises(TrainingError, match="does not mask"):
        other.load_state_dict(state)


@pytest.mark.parametrize(
    ("keys", "num_epochs", "num_steps", "is_told"),
    [
        ({"epochs": 5}, 16.0, 30, False),
        ({"epochs": 5}, 5, 33, False),  # all of the run, whatever its first epoch's length
        ({"epochs": 6}, 5, 33, True),
        ({"epochs": 5.9}, 6, 33, False),  # by the first epoch's length 35
        ({"steps": 33}, 5, 33, False),
        ({"steps": 34}, 5, 33, True),
        ({"epochs": None}, 5, 33, False),
    ],
)
def test_a_phase_longer_than_the_run_is_cut(
    keys, num_epochs, num_steps, is_told, make_tagger, make_method, monkeypatch
):
    told = []
    monkeypatch.setattr(LOGGER, "warning", lambda message, *values: told.append(message % values))
    method = make_method("msrs", make_tagger(), total_steps=33, num_epochs=num_epochs, **keys)
    assert method.num_steps == num_steps
    assert [line for line in told if "longer than the run" in line] == told
    assert bool(told) == is_told


def test_the_defaults_are_those_that_the_reference_or_development_sets_settle():
    config = Msrs.Config()
    assert (config.granularity, config.strength, config.target_density, config.epochs) == (
        "neuron",
        "steered",
        0.5,
        2.0,
    )
    assert (config.phi_start, config.phi_clamp, config.finish, config.stop_flips) == (0.1, 1.0, "dense", 0.001)
    assert (config.forward.start, config.forward.end, config.backward.start) == (1.0, 200.0, 5.0)


def test_yaml_keys_reach_the_method_and_mistakes_are_told():
    @configuration.config
    class Outer:
        sparse: SPARSE_METHODS.config_type()

    def read(text):
        return configuration.build(Outer, configuration.parse_document(f"sparse: {{{text}}}", "train.yaml")).sparse

    built = read("type: msrs, strength: 0, forward: {curve: constant, start: 3}, backward: null, include: ['a.*', b]")
    assert isinstance(built.strength, float)
    assert built.forward.value(9, 10) == 3
    assert built.backward is None
    assert built.include == ("a.*", "b")
    assert read("type: msrs, strength: steered").strength == "steered"
    for text, message in {
        "type: rigl, target_densty: 0.2": "target_density",
        "type: msrs, target_density: 1.5": "target_density",
        "type: msrs, forward: {curv: constant}": "curve",
        "type: msrs, strength: soft": "strength",
        "type: control_mask": "masks",
        "type: mrsr": "msrs",
        "type: msrs, forward: {start: 0}": "above 0",
        "type: msrs, forward: {end: 0}": "above 0",
        "type: msrs, backward: {curve: constant, start: -1}": "start",
        "type: msrs, forward: {curve: two_stage, switch: 5}": "switch",
        "type: msrs, strength: -1": "strength",
        "type: sr_ste, decay: -1": "decay",
        "type: msrs, include: 'encoder.*'": r"include: expected a list, such as \[encoder",
        "type: msrs, forward: 200": "forward: expected a group of options, such as {key: value}, given 200",
        "type: RIGL": "did you mean rigl",
    }.items():
        with pytest.raises(ConfigError, match=rf"train.yaml:1: .*{message}"):
            read(text)


@pytest.mark.parametrize("name", METHODS)
def test_a_density_that_keeps_no_weight_is_refused(name):
    def build(**keys):
        values = {"type": name} | ({"masks": "m.npz"} if name == "control_mask" else {}) | keys
        return configuration.build(TrainConfig, configuration.Document({"sparse": values}, {}, "train.yaml"))

    with pytest.raises(ConfigError, match="train.yaml: sparse: target_density 0 keeps no weight; expected a share"):
        build(target_density=0.0, min_density=0.0)
    assert build(target_density=0.0, min_density=0.01).sparse.min_density == 0.01
    build()
