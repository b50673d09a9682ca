"""Integer lengths and the masks made of them."""

import torch
from torch import Tensor


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """True on valid positions.

    Args: lengths (B,) int64; size, the padded width. Returns: (B, size) bool.

    >>> length_mask(torch.tensor([1, 3]), 3).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


def pack_valid(values: Tensor, mask: Tensor) -> Tensor:
    """Rows of the valid positions alone. Args: values (B, T, ...), mask (B, T) bool. Returns: (N, ...), N = mask.sum()."""
    return values[mask]


def unpack_valid(rows: Tensor, mask: Tensor) -> Tensor:
    """Inverse of `pack_valid`; positions outside the mask become zero. Args: rows (N, ...). Returns: (B, T, ...)."""
    values = rows.new_zeros(*mask.shape, *rows.shape[1:])
    values[mask] = rows
    return values
