"""Blinks: the upper lids drawn down over the eyes."""

import numpy as np
import torch
from torch import Tensor

from msrs.synth.warp import Box, look_up

# Upper and lower lid of each eye, from the picture's left to its right; the corners belong to both.
_EYES = (
    ([33, 246, 161, 160, 159, 158, 157, 173, 133], [33, 7, 163, 144, 145, 153, 154, 155, 133]),
    ([362, 398, 384, 385, 386, 387, 388, 466, 263], [362, 382, 381, 380, 374, 373, 390, 249, 263]),
)
_LASHES_PX = 1.5  # not stretched with the skin
_FOLD = 0.5  # height of the skin above a lid that is stretched over the eye, as a part of the eye's height


def blink(picture: Tensor, landmarks: Tensor, closed: float) -> Tensor:
    """A picture (1,3,H,W) of an upright face with its upper lids lowered; closed in 0..1.

    Above the edge of a lid the skin is stretched from the fold down; below the edge the eye shows as it is.
    """
    box = Box(0, 0, picture.shape[3], picture.shape[2])
    points = box.pixels.clone()
    x, y = box.pixels[0, :, 0].double().numpy(), points[..., 1]
    for upper_points, lower_points in _EYES:
        upper, lower = (_line(landmarks[line], x) for line in (upper_points, lower_points))
        skin = upper - _LASHES_PX
        fold = skin - _FOLD * (lower - upper).max()
        edge = upper + closed * (lower - upper)
        source = fold + (y - fold) * (skin - fold) / (edge - fold)
        inside = (edge > upper) & (y > fold) & (y < edge)
        points[..., 1] = torch.where(inside, source, y)
    return look_up(picture, points[None])


def _line(points: Tensor, x: np.ndarray) -> Tensor:
    """(W,) float32: height of a line of points over every column, its ends carried on."""
    return torch.from_numpy(np.interp(x, points[:, 0].numpy(), points[:, 1].numpy())).float()
