"""The two public-domain portraits, their face landmarks, and blends of the one face into the other's picture."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from msrs.synth.warp import Box, look_up, spread_mesh, thin_plate

ASSETS = Path(__file__).parent / "assets"
NAMES = ("collins", "hopper")

# Numbers of points in MediaPipe's 478-point face mesh, from the picture's left to its right where they form a line.
UPPER_OUTER = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291]
LOWER_OUTER = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291]
UPPER_INNER = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
LOWER_INNER = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
EYE_CORNERS = [[33, 133], [362, 263]]
UPPER_FACE = [33, 133, 263, 362, 159, 386, 70, 300, 6, 1, 2, 98, 327, 10, 50, 280, 234, 454, 93, 323, 116, 345]
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377]
OVAL += [152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
CHIN = [200, 199]

_MESH_POINTS = 48


@dataclass(frozen=True)
class Portrait:
    """A picture (1,3,H,W) float32 in 0..1 and its landmarks (478,2) float64 px, 0 being the picture's outer edge."""

    picture: Tensor
    landmarks: Tensor


def load_portrait(name: str) -> Portrait:
    """One of `NAMES` from the assets of this room."""
    pixels = np.asarray(Image.open(ASSETS / f"{name}.jpg").convert("RGB"), dtype=np.float32) / 255
    with np.load(ASSETS / "landmarks.npz") as landmarks:
        points = torch.from_numpy(landmarks[name].astype(np.float64))
    return Portrait(torch.from_numpy(pixels).permute(2, 0, 1)[None], points)


def blend(base: Portrait, other: Portrait, amount: float) -> Portrait:
    """`base` with its face mixed with the other's, bent to the same landmarks and matched in colour; amount in 0..1."""
    height, width = base.picture.shape[2:]
    points = list(dict.fromkeys(OVAL + UPPER_FACE + UPPER_OUTER + LOWER_OUTER + UPPER_INNER[1:-1] + CHIN))
    whole = Box(0, 0, width, height)
    control, wanted = base.landmarks[points], other.landmarks[points]
    mesh = thin_plate(control[None], (wanted - control)[None], whole.mesh(_MESH_POINTS))
    bent = look_up(other.picture, whole.pixels + spread_mesh(mesh, _MESH_POINTS, whole))
    mask = _face_mask(base)
    inside = mask[0, 0] > 0.9
    ours, theirs = base.picture[0, :, inside], bent[0, :, inside]
    gain = (ours.std(1) / theirs.std(1))[:, None, None]
    bent = (bent - theirs.mean(1)[:, None, None]) * gain + ours.mean(1)[:, None, None]
    weight = amount * mask
    return Portrait((base.picture * (1 - weight) + bent * weight).clamp(0, 1), base.landmarks)


def _face_mask(portrait: Portrait) -> Tensor:
    """(1,1,H,W): 1 inside the oval of the face, falling softly to 0 at its rim."""
    height, width = portrait.picture.shape[2:]
    oval = portrait.landmarks[OVAL]
    centre = oval.mean(0)
    outline = [tuple(point) for point in (centre + 0.93 * (oval - centre)).tolist()]
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    softness_px = 0.06 * float(oval[:, 0].max() - oval[:, 0].min())
    mask = mask.filter(ImageFilter.GaussianBlur(softness_px))
    return torch.from_numpy(np.asarray(mask, dtype=np.float32) / 255)[None, None]
