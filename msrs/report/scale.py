"""Axes: the range of an axis, where its ticks stand and what they say."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Maps values between `low` and `high` to 0 ... 1, evenly or by their logarithm (both ends are then positive)."""

    low: float
    high: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Position of `value`.

        >>> Scale(0, 10)(5), round(Scale(1, 100, is_log=True)(10), 6)
        (0.5, 0.5)
        """
        low, high, value = (math.log(max(v, 1e-300)) if self.is_log else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values in the range, about `most` of them; a narrow range is ticked evenly on a logarithmic scale, too.

        >>> Scale(0, 98).ticks()
        [0.0, 20.0, 40.0, 60.0, 80.0]
        >>> Scale(0.9, 150, is_log=True).ticks()
        [1.0, 3.0, 10.0, 30.0, 100.0]
        """
        if self.is_log and self.high > 10 * self.low:
            return self._decades(most)
        step = _round_step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{k * step:.12g}") for k in range(first, last + 1)]

    def _decades(self, most: int) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            ticks = [float(f"{f}e{p}") for p in powers for f in factors if self.low <= float(f"{f}e{p}") <= self.high]
            if len(ticks) <= most:
                return ticks
        return ticks[:: math.ceil(len(ticks) / most)]


def fit_scale(values: Iterable[float], is_log: bool = False, from_zero: bool = False) -> Scale:
    """A scale that shows all values (at least one, finite) with a little room; never of zero height.

    >>> fit_scale([2, 10], from_zero=True)
    Scale(low=0.0, high=10.4, is_log=False)
    """
    values = list(values)
    low, high = float(min(values)), float(max(values))
    if is_log and low > 0:
        room = max((high / low) ** 0.05, 1.05)
        return Scale(low / room, high * room, is_log=True)
    if from_zero and low >= 0:
        return Scale(0.0, high * 1.04 or 1.0)
    room = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
    return Scale(low - room, high + room)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5 or 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))


def tick_text(value: float) -> str:
    """A tick's number, short.

    >>> [tick_text(v) for v in (0.0, 0.25, 3.0, 4000.0, 25000.0, 3e-4, 2.5e6)]
    ['0', '0.25', '3', '4000', '25k', '3e-4', '2.5M']
    """
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:g}k"
    if 0 < abs(value) < 1e-2:
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}"
