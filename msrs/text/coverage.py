"""How much of some texts a tokenizer can write."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from msrs.text.tokenizer import SPACE, Tokenizer


@dataclass(frozen=True)
class Coverage:
    """Units in all, and the unknown ones, as they were written, with their counts."""

    num_units: int
    unknown: Counter[str]

    @property
    def unknown_share(self) -> float:
        """Share of unknown units, 0 ... 1; 0 where there are no units."""
        return self.unknown.total() / max(1, self.num_units)


def measure_coverage(tokenizer: Tokenizer, texts: Iterable[str]) -> Coverage:
    """Count the units of `texts` and those among them that the tokenizer does not know."""
    units = Counter(unit for text in texts for unit in tokenizer.split(text))
    known = set(tokenizer.units[2:-1])
    unknown = Counter({unit.replace(SPACE, ""): n for unit, n in sorted(units.items()) if unit not in known})
    return Coverage(units.total(), unknown)
