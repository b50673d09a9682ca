"""The models that a run keeps: those of its best validations, and their mean at the end."""

from pathlib import Path

from torch import Tensor

from msrs.log import LOGGER
from msrs.train import checkpoint
from msrs.train.average import average_weights, best_epochs


class KeptModels:
    """Model files of the best validations. Args: folder of the checkpoints; count, how many are kept."""

    def __init__(self, folder: Path, count: int):
        self.folder, self.count = folder, count

    def keep(self, weights: dict[str, Tensor], epoch: int, scores: dict[int, float]) -> None:
        """Save a model's weights where its score is among the best (lowest), and drop what no longer is."""
        best = best_epochs(scores, self.count)
        if epoch in best:
            checkpoint.save({"model": weights}, self.folder / f"epoch_{epoch:05d}.pt")
        for number, path in checkpoint.numbered(self.folder, checkpoint.EPOCH):
            if number not in best:
                path.unlink()

    def forget(self) -> None:
        """Drop all."""
        for _, path in checkpoint.numbered(self.folder, checkpoint.EPOCH):
            path.unlink()

    def average(self, scores: dict[int, float], best_alone: bool) -> None:
        """Write the mean of the kept models, which is the model of the run, or the best of them alone."""
        kept = checkpoint.numbered(self.folder, checkpoint.EPOCH)
        if best_alone:
            kept = [(epoch, path) for epoch, path in kept if epoch in best_epochs(scores, 1)]
        checkpoint.save({"model": average_weights([path for _, path in kept])}, self.folder / "average.pt")
        epochs = ", ".join(str(epoch) for epoch, _ in kept)
        LOGGER.info("%s is the mean of epochs %s", self.folder / "average.pt", epochs)
