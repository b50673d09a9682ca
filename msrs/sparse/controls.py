"""Controls: what a mask's gain could be mistaken for. Without them a win proves nothing."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from msrs.config import config
from msrs.errors import ConfigError
from msrs.log import LOGGER
from msrs.ranges import Share
from msrs.shards import count_true
from msrs.sparse.base import SparseMethod
from msrs.sparse.mask_file import load_masks
from msrs.sparse.masked import MaskedMethod
from msrs.sparse.ranking import random_scores
from msrs.sparse.selection import BLOCKS, layer_of


class ShrinkControl(SparseMethod):
    """A dense model whose masked matrices are scaled by sqrt(density), as a random mask scales their products.

    With `masks`, and `include` left out, these are the matrices of the file.
    At initialisation random masks even out gradients by shrinking the residual branches and by nothing else (our
    measurement); a learned mask has to beat this.
    """

    works_on_parts = True

    @config
    class Config(SparseMethod.Config):
        """Shrink control; `masks` sets each tensor's density, else all have target_density."""

        type: Literal["control_shrink"] = "control_shrink"
        masks: str | None = None  # mask file of a finished run
        hold: Literal["start", "phase"] = "start"  # scale the initial weights, or the effective ones all phase long
        finish: Literal["dense", "sparse"] = "dense"

    def included(self, model: nn.Module) -> Sequence[str]:
        """What the file masks, where there is one and nothing else is asked for."""
        return names_for(model, self.config.include, self.config.masks)

    def start(self, model: nn.Module) -> None:
        """One factor a tensor."""
        self.factors = dict.fromkeys(self.params, math.sqrt(self.config.target_density))
        if self.config.masks is not None:
            masks = masks_for(self.params, self.config.masks)
            self.factors = {name: math.sqrt(float(mask.double().mean())) for name, mask in masks.items()}

    def begin(self) -> None:
        """Scale the weights themselves."""
        if self.config.hold == "start":
            self.scale_weights()

    def scale_weights(self) -> None:
        """theta <- theta * factor."""
        for name, parameter in self.params.items():
            parameter.data.mul_(self.factors[name])

    def show(self, step: int, is_training: bool = True) -> None:
        """Scaled weights in theta's place."""
        if self.config.hold == "phase":
            for name, parameter in self.params.items():
                self.swap.put(name, parameter, parameter.data * self.factors[name])

    def read_gradients(self, step: int) -> None:
        """dL/dtheta = factor * dL/dw~."""
        if self.config.hold == "phase":
            for name, parameter in self.params.items():
                if parameter.grad is not None:
                    parameter.grad.mul_(self.factors[name])

    def before_finish(self) -> None:
        """The network goes on unchanged."""
        if self.config.hold == "phase":
            self.scale_weights()


class MaskControl(MaskedMethod):
    """A mask that another run found, or a disturbed copy of it, from step 0 on and never moved.

    `change: none` asks what the mask alone is worth, on the same initial weights (same seed) or others
    (`weights: redrawn`); `random` keeps each tensor's density only, `shuffled` also how many weights each row and
    column keeps together, `depth` keeps all weights but empties the blocks that the mask nearly emptied. Where
    `include` is left out, what the file masks is masked.
    """

    @config
    class Config(MaskedMethod.Config):
        """Mask control."""

        type: Literal["control_mask"] = "control_mask"
        masks: str  # mask file of a finished run
        change: Literal["none", "random", "shuffled", "depth"] = "none"
        depth_density: Share = 0.05  # change: depth empties the blocks of a smaller density
        weights: Literal["kept", "redrawn"] = "kept"  # redrawn: the entries of each initial matrix in another order
        rescale: bool = False  # divide the kept weights by sqrt(density), which undoes the shrinking

    @property
    def works_on_parts(self) -> bool:
        """Where the entries of a matrix keep their places."""
        return self.config.weights == "kept"

    def included(self, model: nn.Module) -> Sequence[str]:
        """What the file masks, where nothing else is asked for."""
        return names_for(model, self.config.include, self.config.masks)

    def start(self, model: nn.Module) -> None:
        """Read the mask."""
        self.source = masks_for(self.params, self.config.masks)

    def begin(self) -> None:
        """Prepare the weights, then mask them."""
        for name, parameter in self.params.items():
            if self.config.weights == "redrawn":
                order = random_scores(parameter, self.seed, "redrawn", name).reshape(-1).argsort(stable=True)
                parameter.data.copy_(parameter.data.reshape(-1)[order].view_as(parameter))
        super().begin()
        if self.config.rescale:
            for name, parameter in self.params.items():
                parameter.data.div_(max(count_true(self.mask[name]) / parameter.numel(), 1e-12) ** 0.5)

    def first_mask(self) -> dict[str, Tensor]:
        """The mask, changed as asked."""
        change: Any = self.config.change
        if change == "depth":
            return without_empty_blocks(self.source, self.config.depth_density)
        if change == "none":
            return self.source
        result = {}
        for name, mask in self.source.items():
            if change == "random":
                order = random_scores(mask, self.seed, "random", name).reshape(-1).argsort(stable=True)
                result[name] = mask.reshape(-1)[order].view_as(mask)
            else:
                rows = random_scores(mask[:, 0], self.seed, "rows", name).reshape(len(mask), -1)[:, 0]
                columns = random_scores(mask[0], self.seed, "columns", name).reshape(mask.shape[1], -1)[:, 0]
                result[name] = mask[rows.argsort(stable=True)][:, columns.argsort(stable=True)].clone()
        return result


def names_for(model: nn.Module, include: Sequence[str], path: str | None) -> Sequence[str]:
    """`include`, or where it is left at its default the names of a file's masks.

    Raises: ConfigError where the model has not all of these.
    """
    if path is None or tuple(include) != BLOCKS:
        return include
    names, known = list(load_masks(path)), dict(model.named_parameters())
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(
            f"sparse.masks: {path} is of another model, this one has no {unknown[0]}; use the file of a run of the same "
            "model, or say by sparse.include what is to be masked."
        )
    return names


def masks_for(params: dict[str, nn.Parameter], path: str) -> dict[str, Tensor]:
    """The masks of a file on the parameters' devices; a warning tells of those that no parameter takes.

    Raises: ConfigError where a parameter's is missing or of another shape.
    """
    masks = load_masks(path)
    if idle := [name for name in masks if name not in params]:
        LOGGER.warning(
            "sparse.masks: %d of the %d masks in %s are not used (%s%s): this run does not choose these parameters; "
            "widen sparse.include to have them masked.",
            len(idle), len(masks), path, idle[0], ", ..." if len(idle) > 1 else "",
        )  # fmt: skip
    for name, parameter in params.items():
        if name not in masks or masks[name].shape != parameter.shape:
            found = f"of shape {tuple(masks[name].shape)}" if name in masks else "missing"
            raise ConfigError(
                f"sparse.masks: in {path} the mask of {name} is {found}, this model needs {tuple(parameter.shape)}; "
                "use the file of a run of the same model, or exclude the parameter."
            )
    return {name: masks[name].to(parameter.device) for name, parameter in params.items()}


def without_empty_blocks(masks: dict[str, Tensor], limit: float) -> dict[str, Tensor]:
    """Masks that are all False in blocks of a density below `limit`, all True elsewhere."""
    kept: dict[str, list[int]] = {}
    for name, mask in masks.items():
        counts = kept.setdefault(layer_of(name), [0, 0])
        counts[0] += int(mask.sum())
        counts[1] += mask.numel()
    is_empty = {block: count < limit * total for block, (count, total) in kept.items()}
    return {name: (mask | True) & (not is_empty[layer_of(name)]) for name, mask in masks.items()}
