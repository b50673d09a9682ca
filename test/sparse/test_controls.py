"""Controls: what is kept of the found mask, and what is not."""

import math

import numpy as np
import pytest
import torch

from msrs.errors import ConfigError
from msrs.log import LOGGER
from msrs.sparse.mask_file import load_masks, save_masks


def test_shrinking_scales_by_the_root_of_the_density(make_tagger, make_method, mask_path):
    model, plain = make_tagger(), make_tagger()
    method = make_method("control_shrink", model, target_density=0.25)
    method.before_forward(0)
    for name, p in method.params.items():
        assert torch.allclose(p, plain.get_parameter(name) / 2)
    model = make_tagger()
    method = make_method("control_shrink", model, masks=str(mask_path))
    method.before_forward(0)
    for name, mask in load_masks(mask_path).items():
        assert torch.allclose(
            model.get_parameter(name), plain.get_parameter(name) * math.sqrt(mask.float().mean()), rtol=1e-5
        )
    assert method.density() == 1.0


def test_held_shrinking_ends_where_the_network_was(make_tagger, make_method, make_adamw, run_steps, make_batch):
    model = make_tagger()
    method = make_method("control_shrink", model, hold="phase", steps=10)
    optimizer = make_adamw(model)
    run_steps(model, method, optimizer, 0, 9)
    with method.applied(), torch.no_grad():
        before = model(make_batch(0)[0])
    method.finish(optimizer)
    with torch.no_grad():
        assert torch.allclose(model(make_batch(0)[0]), before, atol=1e-5)


def test_masks_keep_what_each_change_promises(make_tagger, make_method, mask_path):
    source = load_masks(mask_path)
    for change in ("none", "random", "shuffled"):
        model, plain = make_tagger(), make_tagger()
        method = make_method("control_mask", model, change=change)
        method.before_forward(0)
        for name, mask in method.masks().items():
            assert mask.equal(source[name]) == (change == "none")
            assert mask.sum() == source[name].sum()
            rows = [m.flatten(1).sum(1).sort().values for m in (mask, source[name])]
            columns = [m.flatten(1).sum(0).sort().values for m in (mask, source[name])]
            assert (rows[0].equal(rows[1]) and columns[0].equal(columns[1])) == (change != "random")
            assert torch.equal(model.get_parameter(name), plain.get_parameter(name) * mask)


def test_redrawn_weights_are_the_same_numbers_elsewhere_and_rescaling_undoes_the_shrinking(make_tagger, make_method):
    model, plain = make_tagger(), make_tagger()
    method = make_method("control_mask", model, weights="redrawn")
    method.before_forward(0)
    for name, mask in method.masks().items():
        own, other = model.get_parameter(name), plain.get_parameter(name)
        assert not torch.equal(own, other * mask)
        assert set(own[mask].tolist()) <= set(other.flatten().tolist())
    model = make_tagger()
    method = make_method("control_mask", model, rescale=True)
    method.before_forward(0)
    for name, mask in method.masks().items():
        expected = plain.get_parameter(name) * mask / mask.float().mean().sqrt()
        assert torch.allclose(model.get_parameter(name), expected, rtol=1e-5)


def test_masks_that_the_run_does_not_choose_are_told(make_tagger, make_method, mask_path, monkeypatch):
    told = []
    monkeypatch.setattr(LOGGER, "warning", lambda message, *values: told.append(message % values))
    make_method("control_mask", make_tagger())
    assert told == []
    make_method("control_mask", make_tagger(), include=["encoder.blocks.1.*"])
    (line,) = told
    assert line.startswith("sparse.masks: 3 of the 6 masks in ")
    assert "encoder.blocks.0.feed_forward.0.weight, ..." in line


def test_depth_control_empties_whole_blocks(make_tagger, make_method, tmp_path, mask_path):
    masks = load_masks(mask_path)
    for name, mask in masks.items():
        if ".0." in name[:18]:
            mask &= torch.rand(mask.shape, generator=torch.Generator().manual_seed(1)) < 0.05
    save_masks(masks, tmp_path / "thin.npz")
    method = make_method("control_mask", make_tagger(), change="depth", masks=str(tmp_path / "thin.npz"))
    method.before_forward(0)
    for name, mask in method.masks().items():
        assert mask.any() == mask.all() == name.startswith("encoder.blocks.1")


def test_mask_files_round_trip_and_say_what_does_not_fit(make_tagger, make_method, tmp_path, mask_path):
    masks = {"a": torch.rand(3, 5, 1) < 0.5, "b.c": torch.ones(2, 2, dtype=torch.bool)}
    save_masks(masks, tmp_path / "m.npz")
    again = load_masks(tmp_path / "m.npz")
    assert masks.keys() == again.keys()
    assert all(again[n].equal(m) and again[n].dtype == torch.bool for n, m in masks.items())
    (tmp_path / "text.npz").write_text("no")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:-30])
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "shape.npz", **{"bits/a": np.zeros(4, np.uint8), "shape/a": np.array([1.5])})
    for name in ("absent.npz", "text.npz", "cut.npz", "empty.npz", "array.npy", "shape.npz"):
        with pytest.raises(ConfigError, match=rf"{name} .*the file masks.npz in the folder of a run") as caught:
            load_masks(tmp_path / name)
        assert "pickle" not in str(caught.value)
    other = {"masks": str(tmp_path / "other.npz")}
    save_masks({n: m[:2] for n, m in load_masks(mask_path).items()}, other["masks"])
    with pytest.raises(ConfigError, match="this model needs"):
        make_method("control_mask", make_tagger(), **other)
    save_masks({"a": torch.ones(1, dtype=torch.bool)}, other["masks"])
    with pytest.raises(ConfigError, match=r"other.npz is of another model, this one has no a;"):
        make_method("control_mask", make_tagger(), **other)
    with pytest.raises(ConfigError, match="is missing"):
        make_method("control_mask", make_tagger(), include=["encoder.*"], **other)


@pytest.mark.parametrize("name", ["control_mask", "control_shrink"])
def test_what_the_file_masks_is_masked_where_nothing_else_is_asked_for(
    name, make_tagger, make_method, tmp_path, mask_path
):
    some = dict(list(load_masks(mask_path).items())[::2])
    save_masks(some, tmp_path / "some.npz")
    method = make_method(name, make_tagger(), masks=str(tmp_path / "some.npz"))
    assert list(method.params) == list(some)
    method = make_method(name, make_tagger(), masks=str(tmp_path / "some.npz"), exclude=["encoder.blocks.0.*"])
    assert list(method.params) == [n for n in some if "blocks.0" not in n]
