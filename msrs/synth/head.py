"""A speaker's head: one normalised picture, of which only the lower face and the lids move."""

import numpy as np
import torch
from torch import Tensor

from msrs.synth.cavity import cavity
from msrs.synth.lids import blink
from msrs.synth.lips import LipLines, Lips
from msrs.synth.looks import look_portrait
from msrs.synth.portraits import CHIN, LOWER_INNER, LOWER_OUTER, UPPER_INNER, UPPER_OUTER
from msrs.synth.speakers import Look
from msrs.synth.warp import Box, edge_points, look_up, spread_mesh, thin_plate

FRAME_PX = 224
DETAIL = 1.25  # pixels of the head's picture for one of the frame
HEAD_PX = 320  # the head's picture shows more than a frame does, so that the head can move and turn
BLINK_STEPS = 5
FRAMES_AT_ONCE = 8  # more only falls out of the processor's cache

# How far points of the lower face follow the jaw.
_JAW = {152: 1, 18: 1, 148: 0.97, 377: 0.97, 176: 0.9, 400: 0.9, 149: 0.75, 378: 0.75, 150: 0.6, 379: 0.6}
_JAW |= {136: 0.42, 365: 0.42, 172: 0.25, 397: 0.25, 58: 0.1, 288: 0.1} | dict.fromkeys(CHIN, 1)
_CHEEKS = {205: 0.1, 425: 0.1, 206: 0.2, 426: 0.2}  # these are also pushed aside by a wide mouth
_PUSH = torch.tensor([-2.5, 2.5, -2.5, 2.5], dtype=torch.float64)
_STILL = [6, 1, 2, 98, 327, 50, 280, 234, 454, 93, 323, 116, 345]
_MESH_POINTS = 21


class Head:
    """The head of one look, ready to be rendered frame by frame."""

    def __init__(self, look: Look):
        portrait = look_portrait(look, HEAD_PX, DETAIL)
        self.picture, self.landmarks = portrait.picture, portrait.landmarks
        self.mirrored = look.mirrored
        self.tint = torch.tensor(look.light.colour)[:, None, None]
        self.lips = Lips(self.landmarks, look.rest_width)
        closed = np.linspace(0, 1, BLINK_STEPS)
        self.blinks = torch.cat([blink(self.picture, self.landmarks, part) for part in closed])
        self.edges = edge_points(HEAD_PX)
        self.face_box, self.mouth_box = self._lower_face(), self._around_mouth()
        self.fade = self.face_box.fade(margin_px=12)

    def render(self, mouths: np.ndarray, lids: np.ndarray, poses: np.ndarray, exposure: float = 1) -> np.ndarray:
        """Frames (T,224,224,3) uint8.

        Args: mouths (T,7), columns as in `Mouth`; lids (T,), 0 open to 1 closed; poses (T,2,3), the affine map from a
        point of the frame to where it lies on the unmoved head, both px of a frame; exposure, a gain.
        """
        frames = np.empty((len(mouths), FRAME_PX, FRAME_PX, 3), dtype=np.uint8)
        for start in range(0, len(mouths), FRAMES_AT_ONCE):
            part = slice(start, start + FRAMES_AT_ONCE)
            pictures = self._heads(torch.from_numpy(mouths[part]), torch.from_numpy(lids[part]))
            seen = look_up(pictures, self._frame_points(torch.from_numpy(poses[part]).float()))
            seen = seen.mul_(255 * exposure).add_(0.5).clamp_(0, 255).byte().numpy()
            for channel in range(3):  # several times faster than one copy with its axes exchanged
                frames[part, ..., channel] = seen[:, channel]
        return frames

    def _heads(self, mouths: Tensor, lids: Tensor) -> Tensor:
        """The head's picture for every frame: (T,3,320,320)."""
        lines = self.lips.lines(mouths)
        pictures = self.blinks[(lids * (BLINK_STEPS - 1)).round().long()]
        pictures[self.face_box.index] = look_up(self.picture.expand(len(mouths), -1, -1, -1), self._sources(lines))
        colour, coverage = cavity(self.lips, lines, mouths, self.mouth_box.pixels)
        around = pictures[self.mouth_box.index]
        pictures[self.mouth_box.index] = around + (colour * self.tint - around) * coverage
        return pictures

    def _sources(self, lines: LipLines) -> Tensor:
        """Where each pixel of the lower face comes from, (T,h,w,2) px: one warp above the lips' seam, one below."""
        upper = self._bend(lines, (lines.upper_inner, lines.upper_outer), UPPER_INNER + UPPER_OUTER)
        lower = self._bend(lines, (lines.lower_inner, lines.lower_outer), LOWER_INNER + LOWER_OUTER)
        x, y = self.lips.to_mouth(self.face_box.pixels).unbind(2)
        half_width = lines.half_width.float()[:, None, None]
        below = y - sum(self.lips.heights(lines, x / half_width)) / 2
        # Beyond the corners of the mouth the two warps differ a little: there the change between them is drawn out.
        softness = 0.45 + 0.45 * (x.abs() - half_width).clamp(min=0)
        share = torch.sigmoid(below / softness)[..., None]
        return self.face_box.pixels + (upper + (lower - upper) * share) * self.fade

    def _bend(self, lines: LipLines, lip_lines: tuple[Tensor, Tensor], lip_points: list[int]) -> Tensor:
        """Displacement (T,h,w,2) px from each pixel of the lower face to its place in the resting one, by one lip."""
        moved = self.lips.to_picture(torch.cat(lip_lines, dim=1))
        still = torch.cat([self.landmarks[_STILL], self.edges])
        rest = torch.cat([self.landmarks[lip_points + list(_JAW) + list(_CHEEKS)], still])
        target = torch.cat([moved, *self._followers(lines), still.expand(len(moved), -1, -1)], dim=1)
        mesh = thin_plate(target, rest - target, self.face_box.mesh(_MESH_POINTS))
        return spread_mesh(mesh, _MESH_POINTS, self.face_box)

    def _followers(self, lines: LipLines) -> tuple[Tensor, Tensor]:
        """Where the points of jaw and cheeks go: (T,J,2) and (T,4,2) px."""
        along, down = self.lips.axes
        fall = lines.jaw_drop[:, None, None] * down
        jaw, cheeks = (
            self.landmarks[list(shares)] + fall * torch.tensor(list(shares.values()), dtype=torch.float64)[:, None]
            for shares in (_JAW, _CHEEKS)
        )
        wider = lines.half_width / self.lips.portrait_half_width - self.lips.rest_width
        return jaw, cheeks + wider[:, None, None] * _PUSH[:, None] * along

    def _frame_points(self, poses: Tensor) -> Tensor:
        """(T,2,3) -> (T,224,224,2): the point of the head's picture behind every pixel of the frame."""
        pixel = torch.arange(FRAME_PX) + 0.5
        points = torch.empty(len(poses), FRAME_PX, FRAME_PX, 2)
        for axis in range(2):
            by_x, by_y, shift = (DETAIL * poses[:, axis].T)[:, :, None]
            shift = shift + HEAD_PX / 2 - DETAIL * FRAME_PX / 2
            points[..., axis] = (by_x * pixel)[:, None, :] + (by_y * pixel + shift)[:, :, None]
        if self.mirrored:
            points[..., 0] = HEAD_PX - points[..., 0]
        return points

    def _lower_face(self) -> Box:
        """From the tip of the nose to well below the chin, as wide as the jaw."""
        left, right = self.landmarks[[58, 288], 0].tolist()
        top, chin = self.landmarks[[1, 152], 1].tolist()
        return Box.around(left - 6, top, right + 6, chin + 0.6 * (chin - top), HEAD_PX)

    def _around_mouth(self) -> Box:
        reach = float(self.lips.portrait_half_width)
        x, y = self.lips.centre.tolist()
        return Box.around(x - 1.3 * reach, y - 0.6 * reach, x + 1.3 * reach, y + 1.2 * reach, HEAD_PX)
