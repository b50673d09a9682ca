"""From timed phonemes to the shape of the mouth at every frame."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Mouth(NamedTuple):
    """A viseme: how far the mouth is open (0..1), rounded or spread (-1..1), and what shows (each 0..1)."""

    open: float
    spread: float
    press: float = 0.0  # lips pressed together
    tuck: float = 0.0  # lower lip under the upper teeth
    upper_teeth: float = 0.0
    lower_teeth: float = 0.0
    tongue: float = 0.0  # its tip between or behind the teeth


class Phoneme(NamedTuple):
    """A sound by its espeak-ng name without stress marks; no name, or one that begins with `_`, is a pause."""

    start_seconds: float
    end_seconds: float
    name: str


REST = Mouth(0, 0, press=0.15)
NEUTRAL = Mouth(0.32, 0.05, upper_teeth=0.5, lower_teeth=0.2)
_LIPS = Mouth(0, 0, press=1)
_BITE = Mouth(0.10, 0.10, tuck=1, upper_teeth=1)
_DENTAL = Mouth(0.22, 0.15, upper_teeth=0.9, lower_teeth=0.3, tongue=1)
_ALVEOLAR = Mouth(0.20, 0.25, upper_teeth=1, lower_teeth=0.4, tongue=0.6)
_HISS = Mouth(0.13, 0.45, upper_teeth=1, lower_teeth=1)
_HUSH = Mouth(0.20, -0.55, upper_teeth=0.9, lower_teeth=0.8)
_LATERAL = Mouth(0.30, 0.15, upper_teeth=0.7, tongue=0.9)
_BACK = Mouth(0.28, 0.10, upper_teeth=0.3, lower_teeth=0.2, tongue=0.1)
_R = Mouth(0.20, -0.45, upper_teeth=0.3, lower_teeth=0.2)
_W = Mouth(0.08, -1)
_Y = Mouth(0.20, 0.60, upper_teeth=0.8, lower_teeth=0.5)
_EE = Mouth(0.20, 0.90, upper_teeth=0.9, lower_teeth=0.5)
_IH = Mouth(0.30, 0.50, upper_teeth=0.8, lower_teeth=0.3)
_EH = Mouth(0.50, 0.45, upper_teeth=0.7, lower_teeth=0.2, tongue=0.1)
_AE = Mouth(0.80, 0.30, upper_teeth=0.5, lower_teeth=0.3, tongue=0.1)
_AH = Mouth(1.00, 0, upper_teeth=0.35, lower_teeth=0.2)
_AW = Mouth(0.55, -0.60, upper_teeth=0.1, lower_teeth=0.1)
_O = Mouth(0.75, -0.35, upper_teeth=0.2, lower_teeth=0.1)
_UH = Mouth(0.25, -0.70, upper_teeth=0.1)
_OO = Mouth(0.14, -0.95)
_UP = Mouth(0.60, 0.05, upper_teeth=0.5, lower_teeth=0.2)
_ER = Mouth(0.36, -0.20, upper_teeth=0.5, lower_teeth=0.2)

# espeak-ng's names differ between its English voices; one entry lists all names of a mouth shape.
_NAMES = {
    _LIPS: "p b m",
    _BITE: "f v",
    _DENTAL: "T D",
    _ALVEOLAR: "t d n t# t2 d2 t[",
    _HISS: "s z",
    _HUSH: "S Z tS dZ",
    _LATERAL: "l L @L",
    _BACK: "k g N h x ?",
    _R: "r r- R",
    _W: "w",
    _Y: "j ;",
    _EE: "i: i",
    _IH: "I I# I2",
    _EH: "E e",
    _AE: "a aa",
    _AH: "A: A@",
    _O: "0 O",
    _AW: "O: o: O@ o@ o",
    _UH: "U",
    _OO: "u: u",
    _UP: "V",
    _ER: "3: 3",
    NEUTRAL: "@ @- @2 a#",
}
VISEMES = {name: mouth for mouth, names in _NAMES.items() for name in names.split()}
GLIDES = {  # diphthongs: from one shape to another
    **{
        "eI": (_EH, _IH),
        "aI": (_AH, _IH),
        "aI2": (_AH, _IH),
        "OI": (_AW, _IH),
        "oU": (_UP, _UH),
        "@U": (NEUTRAL, _UH),
        "aU": (_AE, _UH),
    },
    **{"i@": (_IH, NEUTRAL), "i@3": (_IH, NEUTRAL), "e@": (_EH, NEUTRAL), "U@": (_UH, NEUTRAL)},
    **{"aI@": (_AH, NEUTRAL), "aU@": (_AE, NEUTRAL)},
}
_HELD = (_LIPS, _BITE)  # a closure is held, else a frame could fall beside it
_LONG_SECONDS = 0.12
_PAUSE_SECONDS = 0.15
_OPEN_SECONDS = 0.16  # the mouth leaves its rest this long before the first target
_CLOSE_SECONDS = 0.12  # and is back this long after the last


def mouth_track(phonemes: Sequence[Phoneme], num_frames: int, fps: float) -> np.ndarray:
    """The mouth at the middle of every frame: (T, 7) float64, columns as in `Mouth`.

    Each phoneme sets one or two targets in time; between targets the mouth moves along half a cosine wave, so that
    neighbouring sounds colour one another. An unknown phoneme is taken for a neutral vowel.
    """
    targets: dict[float, Mouth] = {}
    for phoneme in phonemes:
        targets.update(_targets(phoneme))
    first_seconds, last_seconds = min(targets, default=0.0), max(targets, default=0.0)
    targets |= {first_seconds - _OPEN_SECONDS: REST, last_seconds + _CLOSE_SECONDS: REST}
    times = np.array(sorted(targets))
    shapes = np.array([targets[time] for time in times])
    frame_seconds = (np.arange(num_frames) + 0.5) / fps
    before = np.clip(np.searchsorted(times, frame_seconds) - 1, 0, len(times) - 2)
    part = np.clip((frame_seconds - times[before]) / (times[before + 1] - times[before]), 0, 1)
    part = (0.5 - 0.5 * np.cos(np.pi * part))[:, None]
    return shapes[before] * (1 - part) + shapes[before + 1] * part


def _targets(phoneme: Phoneme) -> dict[float, Mouth]:
    start, length = phoneme.start_seconds, phoneme.end_seconds - phoneme.start_seconds
    if phoneme.name == "" or phoneme.name.startswith("_"):
        return {start + 0.5 * length: REST} if length > _PAUSE_SECONDS else {}
    if phoneme.name in GLIDES:
        first, second = GLIDES[phoneme.name]
        return {start + 0.30 * length: first, start + 0.85 * length: second}
    mouth = VISEMES.get(phoneme.name, NEUTRAL)
    if mouth in _HELD or length > _LONG_SECONDS:
        return {start + 0.2 * length: mouth, start + 0.8 * length: mouth}
    return {start + 0.5 * length: mouth}
