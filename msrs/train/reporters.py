"""Where a run's numbers go: metrics.jsonl always, TensorBoard where it is installed."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from msrs.errors import DependencyError, TrainingError
from msrs.files import write_error, write_text
from msrs.log import LOGGER

EVENTS = "events.out.tfevents"


class Reporter(Protocol):
    """Takes the numbers of one moment of the run."""

    def report(self, kind: str, num_updates: int, values: dict[str, object]) -> None:
        """Args: kind (`train`, `dev`, `sparse`, `watch`, `histogram`); num_updates done; values, plain data."""

    def close(self) -> None:
        """Nothing more will come."""


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Raises: DataError naming the file where the disk is full; a stream does not say which one it wrote to."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


class JsonLines:
    """One JSON object a line. On resuming at an update, later lines of a run that was killed are dropped.

    So is what was seen (`watch`) before the update that now follows, for that comes once more.
    """

    def __init__(self, path: Path, resume_update: int):
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    values = json.loads(line)
                    comes_again = values["num_updates"] >= resume_update + (values.get("kind") != "watch")
                except (ValueError, KeyError, TypeError):
                    continue  # the half line of a killed run, or what a crash of the machine has left
                if not comes_again:
                    kept.append(line)
        write_text(path, "".join(f"{line}\n" for line in kept))
        self.path, self.handle = path, path.open("a", encoding="utf-8")

    def report(self, kind: str, num_updates: int, values: dict[str, object]) -> None:
        """Append a line and hand it to the system."""
        with _told(self.path):
            self.handle.write(json.dumps({"kind": kind, "num_updates": num_updates, **values}) + "\n")
            self.handle.flush()

    def close(self) -> None:
        """Close the file."""
        with _told(self.path), self.handle:
            os.fsync(self.handle.fileno())


class TensorBoard:
    """Scalars and histograms for TensorBoard; texts are left to metrics.jsonl."""

    def __init__(self, folder: Path, resume_update: int):
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        with _told(folder):
            _make_earlier(sorted(folder.glob(f"{EVENTS}.*")))
            self.writer = SummaryWriter(str(folder), purge_step=resume_update + 1)

    def report(self, kind: str, num_updates: int, values: dict[str, object]) -> None:
        """Add every number under `kind/name`; what is seen before an update stands at that update."""
        # There a restart drops it together with the update, for both come once more.
        num_updates += kind == "watch"
        with _told(self.folder):
            for name, value in values.items():
                if isinstance(value, int | float):
                    self.writer.add_scalar(f"{kind}/{name}", value, num_updates)
                elif kind == "histogram":
                    for block, bins in value.items():
                        self._add_histogram(f"{name}/{block}", num_updates, **bins)

    def _add_histogram(self, tag: str, num_updates: int, low: float, high: float, counts: list[int]) -> None:
        width = (high - low) / len(counts)
        centres = [low + (i + 0.5) * width for i in range(len(counts))]
        self.writer.add_histogram_raw(
            tag, low, high, sum(counts),
            sum(centre * count for centre, count in zip(centres, counts, strict=True)),
            sum(centre**2 * count for centre, count in zip(centres, counts, strict=True)),
            [low + (i + 1) * width for i in range(len(counts))], counts, num_updates,
        )  # fmt: skip

    def close(self) -> None:
        """Write out what is pending."""
        with _told(self.folder):
            self.writer.close()


def _make_earlier(paths: Sequence[Path]) -> None:
    """TensorBoard reads files by name, which begins with the time: where the clock was set back, the new one has to be last."""
    if paths and paths[-1].name >= f"{EVENTS}.{time.time():010.0f}":
        for number, path in enumerate(paths):
            path.rename(path.with_name(f"{EVENTS}.{number:010d}.{path.name.split('.', 4)[-1]}"))


class WeightsAndBiases:
    """Numbers and histograms to a project of Weights & Biases; a restarted run goes on in its own page.

    WANDB_MODE=offline leaves them in the experiment's folder, for `wandb sync`.
    """

    def __init__(self, folder: Path, project: str):
        import wandb

        name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        try:
            self.run = wandb.init(project=project, name=folder.name, id=name, dir=str(folder), resume="allow")
        except Exception as error:  # wandb has many, and its own names for them change
            raise TrainingError(
                f"train.wandb={project}: Weights & Biases cannot be reached, or does not know you ({error}). Run `wandb login` "
                f"once, or set WANDB_MODE=offline and send the run later with `wandb sync`, or leave train.wandb out."
            ) from error
        self.histogram = wandb.Histogram

    def report(self, kind: str, num_updates: int, values: dict[str, object]) -> None:
        """Log every number as `kind/name`; what a resumed run has logged before is not logged again."""
        numbers = {f"{kind}/{name}": value for name, value in values.items() if isinstance(value, int | float)}
        for name, blocks in values.items() if kind == "histogram" else ():
            for block, bins in blocks.items() if isinstance(blocks, dict) else ():
                edges = np.linspace(bins["low"], bins["high"], len(bins["counts"]) + 1)
                numbers[f"{name}/{block}"] = self.histogram(np_histogram=(np.array(bins["counts"]), edges))
        self.run.log(numbers, step=num_updates)

    def close(self) -> None:
        """Send what is pending."""
        self.run.finish()


def check_wandb(project: str | None) -> None:
    """Raises: DependencyError where reports are to go to Weights & Biases, and wandb is not installed."""
    try:
        if project:
            import wandb  # noqa: F401
    except ImportError:
        raise DependencyError("train.wandb needs wandb; run: pip install msrs[wandb]") from None


@contextlib.contextmanager
def reporting(exp: Path, resume_update: int, wandb_project: str | None = None) -> Iterator[list[Reporter]]:
    """All reporters that this installation has, for as long as the context lasts.

    Raises: DataError on a full disk, TrainingError where Weights & Biases does not take the run.
    """
    reporters: list[Reporter] = []
    try:
        reporters.append(JsonLines(exp / "metrics.jsonl", resume_update))
        try:
            reporters.append(TensorBoard(exp / "tensorboard", resume_update))
        except ImportError:
            LOGGER.info(
                "TensorBoard is not installed (pip install msrs[tensorboard]); metrics.jsonl holds all numbers."
            )
        if wandb_project:
            reporters.append(WeightsAndBiases(exp, wandb_project))
        yield reporters
    except BaseException:
        for reporter in reporters:
            try:
                reporter.close()
            except Exception as error:  # what has ended the run is to be told, and not what it has led to
                LOGGER.warning("%s", error)
        raise
    for reporter in reporters:
        reporter.close()
