"""The processes of a run: who they are, what they tell each other, and that all hold the same weights."""

import contextlib
import datetime
import json
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from msrs.errors import MsrsError, TrainingError
from msrs.log import LOGGER

T = TypeVar("T")
BUCKET_WEIGHTS = 1 << 25  # gradients that travel together
# A process that saves, or reads a slow disk, keeps the others waiting.
TIMEOUT = datetime.timedelta(hours=1)
SETTLE_SECONDS = 0.5
OWN_LAUNCH = "MSRS_LAUNCHED"  # set for processes that msrs-train has started, which then tells their errors itself


class World:
    """All processes of a run as one of them sees them.

    Args: rank of this one; size, how many there are; is_sharded, whether each holds a part of the model only (see
    `sharding`). Then all have to make the same passes, for every pass asks the others for their parts.
    """

    def __init__(self, rank: int = 0, size: int = 1, is_sharded: bool = False):
        self.rank, self.size, self.is_sharded = rank, size, is_sharded
        self.groups: dict[tuple[int, ...], dist.ProcessGroup] = {}

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def make_groups(self, widths: Iterable[int]) -> None:
        """Cut all processes into groups of each width; all have to call this alike."""
        for width in widths:
            for first in range(0, self.size, width) if width > 1 else ():
                ranks = tuple(range(first, first + width))
                if ranks not in self.groups:
                    self.groups[ranks] = dist.new_group(ranks, timeout=TIMEOUT)

    def gather(self, value: T) -> list[T]:
        """Everyone's `value`, by rank, in every process."""
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        dist.all_gather_object(values, value)
        return values

    def sums(self, values: Sequence[float]) -> list[float]:
        """Sum over the processes of each number."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def sum_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Sum over the processes of each tensor, in place, many in one go."""
        sent = []
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, work in sent:
            work.wait()
            parts = flat.split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def sum_gradients(self, model: nn.Module) -> None:
        """Sum over the processes of each gradient; one that nobody has stays None, as in a run of one process.

        Where the model is sharded the backward pass has done so.
        """
        if self.size == 1 or self.is_sharded:
            return
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        owners = self.sums([float(parameter.grad is not None) for parameter in parameters])
        wanted = [parameter for parameter, count in zip(parameters, owners, strict=True) if count]
        for parameter in wanted:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.sum_tensors([parameter.grad for parameter in wanted])

    def check_same(self, tensors: Iterable[Tensor]) -> None:
        """Raises: TrainingError where processes hold other values, to the bit."""
        if self.size == 1:
            return
        own = [int(tensor.detach().reshape(-1).view(torch.uint8).sum(dtype=torch.int64)) for tensor in tensors]
        everyone = self.gather(own)
        for rank, other in enumerate(everyone):
            if other != everyone[0]:
                raise TrainingError(
                    f"process {rank} holds other weights than process 0. The machines may differ in their GPUs or in "
                    f"their version of torch; use equal ones, or one machine."
                )


ALONE = World()


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        bucket.append(tensor)
        size += tensor.numel()
        if size >= BUCKET_WEIGHTS:
            yield bucket
            bucket, size = [], 0
    if bucket:
        yield bucket


def is_worker() -> bool:
    """Whether a launcher (msrs-train itself, torchrun, Slurm) has made this process one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


@contextlib.contextmanager
def joined_world(use_gpu: bool, is_sharded: bool = False) -> Iterator[tuple[World, str]]:
    """The world that this process was started into, and its device; only the main process's log is seen."""
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = f"cuda:{local_rank}" if use_gpu else "cpu"
    if not is_worker():
        yield World(), "cuda" if use_gpu else "cpu"
        return
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if use_gpu:
        torch.cuda.set_device(local_rank)
    if OWN_LAUNCH in os.environ:
        _die_with_parent()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if use_gpu else "gloo", timeout=TIMEOUT)
        yield World(rank, size, is_sharded), device
    except MsrsError as error:
        _tell_launcher(error)
        raise
    except RuntimeError as error:
        # Another one has failed, and tells why; a traceback of each that waited for it would only hide that.
        if OWN_LAUNCH in os.environ and "gloo/transport" in str(error):
            LOGGER.error("process %d has lost another one: %s", rank, str(error).splitlines()[0])
            raise SystemExit(1) from None
        raise
    except KeyboardInterrupt:
        if OWN_LAUNCH in os.environ:
            raise SystemExit(130) from None  # msrs-train itself says so, once
        raise
    # After a failure the others may wait for this process for ever: it leaves, and the launcher ends them.
    World(rank, size).sums([0.0])
    # Threads of a group that is still held somewhere (by a sharded model, say) live on; one that has a message to let go
    # of when the interpreter ends aborts the process.
    time.sleep(SETTLE_SECONDS)
    dist.destroy_process_group()


def _tell_launcher(error: MsrsError) -> None:
    """Leave the message where torch's launcher looks for it. Raises: SystemExit where that is msrs-train itself."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path and OWN_LAUNCH in os.environ:
        told = {"message": {"message": str(error), "extraInfo": {"timestamp": str(int(time.time()))}}}
        Path(path).write_text(json.dumps(told), encoding="utf-8")
        raise SystemExit(1)


def _die_with_parent() -> None:
    """End this process when the launcher is gone, killed say, so that it never trains beside a restarted run."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
