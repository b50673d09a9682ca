"""The lines of the lips for a shape of the mouth, and how far the jaw follows."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from msrs.synth.portraits import LOWER_INNER, LOWER_OUTER, UPPER_INNER, UPPER_OUTER
from msrs.synth.visemes import Mouth

OPENING = 0.95  # height of the widest opening as a part of half the mouth's width
UPPER_SHARE = 0.16  # of the opening; the lower lip and the jaw make the rest
JAW_SHARE = 0.62  # of the lower lip's fall
_COLUMNS = 65  # resolution of the lip lines along the mouth


@dataclass(frozen=True)
class LipLines:
    """Four lines of 11 points from the left corner to the right, in the mouth's own axes.

    upper_outer, upper_inner, lower_inner, lower_outer (T,11,2) px, [..., 0] along the mouth and [..., 1] downwards;
    half_width, gap, jaw_drop (T,) px: of the inner lips, of the opening, of the chin.
    """

    upper_outer: Tensor
    upper_inner: Tensor
    lower_inner: Tensor
    lower_outer: Tensor
    half_width: Tensor
    gap: Tensor
    jaw_drop: Tensor


class Lips:
    """The lips of one face at rest, from which those of any mouth shape follow.

    Args: landmarks (478,2) float64 px; rest_width, of the closed mouth, as a part of the portrait's (a smile is wide).
    """

    def __init__(self, landmarks: Tensor, rest_width: float):
        left, right = landmarks[UPPER_INNER[0]], landmarks[UPPER_INNER[-1]]
        self.centre = (left + right) / 2
        along = (right - left) / torch.linalg.norm(right - left)
        self.axes = torch.stack([along, torch.stack([-along[1], along[0]])])  # rows: along the mouth, downwards
        upper, lower = self.to_mouth(landmarks[UPPER_INNER]), self.to_mouth(landmarks[LOWER_INNER])
        self.upper_outer_x = self.to_mouth(landmarks[UPPER_OUTER])[:, 0]
        self.lower_outer_x = self.to_mouth(landmarks[LOWER_OUTER])[:, 0]
        self.upper_height = (upper[:, 1] - self.to_mouth(landmarks[UPPER_OUTER])[:, 1]).clamp(min=0.5)
        self.lower_height = (self.to_mouth(landmarks[LOWER_OUTER])[:, 1] - lower[:, 1]).clamp(min=0.5)
        self.portrait_half_width = torch.linalg.norm(right - left) / 2
        self.rest_width = rest_width
        self.position = upper[:, 0] / self.portrait_half_width  # -1 .. 1 along the mouth
        middle = (upper[:, 1] + lower[:, 1]) / 2
        self.columns = _to_columns(self.position)
        self.seam = 0.35 * (middle - middle.mean()) + 0.9 * middle.mean()  # where closed lips meet, the smile flattened

    def to_mouth(self, points: Tensor) -> Tensor:
        """(...,2) px of the picture -> px along the mouth and downwards from its centre."""
        return (points - self.centre.to(points.dtype)) @ self.axes.T.to(points.dtype)

    def to_picture(self, points: Tensor) -> Tensor:
        """The inverse of `to_mouth`."""
        return points @ self.axes.to(points.dtype) + self.centre.to(points.dtype)

    def lines(self, mouths: Tensor) -> LipLines:
        """The lips for mouth shapes (T,7), columns as in `Mouth`."""
        mouth = Mouth(*(column[:, None] for column in mouths.double().unbind(1)))
        spread, rounded = mouth.spread.clamp(min=0), (-mouth.spread).clamp(min=0)
        scale = self.rest_width * (1 + 0.14 * spread - 0.40 * rounded) * (1 - 0.10 * mouth.open)
        widest = OPENING * self.portrait_half_width
        gap = mouth.open * widest * (1 - 0.15 * rounded)
        arch = (1 - self.position**2).clamp(min=0) ** (0.8 - 0.18 * rounded - 0.2 * mouth.open)
        upper = self.seam - arch * (UPPER_SHARE * gap + 0.06 * widest * mouth.tuck)
        lower = self.seam + arch * ((1 - UPPER_SHARE) * gap - 0.10 * widest * mouth.tuck)
        lower = torch.maximum(lower, upper + 0.01)
        upper_height = self.upper_height * (1 + 0.35 * rounded - 0.45 * mouth.press - 0.10 * spread)
        lower_height = self.lower_height * (1 + 0.30 * rounded - 0.45 * mouth.press - 0.45 * mouth.tuck)
        inner_x = self.position * self.portrait_half_width * scale
        outer_scale = scale * (1 - 0.05 * rounded)
        fall = (1 - UPPER_SHARE) * gap - 0.05 * widest * mouth.press
        return LipLines(
            upper_outer=self._outer(self.upper_outer_x * outer_scale, upper - upper_height),
            upper_inner=torch.stack([inner_x, upper], dim=2),
            lower_inner=torch.stack([inner_x, lower], dim=2),
            lower_outer=self._outer(self.lower_outer_x * outer_scale, lower + lower_height),
            half_width=(self.portrait_half_width * scale)[:, 0],
            gap=gap[:, 0],
            jaw_drop=JAW_SHARE * fall[:, 0],
        )

    def heights(self, lines: LipLines, along: Tensor) -> tuple[Tensor, Tensor]:
        """Heights (T,h,w) px of the inner lips, upper and lower, at places along the mouth (T,h,w), -1 .. 1 inside."""
        heights = torch.stack([lines.upper_inner[..., 1], lines.lower_inner[..., 1]], dim=1)  # (T,2,11)
        table = (heights @ self.columns).float()[:, :, None]  # (T,2,1,columns)
        where = torch.stack([along, torch.zeros_like(along)], dim=3)
        found = F.grid_sample(table, where, mode="bilinear", padding_mode="border", align_corners=True)
        return found[:, 0], found[:, 1]

    def _outer(self, x: Tensor, y: Tensor) -> Tensor:
        """An outer line whose ends lie on the seam, where the two lips meet."""
        y = torch.cat([self.seam[:1].expand(len(y), 1), y[:, 1:-1], self.seam[-1:].expand(len(y), 1)], dim=1)
        return torch.stack([x, y], dim=2)


def _to_columns(position: Tensor) -> Tensor:
    """(11, columns): the matrix of linear interpolation from the points' positions to even columns in -1 .. 1."""
    columns = torch.linspace(-1, 1, _COLUMNS, dtype=position.dtype)
    after = torch.searchsorted(position.contiguous(), columns).clamp(1, len(position) - 1)
    part = ((columns - position[after - 1]) / (position[after] - position[after - 1])).clamp(0, 1)
    matrix = torch.zeros(len(position), _COLUMNS, dtype=position.dtype)
    matrix[after - 1, torch.arange(_COLUMNS)] = 1 - part
    matrix[after, torch.arange(_COLUMNS)] += part
    return matrix
