"""The plan of the corpus: which speaker says which digits in which set."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from msrs.errors import ConfigError
from msrs.seeding import keyed_rng
from msrs.synth.speakers import HELD_OUT, SEEN

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HELD_OUT_SET = "heldout"  # the only set that held-out speakers are in


@dataclass(frozen=True)
class CorpusOptions:
    """What shapes the corpus: the seed, clips a set in the order of the sets, digits a sentence."""

    seed: int = 1
    sizes: dict[str, int] = field(default_factory=lambda: {"train": 310, "dev": 30, "test": 60, HELD_OUT_SET: 80})
    min_digits: int = 3
    max_digits: int = 5


@dataclass(frozen=True)
class ClipPlan:
    """One clip to be made."""

    set_name: str
    utt_id: str
    speaker: str
    text: str

    def media(self, folder: Path) -> Path:
        """Its file."""
        return folder / self.set_name / self.speaker / f"{self.utt_id}.mp4"


def plan_corpus(options: CorpusOptions) -> list[ClipPlan]:
    """All clips in the order in which they are spoken; no sentence comes twice, in whatever sets.

    Raises: ConfigError where there are not enough different sentences.
    """
    _check(options)
    rng = keyed_rng(options.seed, "sentences")
    spoken: set[str] = set()
    plan = []
    for set_name, size in options.sizes.items():
        speakers = HELD_OUT if set_name == HELD_OUT_SET else SEEN
        for index in range(size):
            speaker = speakers[index % len(speakers)].name
            text = _new_sentence(rng, options, spoken)
            plan.append(ClipPlan(set_name, f"{speaker}-{len(plan) + 1:05d}", speaker, text))
    return plan


def _check(options: CorpusOptions) -> None:
    span = f"{options.min_digits} to {options.max_digits} digits"
    if not 1 <= options.min_digits <= options.max_digits:
        raise ConfigError(f"sentences of {span}: expected 1 <= --min-digits <= --max-digits.")
    asked = sum(options.sizes.values())
    most = sum(len(DIGITS) ** length for length in range(options.min_digits, options.max_digits + 1)) // 2
    if asked > most:
        remedy = "lower the numbers of clips or raise --max-digits"
        raise ConfigError(f"{asked} different sentences of {span} are asked for, at most {most} can be had; {remedy}.")


def _new_sentence(rng: np.random.Generator, options: CorpusOptions, spoken: set[str]) -> str:
    while True:
        length = rng.integers(options.min_digits, options.max_digits + 1)
        text = " ".join(rng.choice(DIGITS, length))
        if text not in spoken:
            spoken.add(text)
            return text
