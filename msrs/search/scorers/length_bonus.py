"""A constant for every token, against the liking of joint scores for short sentences."""

from typing import Any, Literal

import torch
from torch import Tensor

from msrs.config import config
from msrs.search.scorers.base import Scorer


class LengthBonus(Scorer):
    """One for every token but <sos/eos>; a positive weight favours longer sentences."""

    ranks_tokens = False
    largest_step = 1.0

    @config
    class Config:
        """The length's part in the search."""

        type: Literal["length_bonus"] = "length_bonus"
        weight: float = 0.0

    def __init__(self, config: Config, model: Any):
        self.config = config
        self.vocabulary_size = model.vocabulary_size

    def start(self, memory: Tensor, memory_lengths: Tensor) -> Tensor:
        """See Scorer; the state is the row of scores itself, repeated over the grid."""
        row = torch.ones(self.vocabulary_size, dtype=torch.float64, device=memory.device)
        row[-1] = 0.0
        return row.expand(len(memory), 1, -1)

    def score(self, state: Tensor, candidates: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See Scorer."""
        return state, state

    def advance(self, state: Tensor, parents: Tensor, tokens: Tensor) -> Tensor:
        """See Scorer."""
        return state[:, :1].expand(*parents.shape, -1)

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        """See Scorer."""
        return state[: len(rows)]
