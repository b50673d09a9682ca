"""A model that is shared out among two processes trains as one that is held whole, and writes the same files."""

import json
import shutil

import pytest
import torch
from torch.torch_version import TorchVersion

from msrs import config
from msrs.bin.train import main
from msrs.errors import ConfigError, DependencyError
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.mask_file import load_masks, save_masks
from msrs.train.checkpoint import load, load_model
from msrs.train.distributed import World
from msrs.train.experiment import train
from msrs.train.options import TrainConfig
from msrs.train.sharding import check_shardable
from msrs.train.trainer import Trainer

# Nothing is drawn, so that rounding alone differs; epsilon as in test_distributed, and for its reason.
STILL = [
    *("model.encoder.dropout=0", "model.decoder.dropout=0", "model.decoder.attention_dropout=0", "model.ctc.dropout=0"),
    *("model.video_frontend.dropout=0", "model.audio_frontend.dropout=0", "optim.eps=1e-3"),
    *("batching.max_frames=45", "train.average=1", "train.save_every_updates=3", "train.watch_every_updates=5"),
]
# Eight batches an epoch, each split between the two: 16 updates, of which the other kind of run makes the second half.
# The mask is found after 9 of them. Three batches of the development set.
LONG = [*STILL, "train.max_epochs=2", "train.ema=0.9", "model.encoder.checkpoint=true", "train.select_by=last"]
LONG += ["sparse.type=msrs", "sparse.granularity=weight", "sparse.strength=quantile"]
LONG += ["sparse.steps=9", "sparse.calibration_steps=2", "sparse.finish=sparse"]
STOP = 7  # where update 6 was the last to be saved
# Of three batches an update the third is one process's alone, and the other keeps it company.
SHORT = [*STILL, "train.accumulate=3", "train.max_epochs=1", "schedule.warmup_updates=1"]
PROGRAM = """
import json, sys
from pathlib import Path
import torch
from torch.distributed.tensor import Shard, distribute_tensor
from msrs import config
from msrs.shards import own_part, part_like, whole
from msrs.sparse.gates import WeightGate
from msrs.sparse.logits import Logits
from msrs.sparse.strength import Strength
from msrs.sparse.zeros import Swap
from msrs.train import shares
from msrs.train.distributed import joined_world
from msrs.train.experiment import train
from msrs.train.options import TrainConfig
from msrs.train.trainer import Trainer
dumps, out, cases = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
run, update = Trainer.run, Trainer.update
meshes = []
def told(self):
    run(self)
    weights = list(self.model.parameters())
    meshes.append(weights[0].device_mesh)
    moments = [state[key] for state in self.optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    counts = {"own": sum(own_part(v).numel() for v in weights + moments), "all": 3 * sum(v.numel() for v in weights)}
    print(json.dumps(counts), flush=True)
def stops(self, batches):
    if self.place.update == stop:
        raise KeyboardInterrupt
    update(self, batches)
Trainer.run, Trainer.update = told, stops
width_of = shares.width_of
with joined_world(use_gpu=False, is_sharded=True) as (world, device):
    for name, overrides, stop, splits in cases:
        shares.width_of = width_of if splits else lambda *_: 1
        options = config.load(TrainConfig, dumps / "train.yaml", overrides)
        try:
            train(options, dumps / "train", dumps / "dev", dumps / "tokens", out / name, device, ["test"], world)
        except KeyboardInterrupt:
            pass
    torch.manual_seed(1)
    theta, phi = torch.rand(7, 5), torch.rand(7, 5) - 0.7
    found = []
    for weights in (theta, distribute_tensor(theta, meshes[0], [Shard(0)])):
        parameter = torch.nn.Parameter(weights)
        gates = {"w": WeightGate("w", parameter.data, 0.1)}
        gates["w"].phi.data.copy_(part_like(phi, parameter))
        logits = Logits(gates, Strength("steered", 0.5, 1, 0.1, False), "adam", 0.01, 1.0, 0.6, 0.1)
        before = logits.density()
        logits.strength.observe({"w": gates["w"].phi.data})
        logits.guard()
        values = [before, logits.density(), logits.strength.current["w"], gates["w"].phi.data]
        swap = Swap()
        with torch.no_grad():
            swap.put("w", parameter, gates["w"].write(parameter.data, 5.0, 1.0))
        values.append(parameter.data.clone())
        swap.restore({"w": parameter})
        values.append(parameter.data)
        found.append([whole(value) for value in values])
    print(json.dumps({"gates": found[0][0].item(), "same": list(map(torch.allclose, *found))}))
"""


def run(dumps, exp, overrides):
    options = config.load(TrainConfig, dumps / "train.yaml", overrides)
    train(options, dumps / "train", dumps / "dev", dumps / "tokens", exp, "cpu", ["test"])


def metrics(exp, kind):
    lines = [json.loads(line) for line in (exp / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture(scope="module")
def folder(dumps, tmp_path_factory):
    """Runs by one process (`plain_*`) and by two that share the model out (`sharded_*`)."""
    out = tmp_path_factory.mktemp("sharding")
    update = Trainer.update

    def stops(self, batches):
        if self.place.update == STOP:
            raise KeyboardInterrupt
        update(self, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "update", stops)
        with pytest.raises(KeyboardInterrupt):
            run(dumps, out / "plain_half", LONG)
    for name in ("plain_whole", "plain_sharded"):
        shutil.copytree(out / "plain_half", out / name)
    run(dumps, out / "plain_whole", LONG)
    generator = torch.Generator().manual_seed(0)
    model = load_model(out / "plain_whole")[0]
    matrices = {n: p for n, p in model.named_parameters() if ".blocks." in n and p.dim() == 2 and "weight" in n}
    save_masks({n: torch.rand(p.shape, generator=generator) < 0.4 for n, p in matrices.items()}, out / "masks.npz")
    return out


def short_cases(folder):
    """One for each sparse method that works on parts, but for msrs over weights and what follows from it."""
    mask = [f"sparse.masks={folder}/masks.npz"]
    return {
        "static": [*SHORT, "sparse.type=static", "sparse.steps=1"],
        "control_mask": [*SHORT, "sparse.type=control_mask", *mask, "sparse.rescale=true"],
        "control_shrink": [*SHORT, "sparse.type=control_shrink", "sparse.hold=phase"],
        "units": [*SHORT, "sparse={type:msrs,strength:quantile,steps:2}", "train.save_every_updates=1"],
    }


@pytest.fixture(scope="module")
def told(dumps, folder, run_processes):
    """What the two processes printed, a line of numbers a whole run."""
    short = short_cases(folder)
    cases = [
        ("sharded_half", LONG, STOP, True),
        ("plain_sharded", LONG, None, True),
        ("sharded_units", short["units"], 1, False),  # goes on within the search, whose masks are whole
        *((f"sharded_{name}", overrides, None, False) for name, overrides in short.items()),
    ]
    return run_processes(PROGRAM, 2, str(dumps), str(folder), json.dumps(cases))


def gap(one, two):
    """Distance of two sets of tensors that have to be alike, as a share of their size."""
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert (two[key].dtype, two[key].shape, type(two[key])) == (value.dtype, value.shape, type(value))
    square = sum(float((two[key].double() - value.double()).square().sum()) for key, value in one.items())
    return (square / sum(float(value.double().square().sum()) for value in one.values())) ** 0.5


def assert_same(one, two, name):
    assert gap(one, two) < 1e-6, name
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}")


def assert_same_model(one, two):
    assert_same(*(load(exp / "checkpoints/average.pt")["model"] for exp in (one, two)), two.name)


def assert_same_masks(one, two):
    first, second = (load_masks(exp / "masks.npz") for exp in (one, two))
    assert first.keys() == second.keys()
    assert all(torch.equal(mask, second[name]) for name, mask in first.items())


def assert_same_numbers(one, two):
    for kind in ("train", "dev"):
        first, second = metrics(one, kind), metrics(two, kind)
        assert [line["num_updates"] for line in first] == [line["num_updates"] for line in second]
        for line, other in zip(first, second, strict=True):
            assert line.keys() == other.keys()
            # The gap is a difference of two losses that are nearly equal.
            tolerances = {
                "loss": 1e-5,
                "accuracy": 1e-6,
                "frames": 0,
                "gradient_norm": 1e-4,
                "wer": 0,
                "vision_gap": 1e-5,
            }
            for key in tolerances.keys() & line.keys():
                assert line[key] == pytest.approx(other[key], rel=1e-5, abs=tolerances[key]), key


def test_a_checkpoint_is_the_one_that_a_process_with_the_whole_model_writes(folder, told):
    one, two = (load(folder / name / "checkpoints/resume_00000006.pt") for name in ("plain_half", "sharded_half"))
    assert one.keys() == two.keys()
    assert one["fingerprint"] == two["fingerprint"]
    assert gap(one["model"], two["model"]) < 1e-6
    assert gap(one["ema"]["mean"], two["ema"]["mean"]) < 1e-6
    assert one["sparse"].keys() == two["sparse"].keys()
    for key, value in one["sparse"].items():
        if key == "previous":
            assert gap(value, two["sparse"][key]) == 0
        elif key != "search":
            assert value == two["sparse"][key]
    # Gradients are small differences of large numbers, and Adam makes steps of full size out of them.
    assert gap(*(state["sparse"]["search"]["logits"]["phi"] for state in (one, two))) < 1e-4
    moments, others = one["optimizer"]["state"], two["optimizer"]["state"]
    assert moments.keys() == others.keys() and len(moments) > 50
    for key in ("step", "exp_avg", "exp_avg_sq"):
        assert gap(*({number: state[key] for number, state in own.items()} for own in (moments, others))) < 1e-4, key


def test_a_run_that_held_the_model_whole_goes_on_in_parts(folder, told):
    assert len(metrics(folder / "plain_sharded", "train")) >= 16
    assert_same_model(folder / "plain_whole", folder / "plain_sharded")
    assert_same_masks(folder / "plain_whole", folder / "plain_sharded")
    assert_same_numbers(folder / "plain_whole", folder / "plain_sharded")


def test_a_run_that_held_the_model_in_parts_goes_on_with_the_whole(dumps, folder, told):
    run(dumps, folder / "sharded_half", LONG)
    assert_same_model(folder / "plain_whole", folder / "sharded_half")
    assert_same_masks(folder / "plain_whole", folder / "sharded_half")
    assert_same_numbers(folder / "plain_whole", folder / "sharded_half")
    model, _, _ = load_model(folder / "sharded_half")
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


@pytest.mark.parametrize("name", ["static", "control_mask", "control_shrink", "units"])
def test_sparse_methods_that_work_on_parts_do_with_an_idle_process(dumps, folder, told, name):
    run(dumps, folder / f"plain_{name}", short_cases(folder)[name])
    assert_same_model(folder / f"plain_{name}", folder / f"sharded_{name}")
    assert_same_numbers(folder / f"plain_{name}", folder / f"sharded_{name}")
    one, two = (metrics(folder / f"{kind}_{name}", "sparse") for kind in ("plain", "sharded"))
    assert one == two
    assert_same_masks(folder / f"plain_{name}", folder / f"sharded_{name}")


def test_what_a_run_shows_of_its_inside_is_that_of_all_parts(folder, told):
    one, two = (metrics(folder / f"plain_{kind}", "histogram") for kind in ("whole", "sharded"))
    assert [line["epoch"] for line in one] == [line["epoch"] for line in two] == [1, 2]
    for block, spread in one[-1]["weights"].items():
        other = two[-1]["weights"][block]
        assert sum(spread["counts"]) == sum(other["counts"])
        assert (other["low"], other["high"]) == pytest.approx((spread["low"], spread["high"]), rel=1e-4)
    one, two = (metrics(folder / f"plain_{kind}", "watch") for kind in ("whole", "sharded"))
    assert len(one) == len(two) == 4
    for line, other in zip(one, two, strict=True):
        # A micro-batch is what both pass at once; of one alone there is no ratio of signal to noise.
        assert {key for key in line if not key.startswith("grad_snr")} <= other.keys()
        for name in ("grad_norm/encoder.blocks.0", "grad_norm/decoder.blocks.0", "grad_norm/ctc.output.weight"):
            # The same utterances, but normalised in other company.
            assert 0.5 < other[name] / line[name] < 2.0, name


def test_a_mask_of_logits_in_parts_is_that_of_whole_ones(told):
    for text in told:
        found = json.loads(next(line for line in text.splitlines() if '"gates"' in line))
        assert 0 < found["gates"] < 0.6  # so that the smallest density has something to lift
        assert all(found["same"]), found


def test_each_process_holds_half(told):
    counts = [json.loads(line) for text in told for line in text.splitlines() if '"own"' in line]
    assert len(counts) == 10
    assert all(0.49 < count["own"] / count["all"] < 0.51 for count in counts)


@pytest.mark.parametrize("kind", list(SPARSE_METHODS))
def test_methods_that_need_whole_tensors_are_refused_before_any_work(kind):
    values = {"masks": "masks.npz"} if kind == "control_mask" else {}
    options = TrainConfig(sparse=SPARSE_METHODS[kind].Config(**values))
    check_shardable(options, World(0, 2))
    if kind in ("none", "msrs", "continuous", "static", "control_mask", "control_shrink"):
        check_shardable(options, World(0, 2, is_sharded=True))
        return
    with pytest.raises(ConfigError, match=f"--shard: the sparse method {kind}.*control_mask"):
        check_shardable(options, World(0, 2, is_sharded=True))


def test_settings_that_need_whole_tensors_are_refused():
    for options in (
        SPARSE_METHODS["msrs"].Config(granularity="2:4"),
        SPARSE_METHODS["control_mask"].Config(masks="masks.npz", weights="redrawn"),
    ):
        with pytest.raises(ConfigError, match=options.type):
            check_shardable(TrainConfig(sparse=options), World(0, 2, is_sharded=True))


def test_a_torch_that_is_too_old_is_refused(monkeypatch):
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.9.1"))
    check_shardable(TrainConfig(), World(0, 2))
    with pytest.raises(DependencyError, match=r"torch 2.13 or newer, this is 2.9.1"):
        check_shardable(TrainConfig(), World(0, 2, is_sharded=True))


def test_one_process_has_nobody_to_share_with(dumps, tmp_path, log):
    words = ["--config", dumps / "train.yaml", "--train", dumps / "train", "--dev", dumps / "dev"]
    words += ["--tokens", dumps / "tokens", "--exp", tmp_path / "exp", "--ngpu", "0", "--shard"]
    assert main(list(map(str, words))) == 1
    assert "--shard shares the model out among several processes" in log.text
    assert not (tmp_path / "exp").exists()
