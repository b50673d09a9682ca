"""Exact counts and ties, densities, and a lambda found by quantile."""

import pytest
import torch

from msrs.sparse.densities import count_kept, share_density
from msrs.sparse.ranking import keep_largest, keep_largest_of_all, random_scores
from msrs.sparse.strength import Strength

BLOCK = {  # one of the two feed-forward modules
    "query": (768, 768),
    "key": (768, 768),
    "value": (768, 768),
    "out": (768, 768),
    "position": (768, 768),
    "w1": (3072, 768),
    "w2": (768, 3072),
    "expand": (1536, 768, 1),
    "contract": (768, 768, 1),
    "depthwise": (768, 1, 31),
}


@pytest.mark.parametrize("count", [0, 1, 5, 11, 12, 40])
def test_counts_are_exact_among_ties(count):
    scores = torch.tensor([1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]).view(3, 4)
    mask = keep_largest(scores, count)
    assert int(mask.sum()) == min(count, 12)
    assert mask.shape == scores.shape
    if count == 5:
        assert mask.flatten().nonzero().flatten().tolist() == [0, 1, 4, 9, 10]


def test_ranking_of_all_respects_floors():
    scores = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([10.0, 20.0, 30.0])}
    assert {n: m.tolist() for n, m in keep_largest_of_all(scores, 3).items()} == {"a": [False] * 3, "b": [True] * 3}
    floored = keep_largest_of_all(scores, 3, {"a": 1})
    assert {n: m.tolist() for n, m in floored.items()} == {"a": [False, False, True], "b": [False, True, True]}
    assert sum(int(m.sum()) for m in keep_largest_of_all(scores, 1, {"a": 2, "b": 1}).values()) == 3


def test_random_scores_depend_on_their_key_alone():
    like = torch.zeros(3, 4)
    assert random_scores(like, 1, "a", 5).equal(random_scores(like, 1, "a", 5))
    assert not random_scores(like, 1, "a", 5).equal(random_scores(like, 1, "b", 5))


@pytest.mark.parametrize(
    ("density", "expected"),
    [
        (0.5, (0.6383, 0.3989, 0.4789, 0.6387, 1.0)),
        (0.2, (0.2534, 0.1584, 0.1901, 0.2536, 1.0)),
        (0.1, (0.1251, 0.0782, 0.0939, 0.1252, 1.0)),
    ],
)
def test_erk_of_a_conformer_block(density, expected):
    shares = share_density(BLOCK, density)
    got = [shares[name] for name in ("query", "w1", "expand", "contract", "depthwise")]
    assert got == pytest.approx(expected, abs=5e-5)
    sizes = {name: torch.Size(shape).numel() for name, shape in BLOCK.items()}
    assert sum(shares[n] * sizes[n] for n in BLOCK) == pytest.approx(density * sum(sizes.values()))


def test_erk_of_front_ends_and_small_tensors():
    front = {"a": (64, 1, 5, 7, 7), "b": (64, 64, 3, 3), "c": (512, 512, 3, 3), "d": (768, 512)}
    assert list(share_density(front, 0.5).values()) == pytest.approx([1, 1, 0.4055, 1], abs=5e-5)
    assert list(share_density(front, 0.1).values()) == pytest.approx([0.5944, 0.4033, 0.0484, 0.3612], abs=5e-5)
    assert list(share_density({"a": (8, 4), "b": (4, 2)}, 0.5).values()) == pytest.approx([5 / 12, 5 / 6])
    assert share_density(front, 0.3, "uniform") == dict.fromkeys(front, 0.3)
    assert share_density(front, 1.0) == dict.fromkeys(front, 1.0)
    er = share_density({"a": (4, 4, 9), "b": (8, 8, 9)}, 0.25, "er")
    assert er["a"] / er["b"] == pytest.approx(2)


def test_counts_of_a_density():
    assert count_kept(1000, 0.1) == 100
    assert count_kept(7, 0.5) == 4
    assert count_kept(50, 0.0, 0.01) == 1


def test_lambda_is_the_quantile_of_the_mean_force():
    logits = {"a": torch.zeros(100), "b": torch.zeros(100)}
    forces = {"a": torch.arange(1.0, 101), "b": -1000 * torch.arange(1.0, 101)}
    for per_tensor, expected in ((False, {"a": 120 - 100 + 0.0, "b": 20.0}), (True, {"a": 10.0, "b": 10000.0})):
        strength = Strength("quantile", 0.45, 3, 0.1, per_tensor)  # q = .1
        strength.attach(logits)
        for _ in range(3):
            assert strength.is_calibrating
            strength.observe(forces)
        assert not strength.is_calibrating
        assert {n: float(v) for n, v in strength.current.items()} == pytest.approx(expected, rel=1e-5)
    sparse = Strength("quantile", 0.1, 1, 0.1, True)  # q = .8
    sparse.attach(logits)
    sparse.observe(forces)
    assert float(sparse.current["a"]) == pytest.approx(80)


def test_steering_pushes_above_the_target_and_pulls_below():
    strength = Strength("steered", 0.5, 1, 0.5, False)
    strength.attach({"a": torch.zeros(10)})
    strength.observe({"a": torch.full((10,), 2.0)})
    assert strength.is_steered
    strength.steer(torch.tensor(0.9))
    assert float(strength.current["a"]) == pytest.approx(2 + 0.5 * 2 * 0.4)
    strength.steer(torch.tensor(0.4))
    assert float(strength.current["a"]) == pytest.approx(-2)
    strength.steer(torch.tensor(0.6))
    assert float(strength.current["a"]) == pytest.approx(2.4 + 0.5 * 2 * 0.1)
