"""Noise at a set level: white, the babble of other speakers, or recordings out of a folder."""

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pydantic
import torch
from torch import Tensor

from msrs.config import Document, build, config
from msrs.data.noise_sources import Babble, NoiseFolder, find_recordings, white
from msrs.files import sha256
from msrs.log import LOGGER

# From the number of samples, the utt_id and a generator to a noise, (S,) float32, which is never all zero
Source = Callable[[int, str, np.random.Generator], np.ndarray]

MOST_DB = 100  # beyond it either of sound and noise is below the steps of 16 bits


def _as_level(value: object) -> object:
    """A number or `clean`, which may also be written as null or an infinite ratio."""
    text = "clean" if value is None else str(value).lower().lstrip("+")
    if text in ("clean", "inf", ".inf"):
        return "clean"
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not abs(level) <= MOST_DB:
        raise ValueError(f"expected a number of decibels from -{MOST_DB} to {MOST_DB}, or clean")
    return level


Level = Annotated[Literal["clean"] | float, pydantic.BeforeValidator(_as_level)]


@config
class NoiseConfig:
    """Which noise is added to sound and how loud: for every utterance, one of the sources and one of the levels."""

    sources: tuple[Literal["white", "babble", "folder"], ...] = ("babble",)
    folder: str | None = None  # for `folder`: recordings in any format and rate; those in subfolders count too
    # Power of the whole utterance over that of the noise, in decibels. 0: as loud as the speech; clean: no noise.
    snr_db: tuple[Level, ...] = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0, "clean")
    # For `babble`: how many utterances of other speakers are summed up, from the first to the second number
    babble_voices: tuple[pydantic.PositiveInt, pydantic.PositiveInt] = (10, 30)

    @pydantic.model_validator(mode="after")
    def _check(self):
        if not self.sources or not self.snr_db:
            raise ValueError("expected at least one source and one level; `noise: null` is no noise")
        if ("folder" in self.sources) != bool(self.folder):
            raise ValueError("a folder of recordings needs both: `folder` among the sources, and `folder: DIR`")
        if self.babble_voices[0] > self.babble_voices[1]:
            raise ValueError("babble_voices begins with the smaller number")
        return self


def fixed_noise(kind: str, snr_db: str) -> NoiseConfig:
    """One source at one level, for a test. Args: kind, white, babble or a folder; snr_db, a number or clean.

    Babble has 20 voices. Raises: ConfigError.
    """
    values: dict[str, object] = {"snr_db": [snr_db], "babble_voices": [20, 20]}
    values |= {"sources": [kind]} if kind in ("white", "babble") else {"sources": ["folder"], "folder": kind}
    return build(NoiseConfig, Document(values, {}, f"--noise {kind} --snr-db {snr_db}"))


def mix(audio: Tensor, noise: np.ndarray, snr_db: float) -> Tensor:
    """The sound with noise, the ratio of their mean squares being `snr_db` decibels; silence stays silence.

    Args: audio (S,) float32; noise (S,), not silent. Returns: (S,) float32.
    """
    # In numpy, whose sums do not depend on the number of threads.
    powers = [float(np.square(part, dtype=np.float64).mean()) for part in (audio.numpy(), noise)]
    gain = (powers[0] / powers[1]) ** 0.5 * 10.0 ** (-snr_db / 20.0)
    return audio + torch.from_numpy((noise * gain).astype(np.float32))


class NoiseMixer:
    """Adds noise to utterances. Args: options; sources, in the order of `options.sources`."""

    def __init__(self, options: NoiseConfig, sources: Sequence[Source]):
        self.options, self.sources = options, sources

    def add(self, audio: Tensor, utt_id: str, rng: np.random.Generator) -> Tensor:
        """The sound with a noise of a level that `rng` draws. Args: audio (S,) float32. Returns: (S,) float32."""
        level = self.options.snr_db[int(rng.integers(len(self.options.snr_db)))]
        source = self.sources[int(rng.integers(len(self.sources)))]
        return audio if level == "clean" else mix(audio, source(len(audio), utt_id, rng), level)


def open_noise(options: NoiseConfig, feats: Path, babble_from: Path | None = None) -> NoiseMixer:
    """Make the sources ready for the utterances of a dump.

    Args: feats, the dump; babble_from, the dump whose utterances make the babble (None: the same one).
    Raises: StageError, DataError, MediaError where a source cannot give what is asked of it.
    """
    makers: dict[str, Callable[[], Source]] = {
        "white": lambda: white,
        "babble": lambda: Babble(babble_from or feats, feats, options.babble_voices),
        "folder": lambda: NoiseFolder(Path(options.folder or "")),
    }
    levels = ", ".join(level if isinstance(level, str) else f"{level:g}" for level in options.snr_db)
    LOGGER.info("%s: noise (%s) at %s dB", feats, ", ".join(options.sources), levels)
    return NoiseMixer(options, [makers[name]() for name in options.sources])


def noise_digest(options: NoiseConfig, feats: Path, babble_from: Path | None = None) -> str:
    """Hash of what the sources are made of, without reading any sound: recordings count by name and size."""
    digest = hashlib.sha256()
    if options.folder:
        folder = Path(options.folder)
        for path in find_recordings(folder):
            digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
    if "babble" in options.sources:
        for path in {feats / "utt2spk", (babble_from or feats) / "utt2spk"}:
            digest.update((sha256(path) if path.is_file() else "none").encode())
    return digest.hexdigest()
