"""The end of a run whose loss or gradient is not finite: the batches that did it are kept."""

import math
from pathlib import Path

from msrs.errors import TrainingError
from msrs.train import checkpoint
from msrs.train.distributed import World
from msrs.train.updates import Passed, Update


def stop_on_nonfinite(update: Update, passed: Passed, norm: float, number: int, folder: Path, world: World) -> None:
    """Keep the batches for inspection and stop; all processes come here together.

    Args: norm of the gradient; number of the update, from 1; folder of the checkpoints. Raises: TrainingError.
    """
    batches = [part.batch for part in update.parts]
    utt_ids = [utt_id for batch in batches for utt_id in batch.utt_ids[:5]]
    told = world.gather((math.isfinite(passed.own_loss), utt_ids))
    # Those whose own loss is finite had no share in it, unless it is the gradient alone that is not.
    blamed = [rank for rank, (is_finite, _) in enumerate(told) if not is_finite] or list(range(world.size))
    paths = [folder / (f"bad_batch_process{rank}.pt" if rank else "bad_batch.pt") for rank in blamed]
    if world.rank in blamed:
        path = paths[blamed.index(world.rank)]
        checkpoint.save({"batches": [vars(batch) for batch in batches]}, path)
    utterances = ", ".join(utt_id for rank in blamed for utt_id in told[rank][1])
    world.gather(None)  # who leaves first ends the others, which may still be writing
    raise TrainingError(
        f"update {number}: loss {passed.means['loss']}, gradient norm {norm}. The batch ({utterances}, ...) is in "
        f"{', '.join(map(str, paths))}. "
        f"Look at these utterances; a lower optim.lr or a longer schedule.warmup_updates often helps."
    )
