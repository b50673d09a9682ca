"""Batches under a budget of frames: a pure function of lengths, seed and epoch."""

from collections.abc import Sequence

import numpy as np

from msrs.config import config
from msrs.errors import ConfigError
from msrs.ranges import Count, NotNegative
from msrs.seeding import keyed_rng


@config
class BatchingConfig:
    """How utterances are put together."""

    max_frames: Count = 1600  # padded video frames (1/25 s) in a batch
    max_utterances: Count = 64
    length_jitter: NotNegative = 0.05  # share by which lengths are shaken before sorting, so that neighbours change


def plan_batches(lengths: Sequence[int], options: BatchingConfig, seed: int, epoch: int) -> list[list[int]]:
    """Indices of every utterance once, in batches of similar length, drawn anew for each epoch.

    Args: lengths in frames, as the epoch plays them; epoch from 0. Returns: batches in the order of training.
    Raises: ConfigError where an utterance alone is over the budget.
    """
    lengths_frames = np.asarray(lengths, dtype=np.int64)
    check_budget(int(lengths_frames.max(initial=0)), options)
    rng = keyed_rng(seed, "batches", epoch)
    shaken = lengths_frames * (1.0 + options.length_jitter * rng.random(len(lengths_frames)))
    # The random second key matters where all lengths are equal (GRID): it shuffles the corpus.
    order = np.lexsort((rng.random(len(lengths_frames)), shaken if options.length_jitter else lengths_frames))
    batches = _fill(order, lengths_frames, options)
    return [batches[i] for i in rng.permutation(len(batches))]


def check_budget(most_frames: int, options: BatchingConfig, utt_id: str | None = None) -> None:
    """Raises: ConfigError, with the name where it is given, where an utterance of so many frames is over the budget."""
    if most_frames > options.max_frames:
        name = f", {utt_id}," if utt_id else ""
        raise ConfigError(
            f"batching.max_frames is {options.max_frames}, but the longest utterance{name} has up to {most_frames} frames "
            f"(as slow as augment.speed makes it). Make it {most_frames} or more, or cut or leave out what is so long."
        )


def plan_in_order(lengths: Sequence[int], options: BatchingConfig) -> list[list[int]]:
    """Batches by length for evaluation, the same for every epoch.

    Equal lengths are shuffled: the vision gap exchanges neighbours' videos, and names, which may spell the sentence (GRID),
    would make neighbours of those who say almost the same.
    """
    lengths_frames = np.asarray(lengths, dtype=np.int64)
    order = np.lexsort((keyed_rng("in order").random(len(lengths_frames)), lengths_frames))
    return _fill(order, lengths_frames, options)


def padding_share(batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """Share of padded frames among all frames of the batches.

    >>> padding_share([[0, 1]], [2, 4])
    0.25
    """
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    return 1.0 - sum(lengths[i] for batch in batches for i in batch) / padded if padded else 0.0


def _fill(order: np.ndarray, lengths: np.ndarray, options: BatchingConfig) -> list[list[int]]:
    batches: list[list[int]] = []
    longest = 0
    for index in order.tolist():
        longest = max(longest, int(lengths[index]))
        full = batches and (
            longest * (len(batches[-1]) + 1) > options.max_frames or len(batches[-1]) >= options.max_utterances
        )
        if full or not batches:
            batches.append([])
            longest = int(lengths[index])
        batches[-1].append(index)
    return batches
