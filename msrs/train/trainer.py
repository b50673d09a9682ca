"""The training loop."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from msrs.data.batching import plan_batches, plan_in_order
from msrs.data.dataset import UtteranceDataset, collate
from msrs.errors import TrainingError
from msrs.log import LINE_SECONDS, LOGGER
from msrs.models.recogniser import Recogniser
from msrs.optim.optimizers import make_optimizer
from msrs.optim.schedules import check_schedule, rate_share
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.mask_file import save_masks
from msrs.train import checkpoint
from msrs.train.announce import announce, hours, live_line
from msrs.train.distributed import World
from msrs.train.kept import KeptModels
from msrs.train.options import TrainConfig
from msrs.train.random_state import read_random, set_random, start_random
from msrs.train.reporters import Reporter
from msrs.train.shares import deal, widths
from msrs.train.updates import Part, Passed, Update, pass_parts
from msrs.train.validate import validate
from msrs.train.watch import histograms, is_histogram_epoch, watch_update


@dataclasses.dataclass
class Place:
    """Where training stands; all of it is saved."""

    epoch: int = 0  # the epoch in work, from 0
    batch: int = 0  # batches of it that are done
    update: int = 0  # updates that are done
    seconds: float = 0.0  # spent in updates, over all restarts
    scores: dict[int, float] = dataclasses.field(default_factory=dict)  # by number of finished epochs
    phase: str = ""  # of the sparse method, when last looked at


class Trainer:
    """Trains one recogniser; what a kill takes is done again in exactly the same way.

    Args: options; model on its device; train and dev sets; decode, from ids to text; folder of checkpoints;
    fingerprint, a hash of data and model that a resumed run has to share; world, all processes of the run.
    """

    def __init__(
        self,
        options: TrainConfig,
        model: Recogniser,
        train_set: UtteranceDataset,
        dev_set: UtteranceDataset,
        decode: Callable[[list[int]], str],
        folder: Path,
        fingerprint: str,
        world: World,
    ):
        self.options, self.model, self.train_set, self.dev_set = options, model, train_set, dev_set
        self.decode, self.folder, self.fingerprint, self.world = decode, folder, fingerprint, world
        self.device = next(model.parameters()).device
        loop = options.train
        # The number of batches differs a little between epochs; an update never spans two of them.
        updates = [math.ceil(len(self.plan(epoch)) / loop.accumulate) for epoch in range(loop.max_epochs)]
        self.total_updates = sum(updates)
        check_schedule(options.schedule, self.total_updates)
        self.optimizer = make_optimizer(model, options.optim)
        self.sparse = SPARSE_METHODS.build(options.sparse)
        self.sparse.attach(model, self.total_updates, updates[0], options.seed)
        self.place = Place(phase=self.sparse.phase)
        self.kept = KeptModels(folder, loop.average)
        self.reporters: list[Reporter] = []
        self.newest: dict[str, float] = {}
        self.frames_done, self.seconds_done = 0, 0.0  # since this start

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of an epoch."""
        return plan_batches(self.train_set.num_frames, self.options.batching, self.options.seed, epoch)

    def describe(self) -> None:
        """Log what is about to happen."""
        announce(
            self.options, self.model, self.train_set, len(self.dev_set), self.plan(0), self.total_updates, self.world
        )  # fmt: skip

    def run(self) -> None:
        """Train from the present place to the end."""
        loop, place = self.options.train, self.place
        self.model.train()
        if place.update == 0 and self.sparse.num_prepare_batches:
            # Every process sees all of these, whole, so that all find the same mask.
            plan = [[(0, index) for index in batch] for batch in self.plan(0)[: self.sparse.num_prepare_batches]]
            batches = (batch.to(self.device) for batch in self.loader(self.train_set, plan))
            self.sparse.prepare(batches, lambda batch: self.model(batch).total)
        while place.epoch < loop.max_epochs:
            for update in self.updates_of_epoch():
                self.update(update)
                if place.update % loop.save_every_updates == 0 and not update.is_last:
                    self.save()
            place.epoch, place.batch = place.epoch + 1, 0
            self.sparse.end_epoch(place.epoch, self.optimizer)
            self.follow_phase()
            self.report("sparse", {"epoch": place.epoch, **self.sparse.stats()})
            if loop.watch_every_updates and is_histogram_epoch(place.epoch, loop.max_epochs):
                self.report_histograms()
            if place.epoch % loop.validate_every_epochs == 0 or place.epoch == loop.max_epochs:
                self.validate()
            self.save()
        if self.world.is_main:
            # Where a method moves its mask to the very end, a mean would be denser than any of the models in it.
            self.kept.average(place.scores, best_alone=self.sparse.phase == "search")

    def updates_of_epoch(self) -> Iterator[Update]:
        """This process's part of each update left in the epoch."""
        place, accumulate = self.place, self.options.train.accumulate
        plan = self.plan(place.epoch)
        groups = [plan[start : start + accumulate] for start in range(place.batch, len(plan), accumulate)]
        shares = [deal(group, self.world.rank, self.world.size) for group in groups]
        keys = [[(place.epoch, index) for index in share.indices] for own in shares for share in own]
        batches = iter(self.loader(self.train_set, keys))
        shown = time.monotonic()
        for group, own in zip(groups, shares, strict=True):
            self.world.make_groups(widths(len(group), self.world.size))
            parts = [Part(next(batches).to(self.device), share) for share in own]
            place.batch += len(group)
            yield Update(parts, len(group), place.batch == len(plan))
            if time.monotonic() - shown > LINE_SECONDS:
                shown = time.monotonic()
                self.live_line()

    def live_line(self) -> None:
        """Log where the run is."""
        place = self.place
        left = place.seconds / max(1, place.update) * (self.total_updates - place.update)
        speed = self.frames_done / max(1e-9, self.seconds_done)
        live_line(place.epoch + 1, place.update, self.total_updates, self.newest, speed, left)

    def loader(self, dataset: UtteranceDataset, batches: list[list[tuple[int | None, int]]]) -> DataLoader:
        """Batches of a set in the given order, prepared by worker processes where asked for."""
        workers = self.options.train.num_workers if dataset is self.train_set else 0
        # A generator of its own: the loader would else draw from the one that dropout draws from, once a restart more.
        own = torch.Generator().manual_seed(0)
        return DataLoader(dataset, batch_sampler=batches, collate_fn=collate, num_workers=workers, generator=own)

    def update(self, update: Update) -> None:
        """One optimiser step. Raises: TrainingError on a loss or gradient that is not finite."""
        place, step = self.place, self.place.update
        start = time.perf_counter()
        rate = self.options.optim.lr * rate_share(step, self.options.schedule, self.total_updates)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.sparse.before_forward(step)
        watched = self.options.train.watch_every_updates
        if watched and step % watched == 0 and self.reporters:
            paused = time.perf_counter()
            batches = [part.batch for part in update.parts]  # of the main process alone, where there are several
            self.report("watch", {"epoch": place.epoch + 1, **watch_update(self.model, batches, self.autocast)})
            start += time.perf_counter() - paused  # looking on is not training
        passed = pass_parts(self.model, update, self.world, self.autocast)
        self.sparse.after_backward(step)
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.train.clip_norm))
        if not (math.isfinite(passed.means["loss"]) and math.isfinite(norm)):
            self.stop_on_nonfinite(update, passed, norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.sparse.after_step(step, self.optimizer)
        place.update += 1
        seconds = time.perf_counter() - start
        place.seconds += seconds
        self.newest = passed.means
        self.frames_done, self.seconds_done = self.frames_done + passed.num_frames, self.seconds_done + seconds
        numbers = {"lr": rate, "gradient_norm": norm, "frames": passed.num_frames, "seconds": place.seconds}
        self.report("train", {"epoch": place.epoch + 1, **numbers, **passed.means})

    def stop_on_nonfinite(self, update: Update, passed: Passed, norm: float) -> None:
        """Keep the batches for inspection and stop; all processes come here together."""
        batches = [part.batch for part in update.parts]
        utt_ids = [utt_id for batch in batches for utt_id in batch.utt_ids[:5]]
        told = self.world.gather((math.isfinite(passed.own_loss), utt_ids))
        # Those whose own loss is finite had no share in it, unless it is the gradient alone that is not.
        blamed = [rank for rank, (is_finite, _) in enumerate(told) if not is_finite] or list(range(self.world.size))
        paths = [self.folder / (f"bad_batch_process{rank}.pt" if rank else "bad_batch.pt") for rank in blamed]
        if self.world.rank in blamed:
            path = paths[blamed.index(self.world.rank)]
            checkpoint.save({"batches": [vars(batch) for batch in batches]}, path)
        utterances = ", ".join(utt_id for rank in blamed for utt_id in told[rank][1])
        self.world.gather(None)  # who leaves first ends the others, which may still be writing
        raise TrainingError(
            f"update {self.place.update + 1}: loss {passed.means['loss']}, gradient norm {norm}. The batch "
            f"({utterances}, ...) is in {', '.join(map(str, paths))}. "
            f"Look at these utterances; a lower optim.lr or a longer schedule.warmup_updates often helps."
        )

    def autocast(self) -> contextlib.AbstractContextManager:
        """The forward pass's precision."""
        low = self.options.train.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16) if low else contextlib.nullcontext()

    def validate(self) -> None:
        """Measure on the development set, keep the weights where they are among the best."""
        loop, place, world = self.options.train, self.place, self.world
        plan = plan_in_order(self.dev_set.num_frames, self.options.batching)[world.rank :: world.size]
        batches = self.loader(self.dev_set, [[(None, index) for index in batch] for batch in plan])
        world.check_same(self.model.state_dict().values())
        with self.sparse.applied(), self.autocast():
            metrics, shown = validate(
                self.model,
                (batch.to(self.device) for batch in batches),
                self.decode,
                loop.show_utterances,
                world.gather,
            )
            place.scores[place.epoch] = metrics[loop.select_by]
            if world.is_main:
                self.kept.keep(self.model, place.epoch, place.scores)
        lines = [f"{utt_id}\n    ref {text}\n    hyp {hypothesis}" for utt_id, text, hypothesis in shown]
        figures = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        LOGGER.info("epoch %d, %s: dev %s\n%s", place.epoch, hours(place.seconds), figures, "\n".join(lines))
        self.report("dev", {"epoch": place.epoch, "seconds": place.seconds, **metrics})

    def follow_phase(self) -> None:
        """When the mask has been found, keep it in a file and forget the models before: means must not mix masks."""
        place = self.place
        if place.phase == "search" and self.sparse.phase != "search":
            place.scores.clear()
            if self.world.is_main:
                save_masks(self.sparse.masks(), self.folder.parent / "masks.npz")
                self.kept.forget()
        place.phase = self.sparse.phase

    def report_histograms(self) -> None:
        """How the weights (and the mask's logits where there are any) are spread, by block."""
        if not self.reporters:
            return
        with self.sparse.applied():
            weights = {name: p for name, p in self.model.named_parameters() if p.dim() >= 2}
            spread = {"weights": histograms(weights), "logits": histograms(self.sparse.mask_logits())}
        self.report("histogram", {"epoch": self.place.epoch, **spread})

    def report(self, kind: str, values: dict[str, object]) -> None:
        """Hand numbers to all reporters; only the main process has some."""
        for reporter in self.reporters:
            reporter.report(kind, self.place.update, values)

    def save(self) -> None:
        """Save all that the run needs to go on."""
        random = read_random(self.device, self.world)
        if not self.world.is_main:
            return
        state = {
            "fingerprint": self.fingerprint,
            "place": dataclasses.asdict(self.place),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sparse": self.sparse.state_dict(),
            "random": random,
        }
        checkpoint.save_resume(state, self.folder, self.place.update)

    def resume(self) -> bool:
        """Go to where the newest whole checkpoint stands. Returns: whether there was one.

        Raises: TrainingError where data, tokens or model have changed since.
        """
        state = checkpoint.newest_resume(self.folder, self.world)
        if state is None:
            start_random(self.options.seed, self.world)
            return False
        if state["fingerprint"] != self.fingerprint:
            raise TrainingError(
                f"{self.folder.parent}: the data, the tokens or the configuration of model, batches or optimiser are not "
                f"those that this run began with. Give the new run its own name (--tag), or delete this folder."
            )
        self.place = Place(**state["place"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sparse.load_state_dict(state["sparse"])
        set_random(state["random"], self.device, self.world, self.options.seed, self.place.update)
        return True
