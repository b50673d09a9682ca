"""The attention decoder as a scorer."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from msrs.config import config
from msrs.errors import ConfigError
from msrs.search.scorers.base import Scorer


@dataclass(frozen=True)
class AttentionState:
    """Fields: decoder, the decoder's own state; tokens (B, K), what it has to read next."""

    decoder: Any
    tokens: Tensor


class AttentionScorer(Scorer):
    """log P(token | tokens before, memory) of the model's decoder. Raises: ConfigError where the model has none."""

    @config
    class Config:
        """The attention decoder's part in the search."""

        type: Literal["attention"] = "attention"
        weight: float = 0.7

    def __init__(self, config: Config, model: Any):
        if model.decoder is None:
            raise ConfigError("the model has no attention decoder to search with; set ctc_weight to 1.")
        self.config = config
        self.decoder = model.decoder

    def start(self, memory: Tensor, memory_lengths: Tensor) -> AttentionState:
        """See Scorer."""
        sos = torch.full((len(memory), 1), self.decoder.vocabulary_size - 1, device=memory.device)
        return AttentionState(self.decoder.prepare(memory, memory_lengths), sos)

    def score(self, state: AttentionState, candidates: Tensor | None = None) -> tuple[Tensor, AttentionState]:
        """See Scorer."""
        log_probs, decoder_state = self.decoder.step(state.tokens, state.decoder)
        return log_probs.double(), replace(state, decoder=decoder_state)

    def advance(self, state: AttentionState, parents: Tensor, tokens: Tensor) -> AttentionState:
        """See Scorer."""
        return AttentionState(self.decoder.reorder(state.decoder, parents), tokens)

    def select(self, state: AttentionState, rows: Tensor) -> AttentionState:
        """See Scorer."""
        return AttentionState(self.decoder.select(state.decoder, rows), state.tokens[rows])
