import pytest

from msrs.report import line_pictures
from msrs.report.line_pictures import draw_learning_curves, draw_vision_gap
from msrs.report.runs import RunGroup, read_runs


@pytest.fixture
def panels(monkeypatch):
    """The panels that reach the chart."""
    seen = []
    draw = line_pictures.draw_panels
    monkeypatch.setattr(line_pictures, "draw_panels", lambda panels: (seen.extend(panels), draw(panels))[1])
    return seen


def test_learning_curves_over_updates_and_seconds(make_run, panels):
    draw_learning_curves(read_runs({"a": [make_run("a", length=20)], "b": [make_run("b", length=40)]}))
    assert [panel.x_label for panel in panels] == ["updates", "seconds"] * 3
    assert [list(line.x) for line in panels[0].lines] == [[10, 20], [10, 20, 30, 40]]
    assert list(panels[1].lines[0].x) == [20.0, 40.0]
    assert [(line.label, line.index) for line in panels[5].lines] == [("a", 0), ("b", 1)]


def test_a_run_keeps_its_colour_where_another_has_no_numbers(make_run, panels):
    none = make_run("none", [{"kind": "train", "num_updates": 1, "loss": 1.0, "seconds": 1.0}])
    draw_learning_curves(read_runs({"none": [none], "b": [make_run("b", length=10)]}))
    assert [line.index for line in panels[0].lines] == [1]
    assert [line.index for line in panels[4].lines] == [0, 1]


def test_seeds_are_one_line_with_a_band(make_run, panels):
    seeds = [make_run(f"a_{scale}", length=20, scale=scale) for scale in (1, 2, 4)]
    draw_learning_curves(read_runs({"a": seeds}))
    (line,) = panels[0].lines
    assert line.y == pytest.approx([2 * low for low in line.low])
    assert line.high == pytest.approx([4 * low for low in line.low])


def test_vision_gap_blank_and_branches(make_run, panels):
    draw_vision_gap(read_runs({"a": [make_run("a", length=30)]}))
    assert len(panels) == 8
    assert panels[0].marks == [(0.1, "0.1 nat")]
    assert panels[0].lines[0].y == [0.02, 0.04, 0.06]
    assert panels[2].lines[0].y == [0.7] * 3
    assert (panels[4].lines[0].y, panels[6].lines[0].y) == ([0.2] * 3, [0.1] * 3)
    assert list(panels[5].lines[0].x) == [2.0, 20.0, 40.0]


def test_mean_of_branches_at_the_updates_that_all_have(panels):
    shares = {"0.macaron": {0: 0.1, 5: 0.2}, "1.macaron": {5: 0.4, 9: 7.0}}
    metrics = {f"watch/branch_share/encoder.blocks.{name}": values for name, values in shares.items()}
    draw_vision_gap([RunGroup("a", 0, (), (metrics,))])
    assert [(list(line.x), line.y) for panel in panels for line in panel.lines] == [([5], [pytest.approx(0.3)])]


def test_nothing_finite_is_no_picture():
    metrics = {"dev/loss": {1: float("nan")}}
    assert draw_learning_curves([RunGroup("a", 0, (), (metrics,))]) is None
    assert draw_vision_gap([RunGroup("a", 0, (), (metrics,))]) is None
