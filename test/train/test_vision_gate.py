"""The remark for a model that speaks without looking."""

import pytest

from msrs.train.vision_gate import remark_on_blindness


@pytest.mark.parametrize(
    ("gaps", "done", "told", "now"),
    [
        ([0.0, 0.001, -0.002], 0.31, -1, 3),
        ([0.5, 0.0, 0.0, 0.0], 0.31, -1, 3),
        ([0.0, 0.0, 0.0], 0.31, 3, 3),  # once in a tenth
        ([0.0, 0.0, 0.0], 0.40, 3, 4),
        ([0.0, 0.0, 0.0], 0.20, -1, -1),  # too early
        ([0.0], 0.5, -1, 5),  # a run of two validations: the second is the end
        ([0.0, 0.0], 0.9, -1, 9),
        ([0.0, 0.3], 0.9, -1, -1),
        ([], 0.9, -1, -1),
        ([0.0, 0.0, 0.02], 0.9, -1, -1),  # it looks
    ],
)
def test_it_comes_when_it_is_due(log, gaps, done, told, now):
    assert remark_on_blindness(gaps, done, 0.25, told) == now
    assert ("without looking" in log.text) == (now != told)
