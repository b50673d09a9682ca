"""Beam search on a grid of B utterances times K hypotheses, each utterance with its own end.

The sum of the scorers' weighted scores ranks hypotheses (joint CTC/attention: Watanabe et al., IEEE JSTSP 2017). At
each step an utterance's K best continuations survive; those that end with <sos/eos> are copied out. A finished
utterance leaves the grid. All that an utterance meets is its own, so its result does not depend on the batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from msrs.errors import TrainingError
from msrs.nets.ctc import BLANK_ID
from msrs.search.finished import Finished
from msrs.search.hypothesis import Hypothesis
from msrs.search.options import SearchConfig, build_scorers
from msrs.search.scorers.base import Scorer, take_slots
from msrs.search.top import top_indices


@dataclass
class _Grid:
    """The running hypotheses: utterances (B,) row numbers in the batch; tokens (B, K, U); totals (B, K) float64, -inf in
    an empty slot; parts (B, K, scorers), unweighted sums; longest (B,) tokens; states, one a scorer."""

    utterances: Tensor
    tokens: Tensor
    totals: Tensor
    parts: Tensor
    longest: Tensor
    states: list[Any]


class BeamSearch:
    """Search with given scorers. Args: vocabulary_size V, whose last token is <sos/eos>."""

    def __init__(self, options: SearchConfig, scorers: Sequence[Scorer], vocabulary_size: int):
        self.options = options
        self.scorers = list(scorers)
        self.weights = [scorer.config.weight for scorer in self.scorers]
        self.eos_id = vocabulary_size - 1
        self.names = [scorer.config.type for scorer in self.scorers]
        has_ranking = any(scorer.ranks_tokens and not scorer.is_partial for scorer in self.scorers)
        self.num_candidates = int(options.pre_beam_ratio * options.beam_size) if has_ranking else vocabulary_size
        self.largest_step = sum(w * scorer.largest_step for w, scorer in zip(self.weights, self.scorers, strict=True))

    @classmethod
    def for_model(cls, options: SearchConfig, model: Any) -> "BeamSearch":
        """Search as the options say with a model's decoder and CTC head. Raises: ConfigError, see `build_scorers`."""
        return cls(options, build_scorers(options, model), model.vocabulary_size)

    @torch.inference_mode()
    def __call__(self, memory: Tensor, memory_lengths: Tensor) -> list[list[Hypothesis]]:
        """Hypotheses of each utterance, the best first, at most `nbest`.

        Args: memory (B, T, D), any values beyond a length; memory_lengths (B,) frames, at least 1.
        Raises: TrainingError where the model's scores are not numbers.
        """
        finished = [Finished(self.options.nbest, self.options.end_margin) for _ in range(len(memory))]
        grid = self._start(memory, memory_lengths)
        while len(grid.utterances):
            grid = self._prune(self._step(grid, finished), finished)
        if not all(collected.hypotheses for collected in finished):
            raise TrainingError("the model's scores are not numbers: training diverged or the checkpoint is damaged.")
        return [collected.best() for collected in finished]

    def _start(self, memory: Tensor, memory_lengths: Tensor) -> _Grid:
        batch, device = len(memory), memory.device
        ratio = self.options.max_length_ratio
        longest = memory_lengths if ratio == 0 else (ratio * memory_lengths).long().clamp(min=1)
        if ratio < 0:
            longest = torch.full_like(memory_lengths, int(-ratio))
        return _Grid(
            utterances=torch.arange(batch, device=device),
            tokens=torch.zeros(batch, 1, 0, dtype=torch.int64, device=device),
            totals=torch.zeros(batch, 1, dtype=torch.float64, device=device),
            parts=torch.zeros(batch, 1, len(self.scorers), dtype=torch.float64, device=device),
            longest=longest,
            states=[scorer.start(memory, memory_lengths) for scorer in self.scorers],
        )

    def _step(self, grid: _Grid, finished: list[Finished]) -> _Grid:
        """Every utterance's K best continuations; those that end are copied to `finished` and leave an empty slot."""
        tokens, scores, states = self._score(grid)
        totals = grid.totals[..., None] + sum(w * part for w, part in zip(self.weights, scores, strict=True))
        is_allowed = (grid.totals > -math.inf)[..., None] & (tokens != BLANK_ID)
        is_allowed &= (tokens == self.eos_id) | (grid.tokens.shape[2] < grid.longest)[:, None, None]
        totals = totals.masked_fill(~is_allowed | totals.isnan(), -math.inf).flatten(1)
        best = top_indices(totals, self.options.beam_size)
        parents = best // tokens.shape[2]
        added = torch.stack([part.flatten(1).gather(1, best) for part in scores], -1)
        chosen = tokens.flatten(1).gather(1, best)
        survivors = _Grid(
            utterances=grid.utterances,
            tokens=torch.cat([take_slots(grid.tokens, parents), chosen[..., None]], -1),
            totals=totals.gather(1, best),
            parts=take_slots(grid.parts, parents) + added,
            longest=grid.longest,
            states=[scorer.advance(s, parents, chosen) for scorer, s in zip(self.scorers, states, strict=True)],
        )
        self._copy_out(survivors, finished)
        return survivors

    def _score(self, grid: _Grid) -> tuple[Tensor, list[Tensor], list[Any]]:
        """Returns: tokens (B, K, S), ids in ascending order; their scores by each scorer, (B, K, S); the states."""
        pairs = list(zip(self.scorers, grid.states, strict=True))
        results = {i: s.score(state, None) for i, (s, state) in enumerate(pairs) if not s.is_partial}
        candidates = None
        if len(results) < len(pairs) and self.num_candidates < self.eos_id - 1:
            candidates = self._candidates(sum(self.weights[i] * score for i, (score, _) in results.items()))
            results = {i: (score.gather(2, candidates), state) for i, (score, state) in results.items()}
        for i, (scorer, state) in enumerate(pairs):
            if scorer.is_partial:
                results[i] = scorer.score(state, candidates)
        ordered = [results[i] for i in range(len(pairs))]
        if candidates is None:
            candidates = torch.arange(self.eos_id + 1, device=grid.totals.device).expand_as(ordered[0][0])
        return candidates, [score for score, _ in ordered], [state for _, state in ordered]

    def _candidates(self, ranking: Tensor) -> Tensor:
        """The tokens that the cheap scorers like best, and <sos/eos>. Args: (B, K, V). Returns: (B, K, S + 1), ascending."""
        ranking = ranking.nan_to_num(nan=-math.inf, neginf=-math.inf)
        ranking[..., [BLANK_ID, self.eos_id]] = -math.inf
        best = top_indices(ranking, self.num_candidates).sort(-1).values
        return F.pad(best, (0, 1), value=self.eos_id)

    def _copy_out(self, grid: _Grid, finished: list[Finished]) -> None:
        """Move ended hypotheses to the lists of their utterances; their slots become empty."""
        has_ended = (grid.tokens[..., -1] == self.eos_id) & (grid.totals > -math.inf)
        rows = grid.utterances[:, None].expand_as(has_ended)[has_ended].tolist()
        ended = (
            grid.tokens[has_ended][:, :-1].tolist(),
            grid.totals[has_ended].tolist(),
            grid.parts[has_ended].tolist(),
        )
        for row, tokens, total, parts in zip(rows, *ended, strict=True):
            scores = dict(zip(self.names, parts, strict=True))
            finished[row].hypotheses.append(Hypothesis(tuple(tokens), total, scores))
        grid.totals.masked_fill_(has_ended, -math.inf)

    def _prune(self, grid: _Grid, finished: list[Finished]) -> _Grid:
        """The grid without the utterances that are done."""
        length = grid.tokens.shape[2] - 1
        steps_left = (grid.longest - length - 1).clamp(min=0)
        possible = grid.totals.amax(-1) + max(0.0, self.largest_step) * steps_left
        pairs = zip(grid.utterances.tolist(), possible.tolist(), strict=True)
        keep = [i for i, (row, best) in enumerate(pairs) if not finished[row].is_done(length, best)]
        if len(keep) == len(grid.utterances):
            return grid
        rows = torch.tensor(keep, dtype=torch.int64, device=grid.totals.device)
        return _Grid(
            *(x[rows] for x in (grid.utterances, grid.tokens, grid.totals, grid.parts, grid.longest)),
            states=[scorer.select(state, rows) for scorer, state in zip(self.scorers, grid.states, strict=True)],
        )
