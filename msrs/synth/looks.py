"""A look's picture: the portrait turned upright, brought to one size, reshaped and lit."""

import torch
from torch import Tensor

from msrs.synth.portraits import (
    CHIN,
    EYE_CORNERS,
    LOWER_INNER,
    LOWER_OUTER,
    NAMES,
    OVAL,
    UPPER_FACE,
    UPPER_INNER,
    UPPER_OUTER,
    Portrait,
    blend,
    load_portrait,
)
from msrs.synth.speakers import Light, Look
from msrs.synth.warp import Box, edge_points, look_up, spread_mesh, thin_plate

EYE_DISTANCE_PX = 46  # at a detail of 1
EYES_ABOVE_CENTRE_PX = 22.4
_MESH_POINTS = 41


def look_portrait(look: Look, size_px: int, detail: float) -> Portrait:
    """A square portrait with level eyes at a fixed place and distance, in the shape and light of the look.

    Args: size_px, its side; detail, picture elements for one of `EYE_DISTANCE_PX`.
    """
    portrait = load_portrait(look.portrait)
    if look.blend:
        (other,) = set(NAMES) - {look.portrait}
        portrait = blend(portrait, load_portrait(other), look.blend)
    eyes = torch.tensor([size_px / 2, size_px / 2 - EYES_ABOVE_CENTRE_PX * detail], dtype=torch.float64)
    left, right = (portrait.landmarks[corners].mean(0) for corners in EYE_CORNERS)
    along = (right - left) / (EYE_DISTANCE_PX * detail)
    # Rows: where a step to the right and a step down lead.
    to_portrait = torch.stack([along, torch.stack([-along[1], along[0]])])
    middle = (left + right) / 2
    level = (portrait.landmarks - middle) @ torch.linalg.inv(to_portrait) + eyes
    shaped = _reshape(level, eyes, look)
    square = Box(0, 0, size_px, size_px)
    control, displacement = _moves(shaped, level, size_px)
    mesh = thin_plate(control[None], displacement[None], square.mesh(_MESH_POINTS))
    points = square.pixels + spread_mesh(mesh, _MESH_POINTS, square)
    points = (points - eyes.float()) @ to_portrait.float() + middle.float()
    return Portrait(_lit(look_up(portrait.picture, points), look.light), shaped)


def _reshape(landmarks: Tensor, eyes: Tensor, look: Look) -> Tensor:
    """The landmarks (478,2) of an upright face in the proportions of the look."""
    nose_y, chin_y = landmarks[1, 1], landmarks[152, 1]
    lower_face = ((landmarks[:, 1] - nose_y) / (chin_y - nose_y)).clamp(0, 1)
    offset = landmarks - eyes
    shaped = landmarks.clone()
    shaped[:, 0] += offset[:, 0] * (look.shape.width + look.shape.jaw * lower_face)
    shaped[:, 1] += offset[:, 1] * look.shape.length
    lips = sorted({*UPPER_OUTER, *LOWER_OUTER, *UPPER_INNER, *LOWER_INNER})
    growth = torch.tensor([look.shape.mouth, look.shape.lips], dtype=torch.float64)
    shaped[lips] += (landmarks[lips] - landmarks[lips].mean(0)) * growth
    return shaped


def _moves(shaped: Tensor, level: Tensor, size_px: int) -> tuple[Tensor, Tensor]:
    """Points of the reshaped picture, its corners and edges among them, and the way from each back to its source."""
    points = list(dict.fromkeys(OVAL + UPPER_FACE + UPPER_OUTER[1:-1] + LOWER_OUTER + CHIN))
    edges = edge_points(size_px)
    control = torch.cat([shaped[points], edges])
    return control, torch.cat([level[points] - shaped[points], torch.zeros_like(edges)])


def _lit(picture: Tensor, light: Light) -> Tensor:
    """Exposure, the colour of the light and its fall from one side."""
    width = picture.shape[3]
    across = torch.linspace(1 - light.slope, 1 + light.slope, width)
    colour = torch.tensor(light.colour)[None, :, None, None]
    return (picture.clamp(0, 1) ** light.gamma * colour * across).clamp(0, 1)
