import itertools
import math
import random

import pytest

from msrs.report.scale import Scale, fit_scale, tick_text


@pytest.mark.parametrize("is_log", [False, True])
def test_ticks_of_any_range_are_few_distinct_and_inside(is_log):
    draw = random.Random(0)
    for _ in range(2000):
        low = 10 ** draw.uniform(-8, 5)
        scale = Scale(low, low * (1 + 10 ** draw.uniform(-2, 6)), is_log)
        ticks = scale.ticks()
        assert 1 <= len(ticks) <= 7
        assert all(a < b for a, b in itertools.pairwise(ticks))
        assert all(-1e-6 <= scale(tick) <= 1 + 1e-6 for tick in ticks)


def test_range_holds_all_values():
    draw = random.Random(1)
    for is_log, from_zero in itertools.product([False, True], repeat=2):
        for _ in range(300):
            values = [draw.choice([-1, 1, 1]) * 10 ** draw.uniform(-6, 6) for _ in range(draw.randint(1, 4))]
            scale = fit_scale(values, is_log, from_zero)
            assert scale.low < scale.high
            assert all(0 <= scale(value) <= 1 for value in values)
            assert not (is_log and min(values) > 0) or scale.is_log


@pytest.mark.parametrize("value", [0.0, 3e-4, -2.0, 1e6])
def test_one_value_gets_a_range(value):
    for is_log in (False, True):
        scale = fit_scale([value], is_log)
        assert scale.low < value < scale.high
    assert fit_scale([0.0], from_zero=True) == Scale(0.0, 1.0)


def test_negative_values_do_not_start_at_zero():
    assert fit_scale([-1, 1], from_zero=True).low < -1


def test_log_spreads_evenly():
    scale = Scale(1e-3, 1e3, is_log=True)
    assert [scale(10.0**p) for p in (-3, 0, 3)] == pytest.approx([0, 0.5, 1])
    assert scale.ticks() == [1e-3, 1e-1, 1e1, 1e3]


@pytest.mark.parametrize("value", [5e-3, 1.25e-5, 0.01, 9999.0, 10000.0, 12500.0, 1e6, -3e-4, -20.0])
def test_tick_text_says_the_value(value):
    text = tick_text(value).replace("k", "e3").replace("M", "e6")
    assert math.isclose(float(text), value)
