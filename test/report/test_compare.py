import numpy as np
import pytest
from PIL import Image, ImageColor

from msrs.errors import DataError, StageError
from msrs.report.canvas import COLOURS
from msrs.report.compare import PICTURES, draw_comparison


def test_every_picture_of_two_runs(make_run, tmp_path):
    seeds = [make_run(f"msrs_{scale}", scale=scale, length=20, is_sparse=True) for scale in (1, 2)]
    groups = {"dense": [make_run("dense", length=20)], "msrs": seeds}
    written = draw_comparison(groups, tmp_path / "out")
    assert [path.name for path in written] == [f"{name}.png" for name in PICTURES]
    for path in written:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert (np.asarray(image).min(-1) < 128).mean() > 0.005
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in written)


def test_all_in_one_file(make_run, tmp_path):
    groups = {"dense": [make_run("dense", length=20)]}
    apart = draw_comparison(groups, tmp_path / "out")
    assert draw_comparison(groups, tmp_path / "all.png") == [tmp_path / "all.png"]
    heights = [Image.open(path).height for path in apart]
    assert Image.open(tmp_path / "all.png").height >= sum(heights)


def test_a_method_has_one_colour_in_several_pictures(make_run, tmp_path):
    run = [make_run("msrs", length=10)]

    def colours(order):
        picture = draw_comparison({"msrs": run}, tmp_path / "one.png", order)[0]
        return {colour for _, colour in Image.open(picture).convert("RGB").getcolors(1 << 24)}

    first, third = (ImageColor.getrgb(COLOURS[place]) for place in (0, 2))
    assert first in colours(()) and third not in colours(())
    assert third in colours(["dense", "rigl", "msrs"]) and first not in colours(["dense", "rigl", "msrs"])


def test_what_no_run_has_is_passed_over_and_told(make_run, tmp_path, log):
    dense = make_run("dense", [{"kind": "train", "num_updates": u, "loss": 3.0 / u, "seconds": u} for u in range(1, 9)])
    written = draw_comparison({"dense": [dense]}, tmp_path)
    assert [path.name for path in written] == ["learning_curves.png"]
    assert "gradient_flow: no run has its numbers" in log.text


def test_a_run_without_a_mask_is_named(make_run, tmp_path, log):
    draw_comparison({"dense": [make_run("a", length=10)], "msrs": [make_run("b", length=10, is_sparse=True)]}, tmp_path)
    assert "density: without dense" in log.text


def test_a_run_that_is_going_on(make_run, tmp_path):
    going = make_run("going", length=10, tail='{"kind": "watch", "num_upd')
    draw_comparison({"a": [going], "b": [make_run("done", length=20)]}, tmp_path)
    assert (tmp_path / "gradient_flow.png").exists()


def test_only_zeros_and_numbers_that_are_not_finite(make_run, tmp_path):
    records = [{"kind": "dev", "num_updates": 1, "seconds": 1.0, "loss": float("nan"), "wer": 100.0}]
    records += [
        {"kind": "watch", "num_updates": 1, "grad_norm/encoder.blocks.0": 0.0, "grad_norm/encoder.blocks.0.w": 0.0}
    ]
    records += [{"kind": "watch", "num_updates": 2, "grad_norm/encoder.blocks.0": float("inf")}]
    written = draw_comparison({"a": [make_run("a", records)]}, tmp_path)
    assert [path.stem for path in written] == ["gradient_flow", "learning_curves"]


def test_nothing_to_draw(make_run, tmp_path):
    records = [{"kind": "dev", "num_updates": 1, "loss": float("nan")}, {"kind": "train", "num_updates": 1, "lr": 1.0}]
    with pytest.raises(StageError, match="no numbers to draw yet"):
        draw_comparison({"a": [make_run("a", records)]}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_faults_of_folders(make_run, tmp_path):
    with pytest.raises(StageError, match="no such experiment folder"):
        draw_comparison({"a": [tmp_path / "nothing"]}, tmp_path)
    with pytest.raises(StageError, match=r"no metrics.jsonl; .*stage 4"):
        draw_comparison({"a": [tmp_path]}, tmp_path)
    with pytest.raises(DataError, match=r"metrics.jsonl:1: not a line of JSON"):
        draw_comparison({"a": [make_run("bad", [], tail="oops\n{}\n")]}, tmp_path)


def test_same_runs_same_pictures(make_run, tmp_path):
    groups = {"a": [make_run("a", length=20, is_sparse=True)]}
    first = [path.read_bytes() for path in draw_comparison(groups, tmp_path / "one")]
    assert first == [path.read_bytes() for path in draw_comparison(groups, tmp_path / "two")]
