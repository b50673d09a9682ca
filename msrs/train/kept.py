"""The models that a run keeps: those of its best validations, and their mean at the end."""

from pathlib import Path

from torch import Tensor

from msrs.errors import TrainingError
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

    def forget(self, masks: dict[str, Tensor] | None) -> list[int]:
        """Drop the models that have weights outside a mask, or all (None). Returns: epochs of those that stay.

        A mean with them would be denser than the mask. Of a mask that never moved all models stay.
        """
        left = []
        for epoch, path in self._whole():
            weights = {} if masks is None else checkpoint.load_weights(path)
            if masks is None or any(bool(weights[name][~mask.cpu()].any()) for name, mask in masks.items()):
                path.unlink()
            else:
                left.append(epoch)
        return left

    def average(self) -> None:
        """Write the mean of the kept models, which is the model of the run. Raises: TrainingError where none is whole."""
        kept = self._whole()
        if not kept:
            raise TrainingError(
                f"{self.folder}: none of the run's models (epoch_N.pt) is there and whole, so there is nothing to average. "
                f"The weights of its end are in the newest resume_N.pt: msrs-decode --checkpoint resume_N reads with them."
            )
        checkpoint.save({"model": average_weights([path for _, path in kept])}, self.folder / "average.pt")
        epochs = ", ".join(str(epoch) for epoch, _ in kept)
        LOGGER.info("%s is the mean of epochs %s", self.folder / "average.pt", epochs)

    def has_average(self) -> bool:
        """Whether the model of the run is there and whole."""
        path = self.folder / "average.pt"
        return path.exists() and _is_whole(path)

    def _whole(self) -> list[tuple[int, Path]]:
        """The models by epoch, without those that are damaged."""
        return [(epoch, path) for epoch, path in checkpoint.numbered(self.folder, checkpoint.EPOCH) if _is_whole(path)]


def _is_whole(path: Path) -> bool:
    """Whether a model can be read; a damaged one is told and gets the ending `.damaged`."""
    try:
        checkpoint.load(path, is_mapped=True)
        return True
    except TrainingError as error:
        LOGGER.warning("left out: %s", error)
        path.replace(path.with_name(f"{path.name}.damaged"))
        return False
