import numpy as np
import pytest

from msrs.synth.head import FRAME_PX, Head
from msrs.synth.speakers import Look
from msrs.synth.visemes import REST, VISEMES

MOUTHS = np.array([REST, VISEMES["A:"], VISEMES["u:"], VISEMES["i:"], VISEMES["f"]])


def test_every_frame_is_the_same_alone_and_among_others(head, upright):
    lids = np.linspace(0, 1, len(MOUTHS))
    together = head.render(MOUTHS, lids, upright(len(MOUTHS)))
    assert together.shape == (len(MOUTHS), FRAME_PX, FRAME_PX, 3)
    assert together.dtype == np.uint8
    for index in range(len(MOUTHS)):
        alone = head.render(MOUTHS[index : index + 1], lids[index : index + 1], upright(1))
        assert np.abs(alone[0].astype(int) - together[index]).max() <= 1


def test_the_mouth_moves_the_lower_face_only(head, upright):
    frames = head.render(MOUTHS, np.zeros(len(MOUTHS)), upright(len(MOUTHS))).astype(int)
    change = np.abs(frames - frames[0]).max(axis=3)
    assert (change[1:, 110:170, 80:144].max(axis=(1, 2)) > 60).all()
    assert change[:, :100].max() == 0


def test_shapes_of_the_mouth_look_different(head, upright):
    mouths = np.array(sorted(set(VISEMES.values())))
    frames = head.render(mouths, np.zeros(len(mouths)), upright(len(mouths)))[:, 110:170, 80:144].astype(float)
    for index, frame in enumerate(frames):
        assert all(np.abs(frame - other).mean() > 0.4 for other in frames[:index])


def test_a_mirrored_look_is_the_mirror_image(head, upright):
    mirrored = Head(Look("collins", 0.80, mirrored=True))
    plain, other = (one.render(MOUTHS[1:2], np.zeros(1), upright(1)).astype(int) for one in (head, mirrored))
    assert np.abs(plain[:, :, ::-1] - other).max() <= 1


@pytest.mark.parametrize(("shift", "exposure"), [((5, 0), 1.0), ((0, -8), 1.0), ((0, 0), 0.8)])
def test_a_pose_moves_the_picture_and_exposure_darkens_it(head, upright, shift, exposure):
    still = head.render(MOUTHS[:1], np.zeros(1), upright(1))[0].astype(float)
    pose = upright(1)
    pose[0, :, 2] = shift
    moved = head.render(MOUTHS[:1], np.zeros(1), pose, exposure)[0].astype(float)
    inner = slice(20, -20)
    expected = np.roll(still, (-shift[1], -shift[0]), axis=(0, 1)) * exposure
    assert np.abs(moved - expected)[inner, inner].mean() < 2.5
