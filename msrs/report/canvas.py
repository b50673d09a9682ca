"""What all pictures share: ink, colours, fonts, and how pictures are put together."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageFont

# Okabe and Ito's palette: told apart by colour-blind readers, too. Its yellow is left out: too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
INK, GRID, NOTHING = "#333333", "#E4E4E4", "#DDDDDD"  # of texts and axes; of grid lines; of a cell without a number
OVERSAMPLING = 3  # lines are drawn larger and shrunk, which smooths them; text is drawn at its size
LEGEND_ROW_PX, SWATCH_PX = 21, 28
# From dark to light evenly, so that it is read in grey and by the colour-blind: ten of the colours of viridis (CC0).
RAMP = ("#440154", "#482878", "#3E4989", "#31688E", "#26828E", "#1F9E89", "#35B779", "#6ECE58", "#B5DE2B", "#FDE725")

Point = tuple[float, float]


def line_colour(i: int) -> str:
    """The colour of the i-th line."""
    return COLOURS[i % len(COLOURS)]


def font(size_px: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font."""
    return ImageFont.load_default(size_px)


def ramp(positions: np.ndarray) -> np.ndarray:
    """Colours along the ramp; NaN is grey.

    Args: positions, any shape, 0 (dark) to 1 (light); what is beyond takes the end's colour.
    Returns: uint8, the same shape and RGB.
    """
    stops = np.array([[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in RAMP], dtype=float)
    known = np.nan_to_num(positions)
    channels = [np.interp(known, np.linspace(0, 1, len(RAMP)), stops[:, k]) for k in range(3)]
    grey = np.array([int(NOTHING[k : k + 2], 16) for k in (1, 3, 5)])
    return np.where(np.isnan(positions)[..., None], grey, np.round(np.stack(channels, -1))).astype(np.uint8)


def ramp_text(position: float) -> str:
    """One colour of the ramp as Pillow takes it.

    >>> ramp_text(0.0), ramp_text(1.0)
    ('#440154', '#fde725')
    """
    return "#" + bytes(ramp(np.array(position))).hex()


def fit_text(text: str, width_px: float, typeface: ImageFont.FreeTypeFont) -> str:
    """The text, with an ellipsis in its middle where it is wider."""
    kept = len(text)
    shown = text
    while typeface.getlength(shown) > width_px and kept > 2:
        kept -= 1
        shown = f"{text[: math.ceil(kept / 2)]}…{text[len(text) - kept // 2 :]}"
    return shown


def place_names(
    names: Sequence[str], left_px: int, right_px: int, top_px: int, typeface: ImageFont.FreeTypeFont
) -> list[tuple[int, int]]:
    """Where each name of a legend goes, in as many rows as they need; its text is `SWATCH_PX` further right."""
    places, x, y = [], left_px, top_px
    for name in names:
        width = SWATCH_PX + 24 + math.ceil(typeface.getlength(name))
        if x > left_px and x + width - 24 > right_px:
            x, y = left_px, y + LEGEND_ROW_PX
        places.append((x, y))
        x += width
    return places


def dashes(points: Sequence[Point], on_px: float = 9, off_px: float = 5) -> Iterator[list[Point]]:
    """The pieces of a line that are drawn where it is dashed; their pattern runs on through its corners."""
    piece, left, is_on = [points[0]], on_px, True
    for (x, y), end in zip(points, points[1:]):
        length = math.dist((x, y), end)
        done = 0.0
        while length - done > left:
            done += left
            corner = (x + (end[0] - x) * done / length, y + (end[1] - y) * done / length)
            if is_on:
                yield [*piece, corner]
            is_on = not is_on
            piece, left = [corner], on_px if is_on else off_px
        left -= length - done
        piece.append(end)
    if is_on and len(piece) > 1:
        yield piece


def stack(images: Sequence[Image.Image], gap_px: int = 10) -> Image.Image:
    """The pictures one below the other, on white."""
    height = sum(image.height for image in images) + gap_px * (len(images) - 1)
    result = Image.new("RGB", (max(image.width for image in images), height), "white")
    top = 0
    for image in images:
        result.paste(image, (0, top))
        top += image.height + gap_px
    return result
