import pytest
import torch

from msrs.synth.looks import look_portrait
from msrs.synth.portraits import EYE_CORNERS
from msrs.synth.speakers import SPEAKERS, Light, Look, Shape

SIZE, DETAIL = 160, 0.6


def eyes(portrait):
    return [portrait.landmarks[corners].mean(0) for corners in EYE_CORNERS]


@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_eyes_are_level_and_at_their_place(name):
    portrait = look_portrait(Look(name, 0.9), SIZE, DETAIL)
    left, right = eyes(portrait)
    assert portrait.picture.shape == (1, 3, SIZE, SIZE)
    torch.testing.assert_close(left[1], right[1])
    torch.testing.assert_close(right[0] - left[0], torch.tensor(46 * DETAIL).double())
    torch.testing.assert_close((left[0] + right[0]) / 2, torch.tensor(SIZE / 2).double())


def test_proportions_change_as_asked():
    plain = look_portrait(Look("hopper", 0.9), SIZE, DETAIL).landmarks
    shaped = look_portrait(Look("hopper", 0.9, shape=Shape(jaw=0.2, lips=0.5)), SIZE, DETAIL).landmarks
    assert shaped[288, 0] - shaped[58, 0] > 1.05 * (plain[288, 0] - plain[58, 0])
    assert shaped[17, 1] - shaped[0, 1] > 1.3 * (plain[17, 1] - plain[0, 1])


def test_light_falls_from_its_side_in_its_colour():
    plain = look_portrait(Look("collins", 0.9), SIZE, DETAIL).picture
    lit = look_portrait(Look("collins", 0.9, light=Light((0.9, 0.6, 0.3), 1.0, -0.2)), SIZE, DETAIL).picture
    ratio = (lit / plain.clamp(min=0.1)).mean(2)[0]
    assert (ratio[:, :20].mean(1) > 1.2 * ratio[:, -20:].mean(1)).all()
    assert ratio[0].mean() > ratio[1].mean() > ratio[2].mean()


def test_no_two_speakers_look_alike():
    pictures = [look_portrait(speaker.look, SIZE, DETAIL).picture for speaker in SPEAKERS.values()]
    for index, picture in enumerate(pictures):
        assert all((picture - other).abs().mean() > 0.02 for other in pictures[:index])
