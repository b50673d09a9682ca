"""3x3 convolutions of stride 1 on a CPU with a third of the multiplications: Winograd's minimal filtering.

A map is cut into tiles of 3x3 or 4x4 results. Each is a polynomial product, known by its values at 5 or 6 points an axis;
to multiply values is a matrix product over the channels for each pair of points, 25 or 36 of them in place of 81 or 144.
What leads to the points and back is the same small matrix for all channels and pictures. Rounding is four times that of the
plain convolution in float32 (2e-6); more results a tile would save more and round worse.

Sources: Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016; the points are those that round least
of the small fractions (Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for deep neural
networks", ACM TOMS 2020, has the method).
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

POINTS = {3: (0.0, 1.0, -1.0, -0.5), 4: (0.0, 1.0, -1.0, -2.0, 0.5)}  # by results a tile; infinity is one more
MAX_PICTURES = 256  # at a time: bounds the memory, three times that of the map twice, at no loss of speed


@dataclasses.dataclass(frozen=True)
class _Axis:
    """The matrices of one axis; P = points a tile times tiles, ordered by point."""

    to_points: Tensor  # (P, size)
    taps_to_points: Tensor  # (points a tile, 3)
    from_points: Tensor  # (size, P)
    num_tiles: int


@functools.cache
def _axis(size: int, dtype: torch.dtype) -> _Axis:
    """What an axis of `size` takes: the tiles with the fewer points in all."""
    per_tile = min(POINTS, key=lambda results: -(-size // results) * (results + 2))
    num_tiles, num_points = -(-size // per_tile), per_tile + 2
    whole = _values(per_tile, num_points).inverse().t()
    windows = torch.zeros(num_points, num_tiles, num_tiles * per_tile + 2, dtype=torch.float64)
    results = torch.zeros(num_tiles, per_tile, num_points, num_tiles, dtype=torch.float64)
    for tile in range(num_tiles):
        windows[:, tile, tile * per_tile : tile * per_tile + num_points] = whole
        results[tile, :, :, tile] = _values(per_tile, per_tile).t()
    return _Axis(
        to_points=windows[:, :, 1 : size + 1].flatten(0, 1).to(dtype),  # the zeros beyond the border take no part
        taps_to_points=_values(per_tile, 3).to(dtype),
        from_points=results.flatten(2).flatten(0, 1)[:size].to(dtype),
        num_tiles=num_tiles,
    )


def _values(per_tile: int, num_coefficients: int) -> Tensor:
    """The matrix that takes a polynomial's coefficients to its values at the points; at infinity, the highest one."""
    points = torch.tensor(POINTS[per_tile], dtype=torch.float64)
    infinity = torch.eye(num_coefficients, dtype=torch.float64)[-1:]
    return torch.cat([points[:, None] ** torch.arange(num_coefficients), infinity])


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Args: x (N, H, W, C), weight (M, C, 3, 3). Returns: (N, H, W, M), contiguous."""
    rows, columns = _axis(x.shape[1], x.dtype), _axis(x.shape[2], x.dtype)
    taps = _taps_at_points(weight, rows, columns)
    result = x.new_empty(*x.shape[:3], len(weight))
    for some, to in zip(x.split(MAX_PICTURES), result.split(MAX_PICTURES), strict=True):
        products = _products(_both_axes(some, rows.to_points, columns.to_points), taps, rows, columns)
        _put(to, products, rows.from_points, columns.from_points)
    return result


def gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """What reaches x and weight: each matrix of the way there, turned round.

    Args: gradient (N, H, W, M), x (N, H, W, C), weight (M, C, 3, 3), wanted: which of the two. Returns: in their shapes.
    """
    rows, columns = _axis(x.shape[1], x.dtype), _axis(x.shape[2], x.dtype)
    taps = _taps_at_points(weight, rows, columns).transpose(2, 3)
    to_x = torch.empty_like(x) if wanted[0] else None
    to_taps = torch.zeros_like(taps.transpose(2, 3)) if wanted[1] else None
    for begin in range(0, len(x), MAX_PICTURES):
        some = slice(begin, begin + MAX_PICTURES)
        slopes = _both_axes(gradient[some], rows.from_points.t(), columns.from_points.t())
        if to_x is not None:
            _put(to_x[some], _products(slopes, taps, rows, columns), rows.to_points.t(), columns.to_points.t())
        if to_taps is not None:
            values = _tiles(_both_axes(x[some], rows.to_points, columns.to_points), rows, columns).transpose(3, 4)
            slopes = _tiles(slopes, rows, columns)
            for point, tile in np.ndindex(values.shape[:2]):
                to_taps[point].baddbmm_(values[point, tile], slopes[point, tile])
    if to_taps is None:
        return to_x, None
    channels, width = to_taps.shape[2:]
    to_weight = torch.kron(rows.taps_to_points, columns.taps_to_points).t() @ to_taps.flatten(2).flatten(0, 1)
    return to_x, to_weight.view(9, channels, width).transpose(1, 2).reshape(9, -1).t().reshape(weight.shape)


def _taps_at_points(weight: Tensor, rows: _Axis, columns: _Axis) -> Tensor:
    """Args: weight (M, C, 3, 3). Returns: (points, points, C, M)."""
    width, channels = weight.shape[:2]
    # Two swaps of two axes: torch is several times as slow where it has to permute all three at once.
    taps = weight.reshape(-1, 9).t().reshape(9, width, channels).transpose(1, 2).reshape(9, -1)
    taps = torch.kron(rows.taps_to_points, columns.taps_to_points) @ taps
    return taps.view(len(rows.taps_to_points), len(columns.taps_to_points), channels, width)


def _both_axes(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Args: x (N, H, W, C), rows (P, H), columns (Q, W). Returns: (P, Q, N, C), contiguous."""
    pictures, height, width, channels = x.shape
    x = rows @ x.permute(1, 2, 0, 3).reshape(height, -1)
    return torch.matmul(columns, x.view(len(rows), width, -1)).view(len(rows), -1, pictures, channels)


def _put(to: Tensor, values: Tensor, rows: Tensor, columns: Tensor) -> None:
    """Args: to (N, H, W, C), which is filled; values (P, Q, N, C), rows (H, P), columns (W, Q)."""
    to.copy_(_both_axes(values.permute(2, 0, 1, 3), rows, columns).permute(2, 0, 1, 3))


def _tiles(values: Tensor, rows: _Axis, columns: _Axis) -> Tensor:
    """Args: values (P, Q, N, C). Returns: a view (points, tiles of rows, points, tiles of columns * N, C)."""
    points_high, points_wide = len(rows.taps_to_points), len(columns.taps_to_points)
    return values.view(points_high, rows.num_tiles, points_wide, -1, values.shape[3])


def _products(values: Tensor, taps: Tensor, rows: _Axis, columns: _Axis) -> Tensor:
    """Args: values (P, Q, N, C), taps (points, points, C, M). Returns: (P, Q, N, M)."""
    result = values.new_empty(*values.shape[:3], taps.shape[3])
    factors, products = _tiles(values, rows, columns), _tiles(result, rows, columns)
    for point, tile in np.ndindex(factors.shape[:2]):
        torch.bmm(factors[point, tile], taps[point], out=products[point, tile])
    return result
