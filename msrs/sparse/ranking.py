"""Exact, repeatable choices among scores: the count is what was asked for, and ties go to the lower index."""

import math

import torch
from torch import Tensor

from msrs.seeding import keyed_seed


def keep_largest(scores: Tensor, count: int) -> Tensor:
    """Bool mask of exactly `count` entries with the largest scores (a tensor of any shape; ties: lower index).

    >>> keep_largest(torch.tensor([0.5, 0.2, 0.5, 0.5]), 2).tolist()
    [True, False, True, False]
    """
    count = min(max(count, 0), scores.numel())
    flat = scores.reshape(-1)
    mask = torch.zeros_like(flat, dtype=torch.bool)
    if count == flat.numel():
        return mask.fill_(True).view(scores.shape)
    if count > 0:
        limit = torch.kthvalue(flat, flat.numel() - count + 1).values  # the smallest score that stays
        mask = flat > limit
        equal = flat == limit
        mask |= equal & (equal.cumsum(0) <= count - mask.sum())
    return mask.view(scores.shape)


def keep_largest_of_all(
    scores: dict[str, Tensor], count: int, least: dict[str, int] | None = None
) -> dict[str, Tensor]:
    """As `keep_largest` over all tensors at once; `least[name]` entries of a tensor stay whatever the others score.

    Ties go to the earlier tensor. Returns: name -> bool mask; exactly `count` in all, unless `least` asks for more.
    """
    floor = {name: keep_largest(s, (least or {}).get(name, 0)) for name, s in scores.items()}
    lifted = [torch.where(floor[name], math.inf, s).reshape(-1) for name, s in scores.items()]
    chosen = keep_largest(torch.cat(lifted), max(count, sum(int(f.sum()) for f in floor.values())))
    parts = chosen.split([s.numel() for s in scores.values()])
    return {name: part.view(s.shape).clone() for (name, s), part in zip(scores.items(), parts, strict=True)}


def random_scores(like: Tensor, *key: object) -> Tensor:
    """Uniform numbers of `like`'s shape on its device, drawn on the CPU so that every device and rank sees the same."""
    generator = torch.Generator().manual_seed(keyed_seed(*key))
    return torch.rand(like.shape, generator=generator).to(like.device)
