"""What a search returns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """A finished sentence.

    Fields: tokens, ids without <sos/eos>; score, the weighted sum in nats by which hypotheses are ranked; scores, each
    scorer's own sum, unweighted, by the scorer's name.
    """

    tokens: tuple[int, ...]
    score: float
    scores: dict[str, float]
