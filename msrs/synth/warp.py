"""Smooth warps of pictures: thin-plate splines through moved points, and bilinear look-up."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

STIFFNESS_PX2 = 0.5  # 0 passes exactly through every point; a little slack hides the jitter of the landmarks


def thin_plate(control: Tensor, displacement: Tensor, query: Tensor) -> Tensor:
    """Displacement at any point from the displacements of a few: the thin-plate spline through them.

    Args: control (B,K,2) float64 px, distinct points of one picture; displacement (B,K,2) px; query (Q,2) px.
    Returns: (B,Q,2) float32 px. Source: F. L. Bookstein, Principal Warps, IEEE PAMI 1989.
    """
    batch, count, _ = control.shape
    affine = torch.cat([control.new_ones(batch, count, 1), control], dim=2)
    system = control.new_zeros(batch, count + 3, count + 3)
    system[:, :count, :count] = _kernel(control, control) + STIFFNESS_PX2 * torch.eye(count, dtype=control.dtype)
    system[:, :count, count:] = affine
    system[:, count:, :count] = affine.transpose(1, 2)
    right = torch.cat([displacement, displacement.new_zeros(batch, 3, 2)], dim=1)
    weights = torch.linalg.solve(system, right)
    # Half the digits are enough here, and this is the slow part.
    query, weights, control = query.float().expand(batch, -1, -1), weights.float(), control.float()
    return (
        _kernel(query, control) @ weights[:, :count] + weights[:, count : count + 1] + query @ weights[:, count + 1 :]
    )


def _kernel(left: Tensor, right: Tensor) -> Tensor:
    """(B,L,2), (B,R,2) -> (B,L,R): r² log r."""
    squared = left.pow(2).sum(2)[:, :, None] + right.pow(2).sum(2)[:, None] - 2 * left @ right.transpose(1, 2)
    return 0.5 * squared * torch.log(squared.clamp(min=1e-9))


def lattice(left: float, top: float, width: float, height: float, columns: int, rows: int) -> Tensor:
    """Points of a regular lattice, the first and last on the box's edges: (rows·columns, 2) float64 px, row by row."""
    x = torch.linspace(left, left + width, columns, dtype=torch.float64)
    y = torch.linspace(top, top + height, rows, dtype=torch.float64)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2).reshape(-1, 2)


def edge_points(size_px: float) -> Tensor:
    """The corners of a square picture and the middles of its sides: (8,2) float64 px."""
    return lattice(0, 0, size_px, size_px, 3, 3)[[0, 1, 2, 3, 5, 6, 7, 8]]


class Box:
    """A rectangle of whole pixels. `pixels` (h,w,2) float32: their centres; `index` cuts it from (B,C,H,W)."""

    def __init__(self, left: int, top: int, width: int, height: int):
        self.left, self.top, self.width, self.height = left, top, width, height
        self.index = (..., slice(top, top + height), slice(left, left + width))
        self.pixels = self._centres(width, height).float().reshape(height, width, 2)

    @classmethod
    def around(cls, left: float, top: float, right: float, bottom: float, size_px: int) -> "Box":
        """The smallest box that holds the given bounds, cut at the edges of a square picture."""
        left, top = max(math.floor(left), 0), max(math.floor(top), 0)
        return cls(left, top, min(math.ceil(right), size_px) - left, min(math.ceil(bottom), size_px) - top)

    def mesh(self, points: int) -> Tensor:
        """`points` × `points` places from the first pixel's centre to the last's: (points², 2) float64."""
        return self._centres(points, points)

    def fade(self, margin_px: float) -> Tensor:
        """(h,w,1) float32: 1 inside, falling smoothly to 0 at the edges."""
        ramps = [((torch.arange(size) + 0.5) / margin_px).clamp(max=1) for size in (self.height, self.width)]
        down, across = (torch.minimum(ramp, ramp.flip(0)) for ramp in ramps)
        ramp = down[:, None] * across
        return (ramp * ramp * (3 - 2 * ramp))[..., None]

    def _centres(self, columns: int, rows: int) -> Tensor:
        return lattice(self.left + 0.5, self.top + 0.5, self.width - 1, self.height - 1, columns, rows)


def spread_mesh(mesh: Tensor, points: int, box: Box) -> Tensor:
    """Values at the places of `box.mesh(points)` for all its pixels: (B,points²,2) -> (B,h,w,2) float32, bilinear."""
    # Contiguous, because interpolation of two channels that lie side by side is several times slower.
    grid = mesh.reshape(len(mesh), points, points, 2).permute(0, 3, 1, 2).contiguous()
    dense = F.interpolate(grid, (box.height, box.width), mode="bilinear", align_corners=True)
    return dense.permute(0, 2, 3, 1)


def look_up(picture: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples of a picture, its border repeated outside.

    Args: picture (B,C,H,W) float32; points (B,h,w,2) float32 px, 0 and W being the picture's outer edges.
    Returns: (B,C,h,w).
    """
    height, width = picture.shape[2:]
    unit = (points * points.new_tensor([2 / width, 2 / height])).sub_(1)
    return F.grid_sample(picture, unit, mode="bilinear", padding_mode="border", align_corners=False)
