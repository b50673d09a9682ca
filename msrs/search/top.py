"""Choosing the best of many scores, ties decided by position."""

from torch import Tensor


def top_indices(scores: Tensor, count: int) -> Tensor:
    """Where the `count` highest scores of each row stand, the best first; of equal scores the leftmost come first.

    `torch.topk` leaves the order of equal scores, and which of them it drops, to the device.
    Args: scores (..., N), no NaN. Returns: (..., min(count, N)) int64.

    >>> import torch
    >>> top_indices(torch.tensor([1.0, 3.0, 2.0, 3.0, 2.0]), 3).tolist()
    [1, 3, 2]
    """
    count = min(count, scores.shape[-1])
    threshold = scores.topk(count, dim=-1).values[..., -1:]
    above, equal = scores > threshold, scores == threshold
    room = count - above.sum(-1, keepdim=True)
    chosen = above | equal & (equal.cumsum(-1) <= room)
    indices = chosen.nonzero()[:, -1].view(*scores.shape[:-1], count)
    order = scores.gather(-1, indices).sort(dim=-1, descending=True, stable=True).indices
    return indices.gather(-1, order)
