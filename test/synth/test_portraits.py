import pytest
import torch

from msrs.synth.portraits import ASSETS, NAMES, OVAL, blend, load_portrait


@pytest.mark.parametrize("name", NAMES)
def test_landmarks_lie_on_the_face(name):
    portrait = load_portrait(name)
    height, width = portrait.picture.shape[2:]
    assert portrait.landmarks.shape == (478, 2)
    assert portrait.landmarks.min() > 0
    assert (portrait.landmarks < torch.tensor([width, height])).all()
    forehead, chin, left, right = portrait.landmarks[[10, 152, 33, 263]]
    assert forehead[1] < left[1] < chin[1]
    assert left[0] < chin[0] < right[0]


def test_assets_are_small_and_their_origin_is_told():
    pictures = [path for path in ASSETS.iterdir() if path.suffix == ".jpg"]
    assert sum(path.stat().st_size for path in pictures) < 160_000
    notes = (ASSETS / "ASSETS.md").read_text(encoding="utf-8")
    assert all(path.name in notes for path in pictures)
    assert "public domain" in notes


def test_a_blend_changes_the_face_and_nothing_else():
    collins, hopper = (load_portrait(name) for name in NAMES)
    torch.testing.assert_close(blend(collins, hopper, 0.0).picture, collins.picture)

    change = (blend(collins, hopper, 1.0).picture - collins.picture).abs()[0].amax(0)

    oval = collins.landmarks[OVAL]
    left, top = (oval.amin(0) - 12).int().tolist()
    right, bottom = (oval.amax(0) + 12).int().tolist()
    assert change[top:bottom, left:right].mean() > 0.05
    change[top:bottom, left:right] = 0
    assert change.max() < 0.02
