"""What a process is fed: its part of each update, and of the development set."""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Dataset

from msrs.data.batching import check_budget, plan_batches, plan_in_order
from msrs.data.dataset import Batch, UtteranceDataset, collate
from msrs.errors import MsrsError, TrainingError
from msrs.train.distributed import World
from msrs.train.options import TrainConfig
from msrs.train.shares import deal, widths
from msrs.train.updates import Part, Update


class Feed:
    """Batches on a device. Args: as the trainer's."""

    def __init__(
        self,
        options: TrainConfig,
        train_set: UtteranceDataset,
        dev_set: UtteranceDataset,
        device: torch.device,
        world: World,
    ):
        self.options, self.train_set, self.dev_set, self.device, self.world = options, train_set, dev_set, device, world
        check_budget(train_set.most_frames, options.batching, train_set.longest)

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of an epoch, by the utterances' numbers."""
        return plan_batches(self.train_set.lengths(epoch), self.options.batching, self.options.seed, epoch)

    def updates(self, epoch: int, done: int) -> Iterator[Update]:
        """This process's part of each update of an epoch of which `done` batches are done."""
        return self._dealt(epoch, self.plan(epoch)[done:], self.options.train.accumulate)

    def single_batches(self, epoch: int, count: int) -> Iterator[Update]:
        """This process's part of each of an epoch's first batches."""
        return self._dealt(epoch, self.plan(epoch)[:count], 1)

    def _dealt(self, epoch: int, plan: list[list[int]], accumulate: int) -> Iterator[Update]:
        groups = [plan[start : start + accumulate] for start in range(0, len(plan), accumulate)]
        world = self.world
        shares = [deal(group, world.rank, world.size, world.is_sharded) for group in groups]
        batches = self._load(self.train_set, [[(epoch, i) for i in share.indices] for own in shares for share in own])
        for number, (group, own) in enumerate(zip(groups, shares, strict=True), start=1):
            self.world.make_groups(widths(len(group), self.world.size))
            yield Update([Part(next(batches), share) for share in own], len(group), number == len(groups))

    def first_batches(self, count: int) -> Iterator[Batch]:
        """The first whole batches of the run, the same in each process."""
        return self._load(self.train_set, [[(0, index) for index in batch] for batch in self.plan(0)[:count]])

    def dev_plan(self) -> list[list[int]]:
        """Batches of the development set, by the utterances' numbers."""
        return plan_in_order(self.dev_set.num_frames, self.options.batching)

    def dev_batches(self) -> tuple[Iterator[Batch], int]:
        """This process's batches of the development set, and how many are its own.

        Where all processes have to make the same passes, an utterance follows for a batch that others have more.
        """
        plan = self.dev_plan()
        own = plan[self.world.rank :: self.world.size]
        company = [plan[-1][:1]] * (self.world.is_sharded * (-(-len(plan) // self.world.size) - len(own)))
        return self._load(self.dev_set, [[(None, index) for index in batch] for batch in own + company]), len(own)

    def _load(self, dataset: UtteranceDataset, batches: list[list[tuple[int | None, int]]]) -> Iterator[Batch]:
        """Batches of a set in the given order, prepared by worker processes where asked for.

        Raises: what the set raises, in whichever process that was.
        """
        workers = self.options.train.num_workers if dataset is self.train_set else 0
        # A generator of its own: the loader would else draw from the one that dropout draws from, once a restart more.
        own = torch.Generator().manual_seed(0)
        loader = DataLoader(
            _Collated(dataset), batch_sampler=batches, collate_fn=_as_it_is, num_workers=workers, generator=own
        )
        for batch in loader:
            if isinstance(batch, MsrsError):
                raise batch
            yield batch.to(self.device)


class _Collated(Dataset):
    """Batches of a set. An expected failure is given back: the loader would make a traceback of one raised in a worker."""

    def __init__(self, dataset: UtteranceDataset):
        self.dataset = dataset

    def __getitems__(self, keys: Sequence[tuple[int | None, int]]) -> Batch | MsrsError:
        """What the loader asks for: all utterances of a batch at once."""
        try:
            return collate([self.dataset[key] for key in keys])
        except MsrsError as error:
            return error


def _as_it_is(batch: Batch | MsrsError) -> Batch | MsrsError:
    return batch


@contextlib.contextmanager
def lost_workers_told() -> Iterator[None]:
    """Raises: TrainingError where a worker process of a loader has died.

    torch says so as soon as the system does, wherever training is at that moment, and not only while it waits for a batch.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        cause = str(error.__cause__)  # which may know the signal
        told = cause if cause.startswith("DataLoader worker") else str(error)
        shared = " or that of shared memory (/dev/shm; docker run --shm-size)" if "Bus error" in told else ""
        raise TrainingError(
            f"a process that prepares batches has died ({told.splitlines()[0].strip().rstrip('.')}). Often the memory of the "
            f"machine{shared} ran out: make train.num_workers or train.cache_megabytes, which each of them may hold, smaller. "
            f"The same command goes on from the last checkpoint."
        ) from None
