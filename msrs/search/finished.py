"""The finished hypotheses of one utterance, and when there is no point in searching on."""

import math

from msrs.search.hypothesis import Hypothesis

LENGTHS_IN_A_ROW = 3


class Finished:
    """`hypotheses` is what has ended so far. Args: nbest, how many are wanted; end_margin in nats."""

    def __init__(self, nbest: int, end_margin: float):
        self.nbest = nbest
        self.end_margin = end_margin
        self.hypotheses: list[Hypothesis] = []

    def best(self) -> list[Hypothesis]:
        """At most nbest hypotheses, the best first; of equal scores the one with the lower token ids first."""
        return sorted(self.hypotheses, key=lambda one: (-one.score, one.tokens))[: self.nbest]

    def is_done(self, length: int, best_possible: float) -> bool:
        """Whether to stop.

        Args: length, tokens of the hypotheses that ended last; best_possible, a score that no running one can exceed,
        -inf where none runs. True where nothing better can come, or where the best hypothesis of each of the last three
        lengths lies more than the margin below the best of all (Watanabe et al., IEEE JSTSP 2017): then longer
        ones are taken for hopeless.
        """
        if best_possible == -math.inf:
            return True
        best = self.best()
        if len(best) == self.nbest and best[-1].score >= best_possible:
            return True
        return bool(best) and all(
            self._best_of_length(length - back) < best[0].score - self.end_margin for back in range(LENGTHS_IN_A_ROW)
        )

    def _best_of_length(self, length: int) -> float:
        """Best score among hypotheses of so many tokens; inf where none has ended there, which tells nothing."""
        return max((one.score for one in self.hypotheses if len(one.tokens) == length), default=math.inf)
