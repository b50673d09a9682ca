"""All utterances of a dump to text, in batches; stopped and started again it goes on where it was."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
import yaml

from msrs.config import to_yaml
from msrs.data.batching import BatchingConfig, plan_in_order
from msrs.data.dataset import Batch, UtteranceDataset, collate
from msrs.errors import DataError
from msrs.files import remove_half_written, write_text
from msrs.log import LOGGER, progress
from msrs.search.hypothesis import Hypothesis
from msrs.search.nbest import NBEST, TEXT, Candidate, Decoded, begin_partial, read_partial, write_decoded
from msrs.search.options import SearchConfig
from msrs.stage_mark import StageMark

FPS = 25
Recognise = Callable[[Batch], list[list[Hypothesis]]]


def is_current(folder: Path, mark: StageMark) -> bool:
    """Whether a decoded set is there and nothing that it came from has changed; says so, or why it is decoded anew.

    What a killed msrs-decode or msrs-score left half written there is removed.
    """
    remove_half_written(folder)
    reason = mark.reason_to_run()
    if reason is None and all((folder / name).is_file() for name in (TEXT, NBEST)):
        LOGGER.info("%s: current, passed over", folder)
        return True
    if reason not in (None, "not done before"):
        LOGGER.info("%s: decoded anew (%s)", folder, reason)
    return False


def decode_set(
    recognise: Recognise,
    spell: Callable[[Sequence[int]], str],
    dataset: UtteranceDataset,
    options: SearchConfig,
    folder: Path,
    mark: StageMark,
    conditions: Mapping[str, object] | None = None,
) -> None:
    """Write `text`, `nbest.jsonl` and `search.yaml`; what was done before a stop under the same mark is kept.

    Args: recognise, from a batch to hypotheses, the best first; spell, from token ids to text; folder to write;
    conditions of the test, such as its noise, told in `search.yaml` after the options.
    Raises: DataError where the dump is empty, the disk is full, or one utterance alone is too much for the GPU's memory.
    """
    if not len(dataset):
        raise DataError(f"{dataset.folder}: no utterance to decode; its skipped.tsv says why.")
    mark.clear()
    known, is_stale = read_partial(folder, mark.digest())
    known = {utt_id: known[utt_id] for utt_id in dataset.utt_ids if utt_id in known}
    if is_stale:
        LOGGER.info("%s: what an interrupted run left is of another model or other options; begun anew", folder)
    if known:
        LOGGER.info("%s: %d of %d utterances were decoded before the stop", folder, len(known), len(dataset))
    left = [index for index, utt_id in enumerate(dataset.utt_ids) if utt_id not in known]
    batches = plan_decoding([dataset.num_frames[index] for index in left], options)
    start = time.monotonic()
    append = begin_partial(folder, mark.digest(), known)
    for batch in progress(batches, len(batches), f"decode {dataset.folder.name}"):
        for one in decode_batch(recognise, spell, dataset, [left[i] for i in batch]):
            known[one.utt_id] = one
            append(one)
    write_decoded(folder, known)
    told = yaml.safe_dump(dict(conditions), sort_keys=False) if conditions else ""
    write_text(folder / "search.yaml", to_yaml(options) + told)
    mark.write()
    seconds, speech = time.monotonic() - start, sum(dataset.num_frames[index] for index in left) / FPS
    LOGGER.info(
        "%s: %d utterances, %.1f s of speech in %.1f s, real-time factor %.3f, %d empty hypotheses",
        *(folder, len(left), speech, seconds, seconds / max(speech, 1 / FPS)),
        sum(not one.nbest[0].text for one in known.values()),
    )


def plan_decoding(num_frames: Sequence[int], options: SearchConfig) -> list[list[int]]:
    """Batches of similar lengths within the options' budget, the longest last; one that is over it goes alone."""
    budget = max([options.batch_frames, *num_frames])
    return plan_in_order(num_frames, BatchingConfig(max_frames=budget, max_utterances=options.batch_size))


def decode_batch(
    recognise: Recognise, spell: Callable[[Sequence[int]], str], dataset: UtteranceDataset, indices: Sequence[int]
) -> Iterator[Decoded]:
    """Yield the utterances of these indices, in order; halved where the GPU's memory is too small for all at once."""
    batch = collate([dataset[None, index] for index in indices])
    try:
        rows = recognise(batch)
    except torch.cuda.OutOfMemoryError:
        if len(indices) == 1:
            raise DataError(f"{batch.utt_ids[0]}: too long for the GPU's memory; use --device cpu.") from None
        rows = None
    if rows is None:  # outside the handler, which would keep the failed attempt's tensors alive
        torch.cuda.empty_cache()
        LOGGER.warning("not enough GPU memory for %d utterances at once; trying half as many", len(indices))
        middle = len(indices) // 2
        for half in (indices[:middle], indices[middle:]):
            yield from decode_batch(recognise, spell, dataset, half)
        return
    for index, utt_id, row in zip(indices, batch.utt_ids, rows, strict=True):
        nbest = tuple(Candidate.of(hypothesis, spell(hypothesis.tokens)) for hypothesis in row)
        yield Decoded(utt_id, dataset.num_frames[index], nbest)
