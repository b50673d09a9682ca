"""The training objective: a weighted sum of CTC and attention losses, both in nats a token."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor

from msrs.lengths import length_mask


@dataclasses.dataclass(frozen=True)
class Counts:
    """How much there is in a batch."""

    num_tokens: int
    num_utterances: int
    num_frames: int  # of the encoder's output
    has_video: bool  # whether any of it is not zero, as where training leaves it out
    has_audio: bool


@dataclasses.dataclass
class Losses:
    """Of one batch, or a part's share in them; `total` carries the gradient, the rest is for reading."""

    total: Tensor  # (), nats a token
    ctc: Tensor  # (), nats a token
    attention: Tensor | None  # (), nats a token, smoothed
    accuracy: Tensor | None  # (), share of next tokens that the decoder gets right
    blank_share: Tensor  # (), share of frames whose best CTC token is blank
    num_tokens: int


def decoder_tokens(tokens: Tensor, token_lengths: Tensor, sos_eos_id: int) -> tuple[Tensor, Tensor]:
    """What the decoder reads and what it has to say next.

    Args: tokens (B, U), token_lengths (B,). Returns: inputs and targets, (B, U + 1) each; targets are -1 on padding.
    """
    inputs = F.pad(tokens, (1, 0), value=sos_eos_id)
    targets = F.pad(tokens, (0, 1))
    positions = torch.arange(targets.shape[1], device=tokens.device)[None]
    targets = targets.masked_fill(positions == token_lengths[:, None], sos_eos_id)
    return inputs, targets.masked_fill(positions > token_lengths[:, None], -1)


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Kullback-Leibler divergence from the smoothed targets, and the share of right answers.

    The smoothed target gives `smoothing` / (V - 1) to every other token, as ESPnet and Auto-AVSR do.
    Args: logits (B, U, V), targets (B, U) with -1 on padding. Returns: () nats a token, () share.
    """
    valid = targets >= 0
    log_probs = logits[valid].float().log_softmax(-1)
    wanted = targets[valid]
    right = log_probs.gather(1, wanted[:, None])[:, 0]
    other = smoothing / (log_probs.shape[1] - 1)
    # Written as sums, so that no (tokens, V) target is built.
    cross_entropy = -(1.0 - smoothing - other) * right - other * log_probs.sum(1)
    return cross_entropy.mean() - _entropy(smoothing, log_probs.shape[1]), (
        log_probs.argmax(1) == wanted
    ).float().mean()


def _entropy(smoothing: float, vocabulary_size: int) -> float:
    if not smoothing:
        return 0.0
    shares = torch.tensor([1.0 - smoothing, smoothing / (vocabulary_size - 1)], dtype=torch.float64)
    counts = torch.tensor([1.0, vocabulary_size - 1.0], dtype=torch.float64)
    return float(-(counts * shares * shares.log()).sum())


def blank_share(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Share of valid frames whose best token is blank (id 0). Args: log_probs (B, T, V), lengths (B,). Returns: ()."""
    mask = length_mask(lengths, log_probs.shape[1])
    return (log_probs.argmax(-1)[mask] == 0).float().mean()
