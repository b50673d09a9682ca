"""The training loop."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from msrs import seeding
from msrs.data.batching import padding_share, plan_batches, plan_in_order
from msrs.data.dataset import Batch, UtteranceDataset, collate
from msrs.errors import TrainingError
from msrs.log import LINE_SECONDS, LOGGER
from msrs.models.recogniser import Recogniser
from msrs.optim.optimizers import make_optimizer
from msrs.optim.schedules import check_schedule, rate_share
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.mask_file import save_masks
from msrs.train import checkpoint
from msrs.train.average import average_weights, best_epochs
from msrs.train.options import TrainConfig
from msrs.train.reporters import Reporter
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
    fingerprint, a hash of data and model that a resumed run has to share.
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
    ):
        self.options, self.model, self.train_set, self.dev_set = options, model, train_set, dev_set
        self.decode, self.folder, self.fingerprint = decode, folder, fingerprint
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
        self.reporters: list[Reporter] = []
        self.newest: dict[str, float] = {}
        self.frames_done, self.seconds_done = 0, 0.0  # since this start

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of an epoch."""
        return plan_batches(self.train_set.num_frames, self.options.batching, self.options.seed, epoch)

    def describe(self) -> None:
        """Log what is about to happen, in numbers that a user can check."""
        batches = self.plan(0)
        frames = sum(self.train_set.num_frames) / len(batches) * self.options.train.accumulate
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        LOGGER.info("%s model of %s parameters on %s", self.options.modality, f"{parameters:,}", self.device)
        LOGGER.info(
            "%d training utterances (%.2f h), %d development utterances; %.0f frames an update, padding %.1f %%",
            len(self.train_set),
            sum(self.train_set.num_frames) / 25 / 3600,
            len(self.dev_set),
            frames,
            100 * padding_share(batches, self.train_set.num_frames),
        )
        LOGGER.info(
            "%d epochs, %d updates, warm-up %d updates, peak rate %g, sparse method %s",
            self.options.train.max_epochs,
            self.total_updates,
            self.options.schedule.warmup_updates,
            self.options.optim.lr,
            self.options.sparse.type,
        )

    def run(self) -> None:
        """Train from the present place to the end."""
        loop, place = self.options.train, self.place
        self.model.train()
        if place.update == 0 and self.sparse.num_prepare_batches:
            plan = [[(0, index) for index in batch] for batch in self.plan(0)[: self.sparse.num_prepare_batches]]
            batches = (batch.to(self.device) for batch in self.loader(self.train_set, plan))
            self.sparse.prepare(batches, lambda batch: self.model(batch).total)
        while place.epoch < loop.max_epochs:
            for batches, is_last in self.updates_of_epoch():
                self.update(batches)
                if place.update % loop.save_every_updates == 0 and not is_last:
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
        self.average()

    def updates_of_epoch(self) -> Iterator[tuple[list[Batch], bool]]:
        """The batches of each update left in the epoch, and whether it is the last."""
        place, accumulate = self.place, self.options.train.accumulate
        plan = self.plan(place.epoch)
        left = [[(place.epoch, index) for index in batch] for batch in plan[place.batch :]]
        group: list[Batch] = []
        shown = time.monotonic()
        for batch in self.loader(self.train_set, left):
            group.append(batch.to(self.device))
            place.batch += 1
            if len(group) == accumulate or place.batch == len(plan):
                yield group, place.batch == len(plan)
                group = []
            if time.monotonic() - shown > LINE_SECONDS:
                shown = time.monotonic()
                self.live_line()

    def live_line(self) -> None:
        """Log where the run is."""
        place, numbers = self.place, self.newest
        left = place.seconds / max(1, place.update) * (self.total_updates - place.update)
        shown = ", ".join(
            f"{name} {numbers[name]:.3f}" for name in ("loss", "ctc", "attention", "accuracy") if name in numbers
        )
        speed = self.frames_done / max(1e-9, self.seconds_done)
        progress = f"epoch {place.epoch + 1}, update {place.update} of {self.total_updates}"
        LOGGER.info("%s: %s, %.0f frames/s, %s left", progress, shown, speed, hours(left))

    def loader(self, dataset: UtteranceDataset, batches: list[list[tuple[int | None, int]]]) -> DataLoader:
        """Batches of a set in the given order, prepared by worker processes where asked for."""
        workers = self.options.train.num_workers if dataset is self.train_set else 0
        # A generator of its own: the loader would else draw from the one that dropout draws from, once a restart more.
        own = torch.Generator().manual_seed(0)
        return DataLoader(dataset, batch_sampler=batches, collate_fn=collate, num_workers=workers, generator=own)

    def update(self, batches: list[Batch]) -> None:
        """One optimiser step over the given batches. Raises: TrainingError on a loss or gradient that is not finite."""
        place, step = self.place, self.place.update
        start = time.perf_counter()
        rate = self.options.optim.lr * rate_share(step, self.options.schedule, self.total_updates)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.sparse.before_forward(step)
        watched = self.options.train.watch_every_updates
        if watched and step % watched == 0:
            paused = time.perf_counter()
            self.report("watch", {"epoch": place.epoch + 1, **watch_update(self.model, batches, self.autocast)})
            start += time.perf_counter() - paused  # looking on is not training
        num_tokens = sum(int(batch.token_lengths.sum()) for batch in batches)
        sums: dict[str, float] = {}
        for batch in batches:
            with self.autocast():
                losses = self.model(batch)
            share = losses.num_tokens / max(1, num_tokens)
            (losses.total * share).backward()
            named = (("loss", losses.total), ("ctc", losses.ctc), ("attention", losses.attention))
            for name, value in (*named, ("accuracy", losses.accuracy), ("blank_share", losses.blank_share)):
                if value is not None:
                    sums[name] = sums.get(name, 0.0) + float(value.detach()) * share
        self.sparse.after_backward(step)
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.train.clip_norm))
        if not (math.isfinite(sums["loss"]) and math.isfinite(norm)):
            self.stop_on_nonfinite(batches, sums["loss"], norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.sparse.after_step(step, self.optimizer)
        place.update += 1
        seconds = time.perf_counter() - start
        place.seconds += seconds
        frames = sum(int(lengths.sum()) for lengths in map(frame_lengths, batches))
        self.newest, self.frames_done, self.seconds_done = sums, self.frames_done + frames, self.seconds_done + seconds
        numbers = {"lr": rate, "gradient_norm": norm, "frames": frames, "seconds": place.seconds, **sums}
        self.report("train", {"epoch": place.epoch + 1, **numbers})

    def stop_on_nonfinite(self, batches: list[Batch], loss: float, norm: float) -> None:
        """Keep the batch for inspection and stop."""
        path = self.folder / "bad_batch.pt"
        checkpoint.save({"batches": [vars(batch) for batch in batches]}, path)
        utterances = ", ".join(utt_id for batch in batches for utt_id in batch.utt_ids[:5])
        raise TrainingError(
            f"update {self.place.update + 1}: loss {loss}, gradient norm {norm}. The batch ({utterances}, ...) is in {path}. "
            f"Look at these utterances; a lower optim.lr or a longer schedule.warmup_updates often helps."
        )

    def autocast(self) -> contextlib.AbstractContextManager:
        """The forward pass's precision."""
        low = self.options.train.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16) if low else contextlib.nullcontext()

    def validate(self) -> None:
        """Measure on the development set, keep the weights where they are among the best."""
        loop, place = self.options.train, self.place
        plan = plan_in_order(self.dev_set.num_frames, self.options.batching)
        batches = self.loader(self.dev_set, [[(None, index) for index in batch] for batch in plan])
        with self.sparse.applied(), self.autocast():
            metrics, shown = validate(
                self.model, (batch.to(self.device) for batch in batches), self.decode, loop.show_utterances
            )
            place.scores[place.epoch] = metrics[loop.select_by]
            best = best_epochs(place.scores, loop.average)
            if place.epoch in best:
                checkpoint.save({"model": self.model.state_dict()}, self.folder / f"epoch_{place.epoch:05d}.pt")
        for epoch, path in checkpoint.numbered(self.folder, checkpoint.EPOCH):
            if epoch not in best:
                path.unlink()
        lines = [f"{utt_id}\n    ref {text}\n    hyp {hypothesis}" for utt_id, text, hypothesis in shown]
        figures = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        LOGGER.info("epoch %d, %s: dev %s\n%s", place.epoch, hours(place.seconds), figures, "\n".join(lines))
        self.report("dev", {"epoch": place.epoch, "seconds": place.seconds, **metrics})

    def follow_phase(self) -> None:
        """When the mask has been found, keep it in a file and forget the models before: means must not mix masks."""
        place = self.place
        if place.phase == "search" and self.sparse.phase != "search":
            save_masks(self.sparse.masks(), self.folder.parent / "masks.npz")
            place.scores.clear()
            for _, path in checkpoint.numbered(self.folder, checkpoint.EPOCH):
                path.unlink()
        place.phase = self.sparse.phase

    def report_histograms(self) -> None:
        """How the weights (and the mask's logits where there are any) are spread, by block."""
        with self.sparse.applied():
            weights = {name: p for name, p in self.model.named_parameters() if p.dim() >= 2}
            spread = {"weights": histograms(weights), "logits": histograms(self.sparse.mask_logits())}
        self.report("histogram", {"epoch": self.place.epoch, **spread})

    def report(self, kind: str, values: dict[str, object]) -> None:
        """Hand numbers to all reporters."""
        for reporter in self.reporters:
            reporter.report(kind, self.place.update, values)

    def save(self) -> None:
        """Save all that the run needs to go on."""
        state = {
            "fingerprint": self.fingerprint,
            "place": dataclasses.asdict(self.place),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sparse": self.sparse.state_dict(),
            "random": {"cpu": torch.get_rng_state()},
        }
        if self.device.type == "cuda":
            state["random"]["cuda"] = torch.cuda.get_rng_state(self.device)
        checkpoint.save_resume(state, self.folder, self.place.update)

    def resume(self) -> bool:
        """Go to where the newest whole checkpoint stands. Returns: whether there was one.

        Raises: TrainingError where data, tokens or model have changed since.
        """
        state = checkpoint.newest_resume(self.folder)
        if state is None:
            seeding.seed_everything(seeding.keyed_seed(self.options.seed, "loop"))
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
        torch.set_rng_state(state["random"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random"]["cuda"], self.device)
        return True

    def average(self) -> None:
        """Write the mean of the best checkpoints, which is the model of the run.

        Where a method moves its mask to the very end, the mean would be denser than any of them: the best one it is.
        """
        best = checkpoint.numbered(self.folder, checkpoint.EPOCH)
        if self.sparse.phase == "search":
            best = [(epoch, path) for epoch, path in best if epoch in best_epochs(self.place.scores, 1)]
        checkpoint.save({"model": average_weights([path for _, path in best])}, self.folder / "average.pt")
        epochs = ", ".join(str(epoch) for epoch, _ in best)
        LOGGER.info("%s is the mean of epochs %s", self.folder / "average.pt", epochs)


def frame_lengths(batch: Batch) -> torch.Tensor:
    """Frames of each utterance of a batch, whatever its streams. Returns: (B,)."""
    return batch.video_lengths if batch.video_lengths is not None else batch.audio_lengths // 640


def hours(seconds: float) -> str:
    """Seconds as h:mm:ss.

    >>> hours(3725)
    '1:02:05'
    """
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
