"""Where numbers go: lines that survive a restart, and a stand-in for Weights & Biases."""

import json
import sys
import types

import pytest

from msrs.errors import DataError, DependencyError, TrainingError
from msrs.train.reporters import JsonLines, TensorBoard, check_wandb, reporting


def test_lines_of_a_run_that_was_killed_are_dropped_after_the_place_of_resumption(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = JsonLines(path, 0)
    for update in (1, 2, 3):
        first.report("train", update, {"loss": 1.0})
    first.close()
    with path.open("a") as handle:
        handle.write('{"kind": "tr')
    second = JsonLines(path, 2)
    second.report("train", 3, {"loss": 2.0})
    second.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["num_updates"], line["loss"]) for line in lines] == [(1, 1.0), (2, 1.0), (3, 2.0)]


def test_what_a_crash_of_the_machine_has_made_of_a_line_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = '{"kind": "train", "num_updates": 1}\n'
    path.write_bytes(b"\xff\x00\xfe\n12\nnull\n" + whole.encode() + b'{"kind": "\xc3\n\x00\x00')
    JsonLines(path, 2).close()
    assert path.read_text() == whole


def test_what_was_seen_before_the_next_update_comes_once(tmp_path):
    """A `watch` line has the number of the updates before it, so that the resumed run writes the last one again."""
    path = tmp_path / "metrics.jsonl"
    order = [("watch", 0), ("train", 1), ("watch", 1), ("train", 2), ("dev", 2), ("watch", 2), ("train", 3)]
    first = JsonLines(path, 0)
    for kind, update in order:
        first.report(kind, update, {})
    first.close()
    second = JsonLines(path, 2)
    for kind, update in order[-2:]:
        second.report(kind, update, {})
    second.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["kind"], line["num_updates"]) for line in lines] == order


def test_tensorboard_has_what_was_seen_before_the_next_update_once(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    order = [("watch", 0), ("train", 1), ("watch", 1), ("train", 2), ("dev", 2), ("watch", 2), ("train", 3)]
    for resume_update, told in ((0, order), (2, order[-2:])):
        writer = TensorBoard(tmp_path, resume_update)
        for kind, update in told:
            writer.report(kind, update, {"x": float(update)})
        writer.close()
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    values = {kind: [event.value for event in events.Scalars(f"{kind}/x")] for kind in ("watch", "train", "dev")}
    assert values == {"watch": [0.0, 1.0, 2.0], "train": [1.0, 2.0, 3.0], "dev": [2.0]}


def test_tensorboard_follows_a_run_whose_clock_was_set_back(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for resume_update, told in ((0, (1, 2, 3)), (2, (3, 4)), (3, (4, 5))):
        writer = TensorBoard(tmp_path, resume_update)
        for update in told:
            writer.report("train", update, {"x": update + resume_update / 10})
        writer.close()
        for path in tmp_path.iterdir() if update < 5 else ():
            parts = path.name.split(".")
            path.rename(path.with_name(".".join([*parts[:3], f"{int(parts[3]) + 3600:010d}", *parts[4:]])))
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    values = [round(event.value, 1) for event in events.Scalars("train/x")]
    assert values == [1.0, 2.0, 3.2, 4.3, 5.3]


class FullDisk:
    """A file's handle on a full disk."""

    def __init__(self, handle):
        self.handle = handle

    def __getattr__(self, name):
        return getattr(self.handle, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.flush()

    def flush(self):
        raise OSError(28, "No space left on device")


def test_a_full_disk_names_the_file_and_is_not_hidden_by_what_follows(tmp_path, log):
    with pytest.raises(DataError, match="metrics.jsonl: the disk is full"), reporting(tmp_path, 0) as reporters:
        reporters[0].handle = FullDisk(reporters[0].handle)
        reporters[0].report("train", 1, {"loss": 1.0})
    with pytest.raises(KeyError), reporting(tmp_path, 0) as reporters:
        reporters[0].handle = FullDisk(reporters[0].handle)
        raise KeyError("the cause")
    assert log.text.count("WARNING") == 2
    with pytest.raises(DataError, match="metrics.jsonl: the disk is full"), reporting(tmp_path, 0) as reporters:
        reporters[0].handle = FullDisk(reporters[0].handle)


def test_a_restart_on_a_full_disk_loses_no_line(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"kind": "train", "num_updates": 1}\n')

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(DataError, match="disk is full"):
        JsonLines(path, 1)
    assert path.read_text() == '{"kind": "train", "num_updates": 1}\n'


def test_weights_and_biases_gets_numbers_and_histograms(tmp_path, monkeypatch):
    seen = []
    run = types.SimpleNamespace(log=lambda values, step: seen.append((step, values)), finish=lambda: seen.append("end"))
    stand_in = types.ModuleType("wandb")
    stand_in.init = lambda **settings: seen.append(settings) or run
    stand_in.Histogram = lambda np_histogram: np_histogram
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    for _ in range(2):
        with reporting(tmp_path / "run", 0, "lips") as reporters:
            reporters[-1].report("train", 3, {"loss": 1.5, "note": "text"})
            bins = {"encoder.blocks.0": {"low": 0.0, "high": 1.0, "counts": [1, 3]}}
            reporters[-1].report("histogram", 3, {"epoch": 1, "weights": bins})
    assert seen[0]["project"] == "lips"
    assert seen[0]["id"] == seen[4]["id"]  # a restart goes on in the same page
    assert seen[1] == (3, {"train/loss": 1.5})
    counts, edges = seen[2][1]["weights/encoder.blocks.0"]
    assert (counts.tolist(), edges.tolist()) == ([1, 3], [0.0, 0.5, 1.0])
    assert seen[3] == "end"


def test_weights_and_biases_without_a_login_is_told_and_the_others_are_closed(tmp_path, monkeypatch):
    def init(**_):
        raise ValueError("api_key not configured (no-tty)")

    stand_in = types.ModuleType("wandb")
    stand_in.init, stand_in.Histogram = init, None
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    closed = []
    monkeypatch.setattr(JsonLines, "close", lambda self: closed.append(self.handle.close()))
    told = "api_key not configured.*`wandb login`.*WANDB_MODE=offline"
    with pytest.raises(TrainingError, match=told), reporting(tmp_path / "run", 0, "lips"):
        raise AssertionError("not so far")
    assert closed == [None]


def test_weights_and_biases_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(DependencyError, match=r"msrs\[wandb\]"):
        check_wandb("lips")
    check_wandb(None)
