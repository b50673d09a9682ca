import pytest
import torch

from msrs.synth.lids import blink


def test_only_the_eyes_close(head):
    torch.testing.assert_close(blink(head.picture, head.landmarks, 0.0), head.picture, atol=1e-4, rtol=0)

    change = (blink(head.picture, head.landmarks, 1.0) - head.picture).abs()[0].amax(0)

    eyes = head.landmarks[[33, 133, 362, 263, 159, 145, 386, 374]]
    left, top = (eyes.amin(0) - 12).int().tolist()
    right, bottom = (eyes.amax(0) + 6).int().tolist()
    assert change[top:bottom, left:right].max() > 0.3
    change[top:bottom, left:right] = 0
    assert change.max() < 1e-4


@pytest.mark.parametrize("pair", [(159, 145), (386, 374)])
def test_a_closed_eye_shows_no_pupil(head, pair):
    x, y = head.landmarks[list(pair)].mean(0).round().int().tolist()
    around = (..., slice(y - 2, y + 2), slice(x - 3, x + 3))
    assert blink(head.picture, head.landmarks, 1.0)[around].mean() > head.picture[around].mean() + 0.1
