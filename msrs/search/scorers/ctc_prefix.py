"""CTC prefix scores (Watanabe et al., IEEE JSTSP 2017), without a loop over frames.

With p_t(c) the probability of token c at frame t, a prefix h has n_t(h) and b_t(h): the probability of all paths over
frames 1..t that read h and end in its last token, or in blank. One more token c gives

    n_t(hc) = p_t(c) [n_{t-1}(hc) + entry_{t-1}]      entry = n(h) + b(h), or b(h) alone where c repeats h's last token
    b_t(hc) = p_t(blank) [b_{t-1}(hc) + n_{t-1}(hc)]
    P(h c ...) = sum over t of entry_{t-1} p_t(c)

Both recursions are linear, so cumulative sums solve them: with C_t = sum of log p_s(c) over s <= t,
log n_t(hc) = C_t + log of the sum over s <= t of exp(log entry_{s-1} - C_{s-1}), a `logcumsumexp`. The prefix's
probability needs the parent's n and b alone, so candidates cost one sum, and the recursions run for survivors only.
All is float64 in the log domain; a frame sees only frames before it, so padding has no way in.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from msrs.config import config
from msrs.errors import ConfigError
from msrs.lengths import length_mask
from msrs.nets.ctc import BLANK_ID
from msrs.search.scorers.base import Scorer, take_slots


class CtcFrames:
    """The frames of B utterances: log_probs (B, V, T) float32, zero on padding; lengths (B,); mask (B, 1, T) bool."""

    def __init__(self, log_probs: Tensor, lengths: Tensor):
        self.mask = length_mask(lengths, log_probs.shape[2])[:, None]
        self.log_probs = log_probs.masked_fill(~self.mask, 0.0).contiguous()
        self.lengths = lengths

    @cached_property
    def probs(self) -> Tensor:
        """(B, V, T) float64; made only where all tokens are scored."""
        return self.log_probs.double().exp()

    @cached_property
    def blank_sums(self) -> Tensor:
        """(B, 1, T + 1) float64, log-probability of blank in all of the first t frames."""
        return running_sum(self.log_probs[:, None, BLANK_ID].double())

    def of(self, tokens: Tensor) -> Tensor:
        """Log-probabilities of some tokens. Args: tokens (B, K, ...) ids. Returns: (B, K, ..., T) float64."""
        utterances = torch.arange(len(tokens), device=tokens.device).view(-1, *(1,) * (tokens.dim() - 1))
        return self.log_probs[utterances, tokens].double()


@dataclass(frozen=True)
class CtcState:
    """B x K prefixes: log n_t and log b_t in by_token and by_blank (B, K, T + 1), t = 0 first; prefix (B, K), log P(h ...);
    last (B, K), the last token, -1 before the first; float64."""

    frames: CtcFrames
    by_token: Tensor
    by_blank: Tensor
    prefix: Tensor
    last: Tensor

    @cached_property
    def total(self) -> Tensor:
        """(B, K, T + 1), log [n_t + b_t]."""
        return torch.logaddexp(self.by_token, self.by_blank)


def running_sum(log_probs: Tensor) -> Tensor:
    """Sums of the first 0, 1, ..., T values. Args: (..., T). Returns: (..., T + 1)."""
    return F.pad(log_probs.cumsum(-1), (1, 0))


def solve(entry: Tensor, sums: Tensor) -> Tensor:
    """x_t = p_t (x_{t-1} + entry_{t-1}), x_0 = 0, in logs. Args: entry (B, K, T + 1), sums, the running sum of log p."""
    inner = (entry - sums)[..., :-1].logcumsumexp(-1)
    return F.pad(sums[..., 1:] + inner, (1, 0), value=-math.inf)


class CtcPrefixScorer(Scorer):
    """How much a token raises the log-probability of the prefix; <sos/eos>: of the sentence ending here.

    Raises: ConfigError where the model has no CTC head.
    """

    is_partial = True

    @config
    class Config:
        """The CTC head's part in the search."""

        type: Literal["ctc_prefix"] = "ctc_prefix"
        weight: float = 0.3

    def __init__(self, config: Config, model: Any):
        if model.ctc is None:
            raise ConfigError("the model has no CTC head to search with; set ctc_weight to 0.")
        self.config = config
        self.head = model.ctc

    def start(self, memory: Tensor, memory_lengths: Tensor) -> CtcState:
        """See Scorer."""
        frames = CtcFrames(self.head.log_probs(memory).transpose(1, 2), memory_lengths)
        prefix = frames.blank_sums.new_zeros(len(memory), 1)
        by_token = torch.full_like(frames.blank_sums, -math.inf)
        return CtcState(frames, by_token, frames.blank_sums, prefix, torch.full_like(prefix, -1, dtype=torch.int64))

    def score(self, state: CtcState, candidates: Tensor | None = None) -> tuple[Tensor, CtcState]:
        """See Scorer."""
        last_token = state.frames.log_probs.shape[1] - 1
        joint = self._entry(state, state.total)
        repeated = self._entry(state, state.by_blank)
        if candidates is None:
            peak = joint.amax(-1, keepdim=True).clamp(min=-1e300)
            scores = peak + ((joint - peak).exp() @ state.frames.probs.transpose(1, 2)).log()
            last = state.last.clamp(min=0)[..., None]  # before the first token: blank's column, overwritten below
            scores.scatter_(-1, last, (repeated + state.frames.of(last[..., 0])).logsumexp(-1, keepdim=True))
            scores[..., BLANK_ID] = -math.inf
            scores[..., last_token] = self._end(state)
        else:
            is_repeat = (candidates == state.last[..., None])[..., None]
            entry = torch.where(is_repeat, repeated[:, :, None], joint[:, :, None])
            scores = (entry + state.frames.of(candidates)).logsumexp(-1)
            scores = scores.masked_fill(candidates == BLANK_ID, -math.inf)
            scores = torch.where(candidates == last_token, self._end(state)[..., None], scores)
        return scores - state.prefix[..., None], state

    def advance(self, state: CtcState, parents: Tensor, tokens: Tensor) -> CtcState:
        """See Scorer."""
        by_blank, total = take_slots(state.by_blank, parents), take_slots(state.total, parents)
        is_repeat = (tokens == state.last.gather(1, parents))[..., None]
        entry = torch.where(is_repeat, by_blank, total)
        log_probs = state.frames.of(tokens)
        by_token = solve(entry, running_sum(log_probs))
        prefix = (self._entry(state, entry) + log_probs).logsumexp(-1)
        return replace(
            state, by_token=by_token, by_blank=solve(by_token, state.frames.blank_sums), prefix=prefix, last=tokens
        )

    def select(self, state: CtcState, rows: Tensor) -> CtcState:
        """See Scorer."""
        frames = CtcFrames(state.frames.log_probs[rows], state.frames.lengths[rows])
        return CtcState(frames, *(x[rows] for x in (state.by_token, state.by_blank, state.prefix, state.last)))

    @staticmethod
    def _entry(state: CtcState, values: Tensor) -> Tensor:
        """Values at t - 1 for the frames t = 1..T, -inf on padded frames. Args: (B, K, T + 1). Returns: (B, K, T)."""
        return values[..., :-1].masked_fill(~state.frames.mask, -math.inf)

    @staticmethod
    def _end(state: CtcState) -> Tensor:
        """(B, K), log-probability that the sentence is the prefix itself."""
        last_frame = state.frames.lengths[:, None, None].expand(*state.prefix.shape, 1)
        return state.total.gather(-1, last_frame)[..., 0]
