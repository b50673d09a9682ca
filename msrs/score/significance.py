"""How sure a rate or a difference of rates is, given that other utterances could have been in the set."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NUM_DRAWS = 1000
LEVEL = 0.95
_CHUNK = 1 << 22  # indices drawn at a time; bounds the memory at 32 MB


def bootstrap_interval(
    errors: Sequence[int], units: Sequence[int], seed: int = 0, num_draws: int = NUM_DRAWS
) -> tuple[float, float] | None:
    """Interval that holds an error rate with 95 % confidence: bootstrap over utterances, percentiles.

    Args: errors and units by utterance. Returns: (low, high) in per cent; None where there are no units.
    Source: M. Bisani and H. Ney, Bootstrap estimates for confidence intervals in ASR performance evaluation, ICASSP
    2004. It is blind to errors that did not occur: without a single one the interval has no width.

    >>> bootstrap_interval([0, 0, 0], [4, 5, 6])
    (0.0, 0.0)
    """
    if not sum(units):
        return None
    sums = _resample(np.array([errors, units]), seed, num_draws)
    # A draw of empty references alone has no rate; it cannot come up where every reference has words.
    rates = 100 * sums[0][sums[1] > 0] / sums[1][sums[1] > 0]
    return _percentiles(rates)


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same utterances; rates and differences in per cent of the reference's words, B minus A."""

    num_utterances: int
    rate_a: float
    rate_b: float
    interval: tuple[float, float]  # of the difference, 95 %
    share_better: float  # share of bootstrap draws in which B has fewer errors, ties counted half
    z: float  # matched-pairs statistic; negative where B is better
    p: float  # two-sided probability of so large a |z| if both were equal

    @property
    def difference(self) -> float:
        """Rate of B minus rate of A."""
        return self.rate_b - self.rate_a


def compare_errors(
    errors_a: Sequence[int], errors_b: Sequence[int], units: Sequence[int], seed: int = 0, num_draws: int = NUM_DRAWS
) -> Comparison:
    """Paired comparison: bootstrap of the difference over utterances, and the matched-pairs test on its mean.

    Args: errors by utterance of both systems and the units of their common references (some must not be empty).
    Source: L. Gillick and S. Cox, Some statistical issues in the comparison of speech recognition algorithms, ICASSP
    1989 (an utterance is a segment here); Bisani and Ney as above.
    """
    data = np.array([errors_a, errors_b, units], dtype=np.int64)
    a, b, n = _resample(data, seed, num_draws)
    a, b, n = a[n > 0], b[n > 0], n[n > 0]
    total_a, total_b, total = data.sum(1)
    z = _matched_pairs(data[1] - data[0])
    return Comparison(
        num_utterances=data.shape[1],
        rate_a=float(100 * total_a / total),
        rate_b=float(100 * total_b / total),
        interval=_percentiles(100 * (b - a) / n),
        share_better=float((b < a).mean() + (b == a).mean() / 2),
        z=z,
        p=math.erfc(abs(z) / math.sqrt(2)),
    )


def _matched_pairs(differences: np.ndarray) -> float:
    """Mean over its standard error; 0 for equal systems, infinite for a constant difference.

    >>> round(_matched_pairs(np.array([1, 0, 1, 2, 1])), 4)
    3.1623
    """
    mean = differences.mean()
    if not mean:
        return 0.0
    deviation = differences.std(ddof=1) if len(differences) > 1 else 0.0
    return float(mean / (deviation / math.sqrt(len(differences)))) if deviation else math.copysign(math.inf, mean)


def _resample(data: np.ndarray, seed: int, num_draws: int) -> np.ndarray:
    """Sums over utterances drawn with replacement. Args: data (K, N). Returns: (K, num_draws)."""
    rng = np.random.default_rng(seed)
    size = data.shape[1]
    step = max(1, _CHUNK // size)
    parts = [
        data[:, rng.integers(0, size, (min(step, num_draws - start), size))].sum(-1)
        for start in range(0, num_draws, step)
    ]
    return np.concatenate(parts, axis=1)


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)
