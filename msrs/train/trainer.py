"""The training loop."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from msrs.data.dataset import UtteranceDataset
from msrs.errors import TrainingError
from msrs.log import LINE_SECONDS, LOGGER
from msrs.models.recogniser import Recogniser
from msrs.optim.optimizers import make_optimizer, restore
from msrs.optim.schedules import check_schedule, rate_share
from msrs.shards import whole
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.base import SEARCH, SPARSE
from msrs.sparse.mask_file import save_masks
from msrs.train import checkpoint
from msrs.train.announce import announce, hours, live_line, peak_memory_bytes
from msrs.train.distributed import World
from msrs.train.ema import RunningMean
from msrs.train.feed import Feed, lost_workers_told
from msrs.train.kept import KeptModels
from msrs.train.nonfinite import stop_on_nonfinite
from msrs.train.options import TrainConfig
from msrs.train.random_state import read_random, set_random, start_random
from msrs.train.reporters import Reporter
from msrs.train.sharding import copies, parts_of_state, put_together, whole_state
from msrs.train.updates import Update, estimate_statistics, pass_parts
from msrs.train.validate import validate
from msrs.train.vision_gate import remark_on_blindness
from msrs.train.watch import histograms, is_histogram_epoch, watch_update


@dataclasses.dataclass
class Place:
    """Where training stands; all of it is saved."""

    epoch: int = 0  # the epoch in work, from 0
    batch: int = 0  # batches of it that are done
    update: int = 0  # updates that are done
    seconds: float = 0.0  # of updates and of waiting for their batches, over all restarts
    scores: dict[int, float] = dataclasses.field(default_factory=dict)  # by number of finished epochs
    phase: str = ""  # of the sparse method, when last looked at
    gaps: list[float] = dataclasses.field(default_factory=list)  # vision gap of each validation
    told_tenth: int = -1  # of the run, in which a remark on them was made
    origin: list[str] = dataclasses.field(default_factory=list)  # files that the weights come from (--init)


class Trainer:
    """Trains one recogniser; what a kill takes is done again in exactly the same way.

    Args: options; model on its device; train and dev sets; decode, from ids to text; folder of checkpoints;
    fingerprint, of data and options, that a resumed run has to share; world, all processes of the run.
    """

    def __init__(
        self,
        options: TrainConfig,
        model: Recogniser,
        train_set: UtteranceDataset,
        dev_set: UtteranceDataset,
        decode: Callable[[list[int]], str],
        folder: Path,
        fingerprint: dict[str, Any],
        world: World,
    ):
        self.options, self.model, self.decode, self.world = options, model, decode, world
        self.folder, self.fingerprint = folder, fingerprint
        self.device = next(model.parameters()).device
        self.feed = Feed(options, train_set, dev_set, self.device, world)
        loop = options.train
        # The number of batches differs a little between epochs; an update never spans two of them.
        updates = [math.ceil(len(self.feed.plan(epoch)) / loop.accumulate) for epoch in range(loop.max_epochs)]
        self.total_updates = sum(updates)
        check_schedule(options.schedule, self.total_updates)
        self.optimizer = make_optimizer(model, options.optim)
        self.sparse = SPARSE_METHODS.build(options.sparse)
        self.sparse.attach(model, self.total_updates, updates[0], options.seed, loop.max_epochs)
        self.ema = RunningMean(model, self.sparse, loop.ema) if loop.ema else None
        self.place = Place(phase=self.sparse.phase)
        self.kept = KeptModels(folder, loop.average)
        self.reporters: list[Reporter] = []
        self.newest: dict[str, float] = {}
        self.frames_done, self.padded_done, self.seconds_done = 0, 0, 0.0  # since this start
        self.shown = self.since = time.monotonic()  # when the last live line was, when the update in work began
        self.began = self.since, 0  # when training did in this process, and the updates done before it

    def describe(self) -> None:
        """Log what is about to happen."""
        announce(self.options, self.model, self.feed, self.total_updates)

    @lost_workers_told()
    def run(self) -> None:
        """Train from the present place to the end."""
        loop, place = self.options.train, self.place
        self.model.train()
        if place.update == 0 and self.sparse.num_prepare_batches:
            batches = self.feed.first_batches(self.sparse.num_prepare_batches)
            self.sparse.prepare(batches, lambda batch: self.model(batch).total)
        self.began = time.monotonic(), place.update
        while place.epoch < loop.max_epochs:
            self.since = time.monotonic()
            for update in self.feed.updates(place.epoch, place.batch):
                place.batch += update.num_batches
                self.update(update)
                self.live_line()
                if place.update % loop.save_every_updates == 0 and not update.is_last:
                    self.save()
                self.since = time.monotonic()
            place.epoch, place.batch = place.epoch + 1, 0
            with self.settled():
                self.sparse.end_epoch(place.epoch, self.optimizer)
            self.follow_phase()
            self.report("sparse", {"epoch": place.epoch, **self.sparse.stats()})
            if loop.watch_every_updates and is_histogram_epoch(place.epoch, loop.max_epochs):
                self.report_histograms()
            if place.epoch % loop.validate_every_epochs == 0 or place.epoch == loop.max_epochs:
                self.validate()
            self.save()
        if self.world.is_main:
            self.kept.average()

    def live_line(self) -> None:
        """Log where the run is, now and then."""
        place = self.place
        if time.monotonic() - self.shown < LINE_SECONDS:
            return
        self.shown = time.monotonic()
        # By the clock on the wall, which validation and checkpoints take their share of.
        pace = (self.shown - self.began[0]) / max(1, place.update - self.began[1])
        left = pace * (self.total_updates - place.update)
        speed = self.frames_done / max(1e-9, self.seconds_done)
        padding = 1.0 - self.frames_done / max(1, self.padded_done)
        memory = peak_memory_bytes(self.device)
        live_line(place.epoch + 1, place.update, self.total_updates, self.newest, speed, padding, memory, left)

    def update(self, update: Update) -> None:
        """One optimiser step. Raises: TrainingError on a loss or gradient that is not finite."""
        place, step = self.place, self.place.update
        rate = self.options.optim.lr * rate_share(step, self.options.schedule, self.total_updates)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.sparse.before_forward(step)
        watched = self.options.train.watch_every_updates
        if watched and step % watched == 0 and self.is_looking:
            paused = time.monotonic()
            batches = [part.batch for part in update.parts if part.share.is_counted]
            numbers = watch_update(self.model, batches, self.autocast, self.world, update.parts[0].batch)
            self.report("watch", {"epoch": place.epoch + 1, **numbers})
            self.since += time.monotonic() - paused  # looking on is not training
        passed = pass_parts(self.model, update, self.world, self.autocast)
        self.sparse.after_backward(step)
        norm = float(whole(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.train.clip_norm)))
        if not (math.isfinite(passed.means["loss"]) and math.isfinite(norm)):
            with self.sparse.applied():
                stop_on_nonfinite(
                    self.model, self.autocast, update, passed, norm, step + 1, self.folder, self.world
                )  # fmt: skip
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with self.settled():
            self.sparse.after_step(step, self.optimizer)
        if self.ema:
            self.ema.update()
        place.update += 1
        seconds = time.monotonic() - self.since
        place.seconds += seconds
        self.newest = passed.means
        self.frames_done += passed.num_frames
        self.padded_done += passed.num_padded_frames
        self.seconds_done += seconds
        numbers = {"lr": rate, "gradient_norm": norm, "frames": passed.num_frames, "seconds": place.seconds}
        self.report("train", {"epoch": place.epoch + 1, **numbers, **passed.means})

    def autocast(self) -> contextlib.AbstractContextManager:
        """The forward pass's precision."""
        if self.options.train.precision == "float32":
            return contextlib.nullcontext()
        # The cache of rounded weights would keep what a sharded model has let go of.
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=not self.world.is_sharded)

    def validate(self) -> None:
        """Measure on the development set, keep the weights where they are among the best."""
        loop, place, world = self.options.train, self.place, self.world
        world.check_same(copies(self.model.state_dict()))
        batches, num_own = self.feed.dev_batches()
        with self.evaluated_weights(), self.autocast():
            with put_together(self.model, world):
                metrics, shown = validate(
                    self.model, batches, self.decode, loop.show_utterances, world.gather,
                    num_own if world.is_sharded else None,
                )  # fmt: skip
            place.scores[place.epoch] = -place.epoch if loop.select_by == "last" else metrics[loop.select_by]
            weights = whole_state(self.model.state_dict(), world)
            if world.is_main:
                self.kept.keep(weights, place.epoch, place.scores)
        lines = [f"{utt_id}\n    ref {text}\n    hyp {hypothesis}" for utt_id, text, hypothesis in shown]
        figures = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        LOGGER.info("epoch %d, %s: dev %s\n%s", place.epoch, hours(place.seconds), figures, "\n".join(lines))
        self.report("dev", {"epoch": place.epoch, "seconds": place.seconds, **metrics})
        if self.options.modality == "video" and "vision_gap" in metrics:
            place.gaps.append(metrics["vision_gap"])
            share = place.update / self.total_updates
            place.told_tenth = remark_on_blindness(place.gaps, share, loop.gap_gate_share, place.told_tenth)

    @contextlib.contextmanager
    def evaluated_weights(self) -> Iterator[None]:
        """Inside, the model is the one that is validated and kept: the running mean where there is one, masked."""
        with self.ema.applied() if self.ema else contextlib.nullcontext(), self.sparse.applied():
            yield

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """Inside, the mask phase may end; normalisation statistics of a mask that was soft until then are made anew."""
        phase = self.sparse.phase
        yield
        if phase == SEARCH != self.sparse.phase and self.sparse.num_settle_batches:
            batches = self.feed.single_batches(self.place.epoch, self.sparse.num_settle_batches)
            estimate_statistics(self.model, batches, self.world, self.autocast)

    def follow_phase(self) -> None:
        """When the mask has been found, keep it in a file and forget models of other masks: means must not mix them."""
        place = self.place
        if place.phase == SEARCH and self.sparse.phase != SEARCH:
            masks = whole_state(self.sparse.masks(), self.world)
            if self.world.is_main:
                save_masks(masks, self.folder.parent / "masks.npz")
                left = self.kept.forget(masks if self.sparse.phase == SPARSE else None)
                # A run that was killed between two writes may find a model that it has not scored yet.
                place.scores = {epoch: place.scores[epoch] for epoch in left if epoch in place.scores}
        if self.ema:
            self.ema.follow_phase()
        place.phase = self.sparse.phase

    @property
    def is_looking(self) -> bool:
        """Whether this process takes part in looking at weights and gradients: all do where each holds a part."""
        return bool(self.reporters) or self.world.is_sharded

    def report_histograms(self) -> None:
        """How the weights (and the mask's logits where there are any) are spread, by block."""
        if not self.is_looking:
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
        state = {
            "fingerprint": self.fingerprint,
            "place": dataclasses.asdict(self.place),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sparse": self.sparse.state_dict(),
            "random": random,
        }
        if self.ema:
            state["ema"] = self.ema.state_dict()
        state = whole_state(state, self.world)
        if self.world.is_main:
            checkpoint.save_resume(state, self.folder, self.place.update)

    def resume(self, state: dict | None) -> None:
        """Go to where a checkpoint stands, or to the start where there is none."""
        if state is None:
            start_random(self.options.seed, self.world)
            return
        state = parts_of_state(state, self.model, self.optimizer, self.world)
        self.place = Place(**state["place"])
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise TrainingError(
                f"{self.folder}: the run's model has other parameters than this version makes of its configuration; finish "
                f"it with the version that began it (environment.json of its folder), or give a new run its own name. {error}"
            ) from None
        restore(self.optimizer, state["optimizer"])
        self.sparse.load_state_dict(state["sparse"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        set_random(state["random"], self.device, self.world, self.options.seed, self.place.update)
