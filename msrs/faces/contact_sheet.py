"""A picture of a set's crops, so that a person sees at a glance whether they show mouths."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from msrs.data.media import read_video_array
from msrs.faces.quality import Quality
from msrs.files import atomic_path

MAX_RECORDINGS = 64
MAX_WORST = 16
FRAMES = 5
COLUMNS = 4
CAPTION_PX = 26
GAP_PX = 6
INK, ALARM, PAPER = (20, 20, 20), (200, 0, 0), (255, 255, 255)


def choose_recordings(qualities: Sequence[Quality]) -> list[Quality]:
    """The worst few that raise an alarm, first, then others spread evenly over the sorted list. Returns: at most 64."""
    worst = [one for one in sorted(qualities, key=lambda q: (-q.badness(), q.recording)) if one.alarms()][:MAX_WORST]
    marked = {one.recording for one in worst}
    rest = sorted((one for one in qualities if one.recording not in marked), key=lambda q: q.recording)
    room = MAX_RECORDINGS - len(worst)
    if len(rest) > room:
        rest = [rest[i] for i in np.linspace(0, len(rest) - 1, room).round().astype(int)]
    return worst + rest


def write_contact_sheet(path: str | Path, videos: Mapping[str, str], qualities: Sequence[Quality]) -> None:
    """Draw five frames of each chosen recording with its name; alarms stand in red.

    Args: videos, recording -> path of its crop. Raises: MediaError where a crop cannot be read.
    """
    from PIL import Image, ImageDraw

    chosen = choose_recordings(qualities)
    strips = [_strip(videos[one.recording]) for one in chosen]
    width = max(strip.shape[1] for strip in strips) + GAP_PX
    height = max(strip.shape[0] for strip in strips) + CAPTION_PX + GAP_PX
    columns = min(COLUMNS, len(chosen))
    sheet = Image.new("RGB", (columns * width, -(-len(chosen) // columns) * height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, (one, strip) in enumerate(zip(chosen, strips, strict=True)):
        left, top = place % columns * width, place // columns * height
        alarms = one.alarms()
        colour = ALARM if alarms else INK
        sheet.paste(Image.fromarray(strip), (left, top + CAPTION_PX))
        draw.text((left + 2, top), one.recording.encode("ascii", "replace").decode(), fill=colour)
        draw.text((left + 2, top + CAPTION_PX // 2), "; ".join(alarms) or _summary(one), fill=colour)
        if alarms:
            draw.rectangle((left, top, left + width - GAP_PX, top + height - GAP_PX), outline=ALARM, width=2)
    with atomic_path(path) as temporary:
        sheet.save(temporary)


def _strip(video: str) -> np.ndarray:
    """Frames spread over the crop, side by side. Returns: (H, 5 W) uint8."""
    frames = read_video_array(video, pixel="gray")
    picks = np.linspace(0, len(frames) - 1, FRAMES + 2).round().astype(int)[1:-1]
    return np.concatenate([frames[i] for i in picks], axis=1)


def _summary(one: Quality) -> str:
    return f"{one.frames} frames, face {one.face_px:.0f} px"
