import json

import numpy as np
import pytest

from msrs.errors import DataError
from msrs.report.canvas import ramp_text
from msrs.report.histograms import draw_histograms, read_histograms
from msrs.report.runs import read_runs


def record(update, epoch, counts, low=0.0, high=1.0, logits=None):
    table = {"encoder.blocks.0": {"low": low, "high": high, "counts": counts}}
    return {"kind": "histogram", "num_updates": update, "epoch": epoch, "weights": table, "logits": logits or {}}


def test_density_by_epoch_and_the_later_line_counts(make_run):
    folder = make_run(
        "a", [record(10, 1, [1, 3]), record(20, 2, [0, 4], high=4.0), record(10, 1, [2, 2])], tail='{"kind": "h'
    )
    found = read_histograms(folder / "metrics.jsonl")
    assert list(found) == [1, 2]
    assert found[1]["weights"]["encoder.blocks.0"][2].tolist() == [1.0, 1.0]
    assert found[2]["weights"]["encoder.blocks.0"][2].tolist() == [0.0, 0.5]


def test_a_row_a_run_and_kind(make_run):
    heights = [
        draw_histograms(
            read_runs({name: [make_run(f"{name}{count}", is_sparse=is_sparse)] for name, is_sparse in runs})
        ).height
        for count, runs in enumerate(([("a", False)], [("a", True)], [("a", True), ("b", False)]))
    ]
    assert heights[0] < heights[1] < heights[2]
    assert heights[2] - heights[1] == heights[1] - heights[0]


def test_lines_are_where_the_values_are(make_run):
    folder = make_run("a", [record(1, 1, [0, 0, 0, 9]), record(2, 2, [9, 0, 0, 9])])
    image = np.asarray(draw_histograms(read_runs({"a": [folder]})), dtype=int)
    colour = [int(ramp_text(0.0)[k : k + 2], 16) for k in (1, 3, 5)]
    inked = np.abs(image[140:-40] - colour).sum(-1) < 40
    columns = np.nonzero(inked.any(axis=0))[0]
    first = columns[columns < 70 + 430]
    assert first.min() > 70 + 250  # an empty half draws nothing above the floor
    assert (columns > 500).any()


def test_seeds_are_averaged(make_run):
    seeds = [
        make_run("a", [record(1, 1, [4, 0])]),
        make_run("b", [record(1, 1, [0, 4])]),
        make_run("c", [record(1, 1, [4, 4])]),
    ]
    same = make_run("d", [record(1, 1, [4, 4])])
    together = np.asarray(draw_histograms(read_runs({"x": seeds})))
    assert (together == np.asarray(draw_histograms(read_runs({"x": [same]})))).all()


def test_not_more_columns_than_fit(make_run):
    many = make_run("many", [record(e, e, [1, 2]) for e in range(1, 40)])
    assert draw_histograms(read_runs({"a": [many]})).width == 1520


def test_nothing_logged(make_run):
    assert (
        draw_histograms(read_runs({"a": [make_run("a", [{"kind": "histogram", "num_updates": 1, "weights": {}}])]}))
        is None
    )


def test_update_stands_for_a_missing_epoch(make_run):
    line = record(30, 1, [1, 1])
    del line["epoch"]
    folder = make_run("a", [line])
    assert list(read_histograms(folder / "metrics.jsonl")) == [30]
    assert json.loads((folder / "metrics.jsonl").read_text(encoding="utf-8"))["num_updates"] == 30


@pytest.mark.parametrize("counts", [[0, 0], [5, 0]])
def test_empty_bins_are_drawn(make_run, counts):
    assert draw_histograms(read_runs({"a": [make_run("a", [record(1, 1, counts)])]})) is not None


@pytest.mark.parametrize(
    "bins", [{"low": 0.0}, {"low": 0, "high": 1, "counts": []}, {"low": 0, "high": 1, "counts": 3}, 3]
)
def test_a_histogram_without_its_bins_is_told(make_run, bins):
    line = record(7, 1, [1, 1]) | {"weights": {"encoder.blocks.0": bins}}
    with pytest.raises(DataError, match="metrics.jsonl: update 7: weights of encoder.blocks.0: expected low, high"):
        read_histograms(make_run("a", [line]) / "metrics.jsonl")
