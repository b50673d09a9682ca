import numpy as np
import pytest

from msrs.report import layer_pictures
from msrs.report.layer_pictures import draw_density, draw_gradient_flow, draw_signal_to_noise
from msrs.report.layers import blocks_of, in_order
from msrs.report.runs import RunGroup, read_runs


@pytest.fixture
def drawn(monkeypatch):
    """What reaches the charts."""
    seen = {"maps": [], "panels": [], "bars": []}

    def spy(name, key, place):
        draw = getattr(layer_pictures, name)

        def call(*arguments, **options):
            seen[key] += [arguments] if key == "maps" else arguments[place]
            return draw(*arguments, **options)

        monkeypatch.setattr(layer_pictures, name, call)

    spy("draw_heat_maps", "maps", 0)
    spy("draw_panels", "panels", 0)
    spy("draw_bars", "bars", 1)
    return seen


def test_gradient_flow_has_blocks_alone_from_the_front_end_up(make_run, drawn):
    draw_gradient_flow(read_runs({"a": [make_run("a", length=20)], "b": [make_run("b", length=20, scale=3)]}))
    _, maps, names, scale = drawn["maps"][0]
    assert list(names.values()) == [
        "video_frontend 0",
        "encoder project",
        *(f"encoder {i}" for i in range(12)),
        "decoder 0",
    ]
    assert [set(one.rows) for one in maps] == [set(names)] * 2
    assert scale.low == pytest.approx(0.7**15)
    assert scale.high == pytest.approx(3 * 0.7)


def test_ratio_of_first_to_last_block(make_run, drawn):
    draw_gradient_flow(read_runs({"a": [make_run("a", length=20)]}))
    (panel,) = drawn["panels"]
    assert panel.lines[0].y == pytest.approx([0.7**11] * 2)
    assert panel.title == "Gradient norm of the first encoder block / of the last"


def test_a_block_without_gradient_has_no_ratio(drawn):
    names = ("encoder.blocks.0", "encoder.blocks.1")
    metrics = {f"watch/grad_norm/{name}{end}": {0: 1.0, 1: 2.0} for name in names for end in ("", ".w")}
    metrics["watch/grad_norm/encoder.blocks.1"] = {0: 0.0, 1: 4.0}
    draw_gradient_flow([RunGroup("a", 0, (), (metrics,))])
    assert (list(drawn["panels"][0].lines[0].x), list(drawn["panels"][0].lines[0].y)) == ([1], [0.5])


def test_two_encoders_have_a_panel_each(drawn):
    names = [f"{stream}_encoder.blocks.{i}" for stream in ("audio", "video") for i in range(3)]
    metrics = {f"watch/grad_norm/{name}{end}": {0: 1.0} for name in names for end in ("", ".w")}
    draw_gradient_flow([RunGroup("a", 0, (), (metrics,))])
    assert ["audio_encoder" in panel.title for panel in drawn["panels"]] == [True, False]


def test_signal_to_noise(make_run, drawn):
    draw_signal_to_noise(read_runs({"a": [make_run("a", length=20)]}))
    assert drawn["maps"][0][1][0].rows["decoder.blocks.0"] == {0: pytest.approx(7.0), 10: pytest.approx(7.0)}


def test_density_by_block_and_by_type_at_the_end(make_run, drawn):
    seeds = [make_run("a", length=20, is_sparse=True), make_run("b", length=40, is_sparse=True)]
    image = draw_density(read_runs({"a": seeds}))
    assert np.asarray(image).ndim == 3
    assert drawn["maps"][0][1][0].rows["encoder.blocks.0"][10] == pytest.approx(0.8)
    assert drawn["maps"][0][3].high == 1.0
    query = drawn["bars"][0].values["attention.query"]
    assert query == pytest.approx(((0.7**2 + 0.7**4) / 2, 0.7**4, 0.7**2))


def test_flips_by_block_and_the_mask_that_was_taken_off(drawn):
    name = "encoder.blocks.0"
    metrics = {
        f"sparse/density/block/{name}": {10: 0.5},
        f"sparse/found_density/block/{name}": {20: 0.25},
        "sparse/density/type/out": {10: 0.5},
        "sparse/found_density/type/out": {20: 0.125},
        f"sparse/flips/block/{name}": {10: 0.5, 20: 0.25},
        "sparse/flips/type/out": {10: 0.5, 20: 0.25},
    }
    early = {key: values for key, values in metrics.items() if "density/block" not in key}
    draw_density([RunGroup("a", 0, (), (metrics,)), RunGroup("b", 1, (), (early,))])
    density, flips = drawn["maps"]
    assert [one.rows for one in density[1]] == [{name: {10: 0.5, 20: 0.25}}]
    assert [one.rows for one in flips[1]] == [{name: {10: 0.5, 20: 0.25}}] * 2
    assert "flipped" in flips[0]
    assert drawn["bars"][0].values == {"out": (0.125, 0.125, 0.125)}


def test_tensors_without_blocks_are_not_drawn():
    metrics = {"watch/grad_norm/encoder": {0: 1.0}, "watch/grad_snr/encoder": {0: 1.0}}
    assert draw_gradient_flow([RunGroup("a", 0, (), (metrics,))]) is None
    assert draw_signal_to_noise([RunGroup("a", 0, (), (metrics,))]) is None


def test_a_block_is_a_name_that_others_continue():
    names = ["encoder.blocks.1", "encoder.blocks.1.x.weight", "encoder.blocks.10", "encoder.blocks.10.w", "ctc.bias"]
    found = blocks_of(
        {f"watch/grad_norm/{name}": {} for name in names} | {"watch/other/ctc.bias.x": {}}, "watch/grad_norm/"
    )
    assert list(found) == ["encoder.blocks.1", "encoder.blocks.10"]


def test_a_deeper_run_adds_its_blocks_in_place():
    few, more = ([f"encoder.blocks.{i}" for i in range(n)] + ["decoder.blocks.0"] for n in (2, 12))
    assert in_order([*few, *more]) == more
