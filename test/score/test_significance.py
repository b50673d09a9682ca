import math

import numpy as np
import pytest

from msrs.score.significance import bootstrap_interval, compare_errors


def test_interval_is_that_of_a_proportion():
    errors = [1] * 100 + [0] * 300
    low, high = bootstrap_interval(errors, [1] * 400, num_draws=4000)
    half = 100 * 1.96 * math.sqrt(0.25 * 0.75 / 400)
    assert low == pytest.approx(25 - half, abs=0.5)
    assert high == pytest.approx(25 + half, abs=0.5)


def test_interval_covers_the_truth_in_95_of_100():
    rng = np.random.default_rng(0)
    units = rng.integers(3, 10, (200, 80))
    errors = rng.binomial(units, 0.2)
    intervals = [bootstrap_interval(e, u, num_draws=300) for e, u in zip(errors, units, strict=True)]
    assert 0.88 <= np.mean([low <= 20 <= high for low, high in intervals]) <= 0.99


def test_seed_decides():
    errors, units = [0, 1, 2, 0, 5, 1], [3, 4, 5, 4, 5, 6]
    assert bootstrap_interval(errors, units, seed=1) == bootstrap_interval(errors, units, seed=1)
    assert bootstrap_interval(errors, units, seed=1, num_draws=50) != bootstrap_interval(
        errors, units, seed=2, num_draws=50
    )


def test_empty_references_have_no_rate():
    assert bootstrap_interval([1, 0], [0, 0]) is None
    low, high = bootstrap_interval([1, 1], [0, 2])
    assert 50 <= low <= high <= 100


def test_large_sets_are_drawn_in_parts(monkeypatch):
    errors, units = np.arange(50) % 3, np.full(50, 5)
    whole = bootstrap_interval(errors, units, num_draws=200)
    monkeypatch.setattr("msrs.score.significance._CHUNK", 64)
    assert bootstrap_interval(errors, units, num_draws=200) == whole


def test_equal_systems():
    same = compare_errors([1, 0, 2], [1, 0, 2], [4, 4, 4])
    assert (same.difference, same.interval, same.share_better, same.z, same.p) == (0.0, (0.0, 0.0), 0.5, 0.0, 1.0)


def test_matched_pairs_by_hand():
    # Differences -1 0 -1 -2 -1: mean -1, variance 0.5, z = -1 / sqrt(0.5 / 5).
    found = compare_errors([1, 1, 2, 3, 1], [0, 1, 1, 1, 0], [5] * 5)
    assert found.z == pytest.approx(-math.sqrt(10))
    assert found.p == pytest.approx(0.001565, abs=1e-6)
    assert (found.rate_a, found.rate_b, found.difference) == pytest.approx((32.0, 12.0, -20.0))
    assert found.interval[1] < 0
    assert found.share_better > 0.99


def test_exchanged_systems_mirror():
    a, b, units = [1, 1, 2, 3, 1, 0], [0, 1, 1, 1, 0, 1], [5] * 6
    one, two = compare_errors(a, b, units), compare_errors(b, a, units)
    assert one.z == -two.z
    assert one.share_better == pytest.approx(1 - two.share_better)
    assert one.interval == pytest.approx((-two.interval[1], -two.interval[0]))


def test_constant_difference_and_one_utterance():
    assert compare_errors([1, 1], [0, 0], [3, 3]).z == -math.inf
    assert compare_errors([0], [2], [3]).p == 0.0
