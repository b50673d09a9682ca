"""3x3 convolutions of stride 1 on a CPU with a third of the multiplications: Winograd's minimal filtering.

A map is cut into tiles of some results an axis. Each is a polynomial product, known by its values at two points more; to
multiply values is a matrix product over the channels for each pair of points: 25 in place of 81 for a tile of 3x3 results.
What leads to the points and back is the same small matrix for all channels and pictures. More results a tile save more and
round worse: 2e-6 for tiles of 4x4, 5e-6 for 6x6, which are left out for that; float32's own rounding is 3e-7.

Sources: Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016; the points are those that round least
of the small fractions (Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for deep neural
networks", ACM TOMS 2020, has the method).
"""

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

# By results a tile; infinity is one more.
POINTS = {3: (0.0, 1.0, -1.0, -0.5), 4: (0.0, 1.0, -1.0, -2.0, 0.5)}
MAX_PICTURES = 256  # at a time: bounds the memory, three times that of the map twice, at no loss of speed


@dataclasses.dataclass(frozen=True)
class _Axis:
    """The matrices of one axis; P = tiles times points a tile."""

    to_points: Tensor  # (P, size)
    taps_to_points: Tensor  # (points a tile, 3)
    from_points: Tensor  # (size, P)
    num_tiles: int


@functools.cache
def _axis(size: int, dtype: torch.dtype, is_by_tile: bool) -> _Axis:
    """What an axis of `size` takes, cut so that there are the fewest points; ordered by tile, or by point."""
    per_tile = min(POINTS, key=lambda results: -(-size // results) * (results + 2))
    num_tiles, num_points = -(-size // per_tile), per_tile + 2
    whole = _values(per_tile, num_points).inverse().t()
    windows = torch.zeros(num_tiles, num_points, num_tiles * per_tile + 2, dtype=torch.float64)
    results = torch.zeros(num_tiles, num_points, num_tiles, per_tile, dtype=torch.float64)
    for tile in range(num_tiles):
        windows[tile, :, tile * per_tile : tile * per_tile + num_points] = whole
        results[tile, :, tile] = _values(per_tile, per_tile)
    if not is_by_tile:
        windows, results = windows.transpose(0, 1), results.transpose(0, 1)
    return _Axis(
        to_points=windows.flatten(0, 1)[:, 1 : size + 1].to(dtype),  # the zeros beyond the border take no part
        taps_to_points=_values(per_tile, 3).to(dtype),
        from_points=results.flatten(2).flatten(0, 1)[:, :size].t().to(dtype),
        num_tiles=num_tiles,
    )


def _values(per_tile: int, num_coefficients: int) -> Tensor:
    """The matrix that takes a polynomial's coefficients to its values at the points; at infinity, the highest one."""
    points = torch.tensor(POINTS[per_tile], dtype=torch.float64)
    infinity = torch.eye(num_coefficients, dtype=torch.float64)[-1:]
    return torch.cat([points[:, None] ** torch.arange(num_coefficients), infinity])


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Args: x (N, H, W, C), weight (M, C, 3, 3). Returns: (N, H, W, M), contiguous."""
    rows, columns = _axes(x)
    taps = _taps_at_points(weight, rows, columns)
    result = x.new_empty(*x.shape[:3], len(weight))
    for some, to in zip(x.chunk(_num_parts(x)), result.chunk(_num_parts(x)), strict=True):
        values = _to_products(some, rows.to_points, columns.to_points, rows.num_tiles, len(taps))
        _from_products(_times(values, taps), rows.from_points, columns.from_points, to)
    return result


def gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """What reaches x and weight: each matrix of the way there, turned round.

    Args: gradient (N, H, W, M), x (N, H, W, C), weight (M, C, 3, 3), wanted: which of the two. Returns: in their shapes.
    """
    rows, columns = _axes(x)
    taps = _taps_at_points(weight, rows, columns).transpose(1, 2)
    to_x = torch.empty_like(x) if wanted[0] else None
    to_taps = taps.new_zeros(len(taps), x.shape[3], len(weight)) if wanted[1] else None
    parts = (values.chunk(_num_parts(x)) for values in (gradient, x, x if to_x is None else to_x))
    for slopes, some, to in zip(*parts, strict=True):
        slopes = _to_products(slopes, rows.from_points.t(), columns.from_points.t(), rows.num_tiles, len(taps))
        if to_x is not None:
            _from_products(_times(slopes, taps), rows.to_points.t(), columns.to_points.t(), to)
        if to_taps is not None:
            values = _to_products(some, rows.to_points, columns.to_points, rows.num_tiles, len(taps))
            for value, slope in zip(values, slopes, strict=True):
                to_taps.baddbmm_(value.transpose(1, 2), slope)
    if to_taps is None:
        return to_x, None
    to_weight = _mix(torch.kron(rows.taps_to_points, columns.taps_to_points).t(), to_taps)
    return to_x, to_weight.transpose(1, 2).reshape(9, -1).t().reshape(weight.shape)


def _axes(x: Tensor) -> tuple[_Axis, _Axis]:
    """Rows by tile and columns by point: so what one product takes lies together. Args: x (N, H, W, C)."""
    return _axis(x.shape[1], x.dtype, True), _axis(x.shape[2], x.dtype, False)


def _num_parts(x: Tensor) -> int:
    return max(1, -(-len(x) // MAX_PICTURES))


def _taps_at_points(weight: Tensor, rows: _Axis, columns: _Axis) -> Tensor:
    """Args: weight (M, C, 3, 3). Returns: (pairs of points, C, M)."""
    width, channels = weight.shape[:2]
    # Two swaps of two axes: torch is several times as slow where it has to permute all three at once.
    taps = weight.reshape(-1, 9).t().reshape(9, width, channels).transpose(1, 2)
    return _mix(torch.kron(rows.taps_to_points, columns.taps_to_points), taps).contiguous()


def _to_products(x: Tensor, rows: Tensor, columns: Tensor, num_tiles: int, num_pairs: int) -> Tensor:
    """Args: x (N, H, W, C), rows (P, H), columns (Q, W). Returns: (tiles of rows, pairs of points, columns' tiles * N, C)."""
    _, height, width, channels = x.shape
    x = torch.matmul(columns, _mix(rows, x.permute(1, 2, 0, 3).reshape(height, width, -1)))
    return x.view(num_tiles, num_pairs, -1, channels)


def _times(values: Tensor, taps: Tensor) -> Tensor:
    """Args: values (tiles of rows, pairs of points, columns' tiles * N, C), taps (pairs of points, C, M). Returns: (..., M)."""
    result = values.new_empty(*values.shape[:3], taps.shape[2])
    for value, product in zip(values, result, strict=True):
        torch.bmm(value, taps, out=product)
    return result


def _from_products(products: Tensor, rows: Tensor, columns: Tensor, to: Tensor) -> None:
    """Fill `to` (N, H, W, M). Args: products, as `_times` has them; rows (H, P), columns (W, Q)."""
    products = _mix(rows, products.view(rows.shape[1], columns.shape[1], -1))
    pictures, height, width, channels = to.shape
    to.copy_(torch.matmul(columns, products).view(height, width, pictures, channels).permute(2, 0, 1, 3))


def _mix(matrix: Tensor, values: Tensor) -> Tensor:
    """A small matrix times the first axis of (K, L, M). Returns: a view (rows, L, M).

    As many products, for one of so few rows is computed by a single thread.
    """
    return torch.matmul(matrix, values.transpose(0, 1)).transpose(0, 1)
