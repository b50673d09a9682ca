"""What every scorer of the beam search offers: scores of a (B, K) grid of hypotheses, one more token at a time."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor


class Scorer(ABC):
    """One opinion about the next token, in nats, of all hypotheses of all utterances at once.

    B utterances with K hypotheses each, <sos> understood; token 0 is <blank>, token V - 1 is <sos/eos>. A state belongs
    to the search, which hands it back; no method may change a state in place. What an utterance gets must not depend
    on its neighbours or on padding.
    """

    is_partial: ClassVar[bool] = False  # dear: asked about the candidates that the others prefer, not about all tokens
    ranks_tokens: ClassVar[bool] = True  # whether its scores tell tokens apart, so that it can choose candidates
    largest_step: ClassVar[float] = 0.0  # no token ever scores more; lets the search stop without missing anything

    @abstractmethod
    def start(self, memory: Tensor, memory_lengths: Tensor) -> Any:
        """The state of B empty hypotheses, K = 1. Args: memory (B, T, D), memory_lengths (B,) frames, at least 1."""

    @abstractmethod
    def score(self, state: Any, candidates: Tensor | None) -> tuple[Tensor, Any]:
        """Scores of one more token.

        Args: candidates (B, K, S) token ids, or None for all of the vocabulary; only a partial scorer gets candidates.
        Returns: (B, K, S) or (B, K, V) in nats, -inf for the impossible; the state for `advance`.
        """

    @abstractmethod
    def advance(self, state: Any, parents: Tensor, tokens: Tensor) -> Any:
        """Hypothesis k becomes hypothesis parents[b, k] followed by tokens[b, k]; both (B, K') int64."""

    @abstractmethod
    def select(self, state: Any, rows: Tensor) -> Any:
        """Keep some utterances. Args: rows (B',) int64."""


def take_slots(values: Tensor, parents: Tensor) -> Tensor:
    """Rows of a grid by hypothesis. Args: values (B, K, ...), parents (B, K') int64. Returns: (B, K', ...)."""
    index = parents.reshape(*parents.shape, *(1,) * (values.dim() - 2)).expand(*parents.shape, *values.shape[2:])
    return values.gather(1, index)
