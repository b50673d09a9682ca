"""Masks and packing."""

import torch

from msrs.lengths import length_mask, pack_valid, unpack_valid
from msrs.seeding import keyed_rng, keyed_seed


def test_packing_drops_padding_and_unpacking_zeroes_it():
    mask = length_mask(torch.tensor([2, 3]), 4)
    values = torch.randn(2, 4, 5, 6)
    rows = pack_valid(values, mask)
    assert rows.shape == (5, 5, 6)
    assert torch.equal(unpack_valid(rows, mask), values * mask[..., None, None])


def test_keyed_draws_depend_on_the_key_alone():
    assert keyed_seed(1, "a", 2) == keyed_seed(1, "a", 2)
    assert len({keyed_seed(1, 2, "b"), keyed_seed(12, "b"), keyed_seed(2, 1, "b"), keyed_seed("1", 2, "b2")}) == 4
    assert keyed_rng(1, "u").random() == keyed_rng(1, "u").random()
