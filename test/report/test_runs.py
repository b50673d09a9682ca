import math
from pathlib import Path

import pytest

from msrs.errors import ConfigError
from msrs.report.runs import RunGroup, merge, parse_runs


def group(*seeds):
    return RunGroup("a", 0, tuple(Path(str(i)) for i in range(len(seeds))), seeds)


def test_labels_and_groups(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("exp/lr=1,2").mkdir(parents=True)
    assert parse_runs(["exp/dense/", "m=exp/m_1,exp/m_2", "exp/lr=1,2", "x=exp/y=2"]) == {
        "dense": [Path("exp/dense")],
        "m": [Path("exp/m_1"), Path("exp/m_2")],
        "lr=1,2": [Path("exp/lr=1,2")],
        "x": [Path("exp/y=2")],
    }


@pytest.mark.parametrize("word", ["=exp/a", "a=", "a=exp/a,", "exp/a,exp/b", "a=,exp/b"])
def test_words_of_another_form(word):
    with pytest.raises(ConfigError, match="is not FOLDER, NAME=FOLDER"):
        parse_runs([word])


def test_a_label_or_a_seed_that_comes_twice():
    with pytest.raises(ConfigError, match="two runs are called 'dense'; give one another name"):
        parse_runs(["exp/dense", "old/dense"])
    with pytest.raises(ConfigError, match="names a folder twice"):
        parse_runs(["a=exp/a,exp/a"])


def test_median_and_band_over_the_union_of_updates():
    line = merge("a", 0, [{0: 0.0, 10: 10.0}, {0: 2.0, 5: 3.0, 10: 4.0}, {10: 100.0, 20: 200.0}])
    assert list(line.x) == [0, 5, 10, 20]
    assert list(line.y) == [1.0, 4.0, 10.0, 200.0]
    assert list(line.low) == [0.0, 3.0, 4.0, 200.0]
    assert list(line.high) == [2.0, 5.0, 100.0, 200.0]


def test_one_run_keeps_its_points_and_gaps():
    line = merge("a", 0, [{3: 1.0, 1: math.inf, 2: 5.0}])
    assert (list(line.x), list(line.y[1:]), list(line.low)) == ([1, 2, 3], [5.0, 1.0], [])
    assert math.isnan(line.y[0])


def test_long_curves_of_seeds_are_averaged():
    line = merge("a", 0, [{u: u % 2 for u in range(1200)}] * 2)
    assert len(line.x) == 120
    assert set(line.y) == {0.5}


def test_seconds_are_the_median_of_the_clocks():
    seeds = [
        {"dev/wer": {10: 9.0, 20: 5.0}, "train/seconds": {10: 10.0 * k, 20: 20.0 * k}, "dev/seconds": {20: 21.0 * k}}
        for k in (1, 2, 6)
    ]
    line = group(*seeds).line(lambda metrics: metrics["dev/wer"], "seconds")
    assert list(line.x) == [20.0, 42.0]


def test_seconds_never_step_back_where_a_slow_seed_ends():
    seeds = [{"n": {10: 1.0, 20: 1.0}, "train/seconds": {10: 90.0, 20: 200.0}}]
    seeds += [{"n": {10: 1.0, 20: 1.0, 30: 1.0}, "train/seconds": {10: 10.0, 20: 20.0, 30: 30.0}}]
    line = group(*seeds).line(lambda metrics: metrics["n"], "seconds")
    assert list(line.x) == [50.0, 110.0, 110.0]


def test_no_line_without_numbers_or_clock():
    assert group({"n": {1: math.nan}}).line(lambda metrics: metrics["n"]) is None
    assert group({"n": {1: 2.0}}).line(lambda metrics: metrics["n"], "seconds") is None
    assert group({}).line(lambda metrics: metrics.get("n", {})) is None


def test_rows_are_medians_of_the_seeds_that_have_them():
    rows = group({"a": {1: 1.0, 2: 5.0}}, {"a": {1: 3.0}, "b": {1: 7.0}}).rows(lambda metrics: metrics)
    assert rows == {"a": {1: 2.0, 2: 5.0}, "b": {1: 7.0}}


def test_a_seed_that_ends_an_update_earlier_makes_no_jump():
    line = merge("a", 0, [{0: 0.0, 100: 10.0}, {0: 0.0, 99: 1.0}, {0: 0.0, 100: 2.0}])
    assert line.x[-2:] == [99, 100]
    assert line.y[-1] == 2.0
    assert (line.low[-1], line.high[-1]) == (1.0, 10.0)
