"""Lists of runs (utils/ablation.py): what is refused, runs that wait for another's mask, tables that count failures."""

import dataclasses
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from msrs import config
from msrs.data.ark import ArkWriter
from msrs.errors import ConfigError, MsrsError, StageError
from msrs.report.compare import draw_comparison
from msrs.report.plateau import rows_of
from msrs.text.normalise import find_rules
from msrs.text.tokenizer import train_tokenizer
from msrs.train.options import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["bin", "lay", "place", "set"]
CONFIG = """
modality: video
model:
  video_frontend: {type: convnet, widths: [4, 8], strides: [2, 2], grid: 2}
  encoder: {type: conformer, num_blocks: 2, size: 16, num_heads: 2, feed_forward_size: 32, kernel: 7}
  decoder: {num_blocks: 1, size: 16, num_heads: 2, feed_forward_size: 32}
augment: {crop_px: 32, pool: 2}
batching: {max_frames: 100}
schedule: {warmup_updates: 1}
train: {max_epochs: 2, average: 1, watch_every_updates: 2}
"""
LIST = """
title: A tiny list
config: tiny.yaml
tokens: char
train_clips: 8
seeds: [1]
settings: {optim.lr: 1e-3}
decode: {beam_size: 2}
runs:
  shuffled: {sparse.type: control_mask, sparse.masks: "{exp}/found_{seed}/masks.npz", sparse.change: shuffled}
  found: {sparse.type: msrs, sparse.granularity: weight, sparse.epochs: 1, sparse.calibration_steps: 1, sparse.phi_lr: 0.2}
  dense: {}
plots: {flow: [dense, found]}
"""


def load_door():
    spec = importlib.util.spec_from_file_location("ablation_list", ROOT / "utils/ablation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


door = load_door()


def write_set(folder, names):
    rng = np.random.default_rng(3)
    with ArkWriter(folder / "video.ark", folder / "video.scp") as video:
        for name in names:
            video.write(name, rng.integers(0, 256, (18, 96, 96), dtype=np.uint8))
    (folder / "text").write_text("".join(f"{name} {WORDS[i % 4]}\n" for i, name in enumerate(names)))
    (folder / "utt2num_frames").write_text("".join(f"{name} 18\n" for name in names))
    (folder / "utt2spk").write_text("".join(f"{name} {name[0]}\n" for name in names))
    (folder / "feats.yaml").write_text("modality: video\n")


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe's folder with dumps, tokens and a list; the current folder."""
    monkeypatch.chdir(tmp_path)
    write_set(Path("dump/feats_video/train"), [f"a-{i:02d}" for i in range(12)])
    write_set(Path("dump/feats_video/dev"), ["b-0", "b-1", "b-2"])
    write_set(Path("dump/feats_video/test"), ["c-0", "c-1"])
    train_tokenizer([" ".join(WORDS)] * 5, Path("data/tokens_char"), type="char", size=None, rules=find_rules("upper"))
    Path("conf/ablation").mkdir(parents=True)
    Path("conf/ablation/tiny.yaml").write_text(CONFIG)
    Path("conf/ablation/list.yaml").write_text(LIST)
    return tmp_path


def run(*words):
    return door.main(["--list", "conf/ablation/list.yaml", "--jobs", "1", "--ngpu", "0", *words])


def test_a_list_is_trained_decoded_and_tabulated_and_goes_on(recipe):
    exp = recipe / "exp/ablation/list"
    assert run("--only", "dense", "found", "shuffled") == 0
    lines = (recipe / "exp/ablation/train_8/text").read_text().splitlines()
    assert len(lines) == 8
    assert np.load(exp / "found_1/masks.npz").files
    for name in ("dense", "found", "shuffled"):
        assert (exp / f"{name}_1/decode_ablation/test/result.json").is_file()
    page = (recipe / "results/list.md").read_text()
    assert "| shuffled | 1 " in " ".join(page.split()).replace("  ", " ")
    assert "(list/flow/gradient_flow.png)" in page
    assert (recipe / "results/list/flow/gradient_flow.png").is_file()
    changed = (exp / "dense_1/metrics.jsonl").stat().st_mtime_ns
    (exp / "found_1/decode_ablation/test/result.json").unlink()
    assert run() == 0
    assert (exp / "dense_1/metrics.jsonl").stat().st_mtime_ns == changed
    assert (exp / "found_1/decode_ablation/test/result.json").is_file()
    shutil.rmtree(exp / "found_1")
    picture = recipe / "results/list/flow/gradient_flow.png"
    drawn = picture.read_bytes()
    assert run("--table-only") == 0
    kept = (recipe / "results/list.md").read_text()
    assert rows_of(kept) == rows_of(page)
    assert "(list/flow/gradient_flow.png)" in kept and picture.read_bytes() == drawn
    path = recipe / "conf/ablation/list.yaml"
    path.write_text(LIST.replace("dense: {}", "dense: {optim.lr: 2e-3}"))
    with pytest.raises(ConfigError, match="dense_1 was trained with other settings"):
        door.work(door.parser().parse_args(["--list", str(path), "--table-only"]))


def test_clips_are_joined_where_the_list_says_so(recipe):
    path = recipe / "conf/ablation/list.yaml"
    path.write_text(LIST.replace("train_clips: 8", "join_clips: 2\ntrain_clips: 4"))
    assert run("--only", "dense") == 0
    folder = recipe / "exp/ablation/joined_2"
    assert [len((folder / name / "text").read_text().splitlines()) for name in ("train", "train_4", "dev")] == [6, 4, 1]
    log = (recipe / "exp/ablation/list/dense_1/train.log").read_text()
    assert "4 training utterances" in log and "1 development utterances" in log


def test_a_failed_run_is_told_and_the_others_go_on(recipe):
    path = recipe / "conf/ablation/list.yaml"
    path.write_text(LIST.replace("  dense: {}", "  dense: {}\n  wrong: {schedule.warmup_updates: 999}"))
    assert run("--only", "wrong", "dense") == 1
    assert "schedule.warmup_updates is 999" in (recipe / "exp/ablation/list/wrong_1/failed.txt").read_text()
    assert json.loads((recipe / "exp/ablation/list/dense_1/decode_ablation/dev/result.json").read_text())


def test_a_run_ends_with_the_killed_process_of_the_list(recipe):
    path = recipe / "conf/ablation/list.yaml"
    path.write_text(LIST.replace("  dense: {}", "  dense: {train.max_epochs: 100000}"))
    words = ["--list", str(path), "--only", "dense", "--ngpu", "0"]
    parent = subprocess.Popen([sys.executable, door.__file__, *words], stderr=subprocess.DEVNULL)
    metrics = recipe / "exp/ablation/list/dense_1/metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.stat().st_size)
    parent.kill()
    parent.wait()
    assert wait_for(lambda: not is_growing(metrics))


def is_growing(path):
    before = path.stat().st_size
    time.sleep(2.0)
    return path.stat().st_size > before


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return result


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("tokens: char", "", "tokens"),
        ("title: A", "titel: A", "titel"),
        ("train_clips: 8", "train_clips: 80", "has 12 utterances"),
    ],
)
def test_a_wrong_list_is_refused(recipe, old, new, what):
    path = recipe / "conf/ablation/list.yaml"
    path.write_text(LIST.replace(old, new))
    options = door.parser().parse_args(["--list", str(path), "--ngpu", "0"])
    with pytest.raises(MsrsError, match=what):
        door.work(options)


def test_an_unknown_run_is_named(recipe):
    listed = config.load(door.RunList, recipe / "conf/ablation/list.yaml")
    with pytest.raises(ConfigError, match="no run 'nothing' in the list; it has shuffled, found, dense"):
        door.make_runs(listed, Path("exp"), ["nothing"])


def test_placeholders_are_filled_and_needs_are_found(recipe):
    listed = config.load(door.RunList, recipe / "conf/ablation/list.yaml")
    listed = dataclasses.replace(
        listed, seeds=(1, 2), runs={**listed.runs, "again": {"like": "shuffled", "optim.lr": 1}}
    )
    runs = door.make_runs(listed, Path("exp/x"), ["again"])
    assert [run.seed for run in runs] == [1, 2]
    assert runs[1].needs == (Path("exp/x/found_2/masks.npz"),)
    assert "sparse.masks=exp/x/found_2/masks.npz" in runs[1].settings
    assert "optim.lr=1" in runs[1].settings


@pytest.mark.parametrize("nested", [False, True])
def test_a_folder_with_a_space_is_one_word_to_training_and_is_waited_for(recipe, nested):
    mask = "{exp}/found_{seed}/masks.npz"
    settings = {"sparse": {"type": "control_mask", "masks": mask}} if nested else {"sparse.type": "control_mask"}
    if not nested:
        settings["sparse.masks"] = mask
    listed = config.load(door.RunList, recipe / "conf/ablation/list.yaml")
    listed = dataclasses.replace(listed, runs={"found": {}, "again": settings})
    (run,) = door.make_runs(listed, Path("my exp/x"), ["again"])
    typed = config.split_words("--train-args", run.settings)
    options = config.load(TrainConfig, recipe / "conf/ablation/tiny.yaml", typed)
    assert options.sparse.masks == "my exp/x/found_1/masks.npz"
    assert run.needs == (Path(options.sparse.masks),)


@pytest.mark.parametrize("model", ["nobody", "again"])
def test_a_run_is_like_another_of_the_list(recipe, model):
    listed = config.load(door.RunList, recipe / "conf/ablation/list.yaml")
    listed = dataclasses.replace(listed, runs={"again": {"like": model}})
    with pytest.raises(ConfigError, match=f"run 'again': `like: {model}` names"):
        door.make_runs(listed, Path("exp"), [])


LISTS = [path for path in sorted((ROOT / "egs").glob("*/conf/ablation/*.yaml")) if "\nruns:" in path.read_text()]


@pytest.mark.parametrize("path", LISTS, ids=lambda path: f"{path.parts[-4]}/{path.name}")
def test_every_run_of_our_lists_is_a_valid_configuration(path):
    listed = config.load(door.RunList, path)
    runs = door.make_runs(listed, Path("exp"), [])
    assert len(runs) == len(listed.runs) * len(listed.seeds)
    for run in runs[: len(listed.runs)]:
        config.load(TrainConfig, path.parent / listed.config, run.settings)
    assert all(label in listed.runs for labels in listed.plots.values() for label in labels)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  dense: {}", "  dense: {optim.lrr: 1}", "list.yaml: run dense: .*optim.lrr is not a key of Optimizer"),
        ("config: tiny", "config: nowhere", "list.yaml: run shuffled: .*nowhere.yaml: cannot be read"),
        ("seeds: [1]", "seeds: []", "list.yaml:.*: seeds: "),
        ("train_clips: 8", "train_clips: 0", "list.yaml:.*: train_clips"),
        ("tokens: char", "tokens: runes", "tokens_runes/tokens.txt is missing; .* --modality video --token-type runes"),
        ("tokens: char", "tokens: bpe200", "tokens_bpe200/tokens.txt is missing; .*-type bpe --token-size 200"),
        ("plots: {", "plots: {more: [nobody], ", "list.yaml: plots.more: no run 'nobody'"),
        ("decode: {beam_size", "decode: {beem_size", "list.yaml: decode: .*beem_size"),
    ],
)
def test_a_wrong_list_is_refused_before_anything_is_trained(recipe, old, new, told):
    path = recipe / "conf/ablation/list.yaml"
    assert old in LIST
    path.write_text(LIST.replace(old, new))
    with pytest.raises((ConfigError, StageError), match=f"(?s){told}"):
        door.work(door.parser().parse_args(["--list", "conf/ablation/list.yaml", "--ngpu", "0"]))
    assert not (recipe / "exp").exists()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("seeds: [1]", "seeds: [1, 2, 1]", "seeds: 1 comes twice"),
        ("title", "title", "--jobs 0: expected 1 or more"),
    ],
)
def test_odd_numbers_are_refused(recipe, old, new, told):
    path = recipe / "conf/ablation/list.yaml"
    path.write_text(LIST.replace(old, new))
    jobs = "0" if "--jobs" in told else "1"
    with pytest.raises(ConfigError, match=told):
        door.work(door.parser().parse_args(["--list", str(path), "--ngpu", "0", "--jobs", jobs]))
    assert not (recipe / "exp").exists()


@pytest.fixture
def pretend(recipe, monkeypatch):
    """Runs that take no time: what they would write; `found` fails."""

    def take(words, **keys):
        folder = Path(words[-1]).parent
        if folder.name == "found_1":
            return subprocess.CompletedProcess(words, 1)
        command = json.loads((folder / "steps.json").read_text())[0]
        settings = [*command[command.index("--train-args") + 1 :], "modality=video", "seed=1"]
        options = config.load(TrainConfig, "conf/ablation/tiny.yaml", settings)
        (folder / "config.yaml").write_text(config.to_yaml(options))
        (folder / "metrics.jsonl").write_text('{"kind": "train", "num_updates": 1, "loss": 1.0}\n')
        for name in ("dev", "test"):
            (folder / "decode_ablation" / name).mkdir(parents=True)
            (folder / "decode_ablation" / name / "result.json").write_text('{"words": {"rate": 12.0}}')
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(door.subprocess, "run", take)
    monkeypatch.setattr(door, "draw_comparison", lambda groups, folder, order: [])
    (recipe / "exp/ablation/list/found_1").mkdir(parents=True)
    (recipe / "exp/ablation/list/found_1/ablation.log").write_text("")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("train_clips: 8", "train_clips: 9", "train_8.*train_9"),
        ("tokens: char", "tokens: word", "tokens_char.*tokens_word"),
        ("beam_size: 2", "beam_size: 3", "beam_size=2.*beam_size=3"),
    ],
)
def test_runs_of_other_clips_units_or_search_are_not_taken_for_done(recipe, pretend, old, new, told):
    path = recipe / "conf/ablation/list.yaml"
    shutil.copytree("data/tokens_char", "data/tokens_word")
    options = door.parser().parse_args(["--list", str(path), "--ngpu", "0", "--only", "dense"])
    assert door.work(options) == door.work(options) == 0
    path.write_text(LIST.replace(old, new))
    with pytest.raises(ConfigError, match=f"dense_1 was made otherwise .*{told}"):
        door.work(options)


def test_the_page_leads_to_the_settings_of_its_methods(recipe, pretend):
    assert door.work(door.parser().parse_args(["--list", "conf/ablation/list.yaml", "--only", "dense"])) == 0
    link = re.search(r"\[the list\]\((.*)\)", (recipe / "results/list.md").read_text())[1]
    assert (recipe / "results" / link).resolve() == recipe / "conf/ablation/list.yaml"


def test_a_method_has_one_colour_in_all_pictures_of_a_list(recipe, pretend, monkeypatch):
    path = recipe / "conf/ablation/list.yaml"
    path.write_text(LIST.replace("plots: {", "plots: {others: [shuffled, dense], "))
    orders = []
    monkeypatch.setattr(door, "draw_comparison", lambda groups, folder, order: orders.append(order) or [])
    assert door.work(door.parser().parse_args(["--list", str(path), "--only", "dense"])) == 0
    assert orders == 2 * [["shuffled", "dense", "found"]]


def test_a_mask_that_no_run_makes_costs_the_table_of_the_others_nothing(recipe, pretend, caplog):
    options = door.parser().parse_args(["--list", "conf/ablation/list.yaml", "--jobs", "1"])
    assert door.work(options) == 1
    assert "shuffled_1: not begun, for no run has made the mask that it needs, " in caplog.text
    assert rows_of((recipe / "results/list.md").read_text())["dense"][-1] == "12.0"


def test_a_run_that_fails_before_its_first_update_costs_the_others_no_page(recipe, pretend, monkeypatch):
    monkeypatch.setattr(door, "draw_comparison", draw_comparison)
    path = recipe / "conf/ablation/list.yaml"
    path.write_text(LIST.replace("plots: {", "plots: {lost: [found], "))
    (recipe / "exp/ablation/list/found_1/metrics.jsonl").write_text("")
    assert door.work(door.parser().parse_args(["--list", str(path), "--only", "dense", "found"])) == 1
    assert set(rows_of((recipe / "results/list.md").read_text())) == {"dense", "found"}


def test_a_stopped_run_has_not_failed(recipe, monkeypatch):
    options = door.parser().parse_args(["--list", "conf/ablation/list.yaml", "--only", "dense"])
    for code in (130, 143, -2, -15):
        monkeypatch.setattr(
            door.subprocess, "run", lambda *words, code=code, **keys: subprocess.CompletedProcess(words, code)
        )
        (recipe / "exp/ablation/list/dense_1").mkdir(parents=True, exist_ok=True)
        (recipe / "exp/ablation/list/dense_1/ablation.log").write_text("")
        with pytest.raises(StageError, match="no run has come to its end yet"):
            door.work(options)
        assert (recipe / "exp/ablation/list/dense_1/steps.json").is_file()
        assert not (recipe / "exp/ablation/list/dense_1/failed.txt").exists()


def test_a_run_that_failed_before_and_is_stopped_has_not_failed(recipe, monkeypatch):
    folder = recipe / "exp/ablation/list/dense_1"
    folder.mkdir(parents=True)
    (folder / "failed.txt").write_text("out of memory\n")
    (folder / "metrics.jsonl").write_text("")
    monkeypatch.setattr(door.subprocess, "run", lambda *words, **keys: subprocess.CompletedProcess(words, 130))
    with pytest.raises(StageError, match="no run has come to its end yet"):
        door.work(door.parser().parse_args(["--list", "conf/ablation/list.yaml", "--only", "dense"]))
