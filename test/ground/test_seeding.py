"""Seeds: any whole number is one."""

import torch

from msrs.seeding import seed_everything


def test_any_whole_number_is_a_seed_and_the_same_one_draws_the_same():
    draws = []
    for seed in (-1, 0, 1, 2**64 - 1, 10**30, 10**30):
        seed_everything(seed)
        draws.append(torch.rand(3).tolist())
    assert draws[-1] == draws[-2]
    assert len({tuple(draw) for draw in draws[1:-1]}) == 4
