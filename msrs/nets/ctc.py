"""Connectionist temporal classification (Graves et al., ICML 2006): head, loss and best path; blank is token 0."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msrs.config import config
from msrs.lengths import length_mask
from msrs.ranges import ShareBelowOne

BLANK_ID = 0


class CTCHead(nn.Module):
    """Token scores of every frame. Args: vocabulary_size V, memory_size D."""

    @config
    class Config:
        """Options of the CTC head."""

        type: Literal["ctc"] = "ctc"
        dropout: ShareBelowOne = 0.1  # on the encoder's output

    def __init__(self, config: Config, vocabulary_size: int, memory_size: int):
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(memory_size, vocabulary_size)

    def forward(self, memory: Tensor) -> Tensor:
        """Args: memory (B, T, D). Returns: logits (B, T, V)."""
        return self.output(self.dropout(memory))

    def log_probs(self, memory: Tensor) -> Tensor:
        """Args: memory (B, T, D). Returns: log-probabilities (B, T, V), float32 whatever the memory's precision."""
        return self(memory).float().log_softmax(-1)

    def loss(self, memory: Tensor, memory_lengths: Tensor, tokens: Tensor, token_lengths: Tensor) -> Tensor:
        """Minus the log-probability of each transcript, in nats, summed over its frames.

        Args: memory (B, T, D); memory_lengths (B,) frames; tokens (B, U) int64 without blanks, any padding;
        token_lengths (B,). Returns: (B,) float32; an utterance with fewer frames than `frames_needed` counts as
        zero and gives no gradient.
        """
        log_probs = self.log_probs(memory).transpose(0, 1)
        return F.ctc_loss(
            log_probs, tokens, memory_lengths, token_lengths, blank=BLANK_ID, reduction="none", zero_infinity=True
        )


def frames_needed(tokens: Tensor, token_lengths: Tensor) -> Tensor:
    """Fewest frames in which CTC can write each sequence: a frame a token, one more between two equal tokens.

    Args: tokens (B, U) int64, any padding; token_lengths (B,). Returns: (B,) int64.

    >>> frames_needed(torch.tensor([[5, 5, 7, 7], [5, 6, 0, 0]]), torch.tensor([4, 2])).tolist()
    [6, 2]
    """
    repeats = (tokens[:, 1:] == tokens[:, :-1]) & length_mask(token_lengths, tokens.shape[1])[:, 1:]
    return token_lengths + repeats.sum(-1)


def best_path(log_probs: Tensor, lengths: Tensor) -> list[list[int]]:
    """The likeliest token of every frame, repeats joined, blanks dropped.

    Args: log_probs (B, T, V), lengths (B,) frames. Returns: B lists of token ids.

    >>> best_path(F.one_hot(torch.tensor([[1, 1, 0, 1, 2, 2]])), torch.tensor([5]))
    [[1, 1, 2]]
    """
    tokens = log_probs.argmax(-1)
    is_new = torch.ones_like(tokens, dtype=torch.bool)
    is_new[:, 1:] = tokens[:, 1:] != tokens[:, :-1]
    is_kept = is_new & (tokens != BLANK_ID) & length_mask(lengths, tokens.shape[1])
    return [row[kept].tolist() for row, kept in zip(tokens.cpu(), is_kept.cpu(), strict=True)]
