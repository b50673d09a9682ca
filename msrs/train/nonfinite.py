"""The end of a run whose loss or gradient is not finite: who did it is found, and the batches are kept."""

import contextlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from msrs.data.dataset import Batch
from msrs.errors import TrainingError
from msrs.train import checkpoint
from msrs.train.distributed import World
from msrs.train.updates import Passed, Update
from msrs.train.validate import evaluating
from msrs.train.watch import split, unnoticed

MOST_NAMES = 10  # of utterances, that a message lists


def stop_on_nonfinite(
    model: nn.Module,
    autocast: Callable[[], contextlib.AbstractContextManager],
    update: Update,
    passed: Passed,
    norm: float,
    number: int,
    folder: Path,
    world: World,
) -> None:
    """Name the utterances whose loss is not finite, keep their batches for inspection and stop.

    All processes come here together. Args: model with the weights that the update was computed with; norm of the
    gradient; number of the update, from 1; folder of the checkpoints. Raises: TrainingError.
    """
    batches = [part.batch for part in update.parts if part.share.is_counted]
    company = split(update.parts[0].batch, len(update.parts[0].batch))[0] if world.is_sharded else None
    guilty = _not_finite(model, batches, autocast, world, company)
    rows = [row for batch in guilty for row in split(batch, len(batch))]
    named = [row.utt_ids[0] for row in _not_finite(model, rows, autocast, world, company)]
    told = world.gather((named, sum(map(len, batches)), math.isfinite(passed.own_loss)))
    found = [utt_id for own, *_ in told for utt_id in own]
    remedy = "A lower optim.lr or a longer schedule.warmup_updates often helps."
    if len(found) == sum(count for _, count, _ in told) > 1:
        kept, blamed = batches[:1], [rank for rank, (_, count, _) in enumerate(told) if count]
        what = "Every utterance of the update gives such a loss by itself, so it is the weights that have run away"
    elif found:
        kept = [batch for batch in guilty if not set(named).isdisjoint(batch.utt_ids)]
        blamed = [rank for rank, (own, *_) in enumerate(told) if own]
        what = (
            f"Of {sum(count for _, count, _ in told)} utterances these give such a loss by themselves: {_listed(found)}"
        )
        remedy = f"Look at their video, sound and text, and leave them out where they are damaged. {remedy}"
    else:
        kept = guilty or batches
        # Those whose own loss is finite had no share in it, unless it is the gradient alone that is not.
        blamed = [rank for rank, row in enumerate(told) if not row[2]] or list(range(world.size))
        names = world.gather([utt_id for batch in kept for utt_id in batch.utt_ids])
        names = _listed([utt_id for rank in blamed for utt_id in names[rank]])
        what = (
            f"No utterance gives such a loss by itself; the gradient has overflowed, or what is drawn matters ({names})"
        )
    paths = [folder / (f"bad_batch_process{rank}.pt" if rank else "bad_batch.pt") for rank in blamed]
    if world.rank in blamed:
        checkpoint.save({"batches": [vars(batch) for batch in kept]}, paths[blamed.index(world.rank)])
    world.gather(None)  # who leaves first ends the others, which may still be writing
    raise TrainingError(
        f"update {number}: loss {passed.means['loss']}, gradient norm {norm}. {what}. The batch is in "
        f"{', '.join(map(str, paths))}. {remedy}"
    )


def _not_finite(
    model: nn.Module,
    batches: Sequence[Batch],
    autocast: Callable[[], contextlib.AbstractContextManager],
    world: World,
    company: Batch | None,
) -> list[Batch]:
    """Those of some batches whose loss is not finite; the model stays as it is.

    Args: company, what is passed where the model is sharded and others have more to pass.
    """
    passes = list(batches)
    if world.is_sharded:
        passes += [company] * (max(world.gather(len(batches))) - len(batches))
    finite = []
    with unnoticed(model), evaluating(model):
        for norm in model.modules():
            # The passes of the update have left their running statistics without a finite number.
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.train()
        for batch in passes:
            with autocast():
                finite.append(math.isfinite(float(model(batch).total)))
    return [batch for batch, is_finite in zip(batches, finite, strict=False) if not is_finite]


def _listed(names: Sequence[str]) -> str:
    """Some names, and how many there are.

    >>> _listed([str(number) for number in range(12)])
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
    """
    return ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
