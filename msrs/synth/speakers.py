"""Who speaks: a voice, a face and a way to hold the head each. Held-out speakers share no voice and no face with others."""

from typing import NamedTuple


class Voice(NamedTuple):
    """An espeak-ng voice and its usual pace and pitch (0..99)."""

    name: str
    words_per_minute: int
    pitch: int


class Shape(NamedTuple):
    """Relative changes of a portrait's proportions."""

    width: float = 0.0
    jaw: float = 0.0  # width of the lower face
    length: float = 0.0
    lips: float = 0.0  # thickness
    mouth: float = 0.0  # width


class Light(NamedTuple):
    """The light's colour, the exposure's gamma, and how much brighter it is to the right than in the middle."""

    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    slope: float = 0.0


class Look(NamedTuple):
    """A face made from a portrait."""

    portrait: str
    rest_width: float  # of the closed mouth, as a part of the portrait's, whose smile is wide
    blend: float = 0.0  # share of the other portrait's face
    shape: Shape = Shape()
    light: Light = Light()
    mirrored: bool = False


class Stance(NamedTuple):
    """How the head stands in the picture and how much it moves (1 is usual)."""

    scale: float = 1.0
    roll_degrees: float = 0.0
    offset_px: tuple[float, float] = (0.0, 0.0)
    sway: float = 1.0


class Speaker(NamedTuple):
    """One person of the corpus."""

    name: str
    voice: Voice
    look: Look
    stance: Stance


_PLAIN, _PALE, _WARM = Light(), Light((0.97, 1.02, 1.08), 0.8), Light((1.04, 1.0, 0.93), 0.9, -0.12)
_COOL, _SIDE, _DUSK = (
    Light((0.95, 0.97, 1.05), 1.15, 0.15),
    Light(gamma=0.85, slope=-0.2),
    Light((0.86, 0.74, 0.64), 1.45),
)
_LAMP, _AMBER, _SHADE = Light((0.80, 0.72, 0.66), 1.25, 0.18), Light((1.05, 0.96, 0.88), 1.05), Light((0.92,) * 3, 1.1)

SEEN = (
    Speaker("s01", Voice("en+f3", 140, 50), Look("collins", 0.80), Stance()),
    Speaker("s02", Voice("en-us+f2", 132, 45), Look("hopper", 0.98), Stance(0.95, 3, (-6, 2), 0.8)),
    Speaker(
        "s03",
        Voice("en-gb-scotland+f4", 145, 52),
        Look("collins", 0.82, 0.55, Shape(width=0.06, jaw=0.06), _COOL),
        Stance(1.08, -2, (5, -3), 1.2),
    ),
    Speaker(
        "s04",
        Voice("en-us+f5", 150, 55),
        Look("hopper", 0.95, 0.60, Shape(width=-0.05, jaw=-0.06, length=0.02), _WARM, mirrored=True),
        Stance(0.92, 2, (8, 4), 1.0),
    ),
    Speaker(
        "s05",
        Voice("en-gb-x-rp+f1", 135, 45),
        Look("collins", 0.82, 0, Shape(width=0.05, jaw=0.12, length=-0.02, lips=0.15), _DUSK, mirrored=True),
        Stance(1.0, -4, (-8, 0), 0.9),
    ),
    Speaker(
        "s06",
        Voice("en-gb-x-gbclan+f2", 150, 58),
        Look("hopper", 1.0, 0, Shape(width=-0.03, jaw=-0.10, length=0.03, mouth=0.08), _PALE, mirrored=True),
        Stance(1.12, 1, (3, 6), 1.3),
    ),
    Speaker(
        "s07",
        Voice("en-us-nyc+f1", 142, 60),
        Look("collins", 0.84, 0.30, Shape(width=-0.06, jaw=-0.08, length=0.05, lips=0.1), _SIDE),
        Stance(0.96, 4.5, (-3, -4), 0.7),
    ),
    Speaker(
        "s08",
        Voice("en+f4", 138, 40),
        Look("hopper", 0.95, 0.30, Shape(width=0.05, jaw=0.08, length=-0.03, lips=0.2), _LAMP),
        Stance(1.04, -1.5, (6, -2), 1.1),
    ),
)
HELD_OUT = (
    Speaker(
        "s09",
        Voice("en-gb-x-gbcwmd+f3", 140, 47),
        Look("collins", 0.86, 0.75, Shape(width=0.02, jaw=-0.05, length=0.02, lips=0.05), _AMBER, mirrored=True),
        Stance(1.02, -3, (4, 3), 1.0),
    ),
    Speaker(
        "s10",
        Voice("en-us+f4", 146, 53),
        Look("hopper", 0.93, 0.80, Shape(width=0.03, jaw=0.02, lips=0.08), _SHADE),
        Stance(0.98, 2.5, (-5, -3), 0.9),
    ),
)
SPEAKERS = {speaker.name: speaker for speaker in SEEN + HELD_OUT}
