"""The one interface of all sparse methods, attached to a model from outside.

Masked parameters stay ordinary parameters of the model under their own names, and no autograd runs through masks. In
the trainer's loop:

    method.attach(model, total_steps, steps_per_epoch, seed, num_epochs)
    if method.num_prepare_batches: method.prepare(batches, loss_fn)
    for step in range(total_steps):
        method.before_forward(step)              # the parameters now hold the effective weights w~
        loss.backward()                          # once or more (accumulation); parameter.grad = dL/dw~, summed over ranks
        method.after_backward(step)              # the parameters hold theta again, parameter.grad = dL/dtheta
        clip, optimizer.step()                   # may be skipped, and after_step with it, when gradients are not finite
        method.after_step(step, optimizer)       # logits, masks, exact zeros; ends the phase when its time has come
        method.end_epoch(epoch, optimizer)       # at the end of each epoch; may end the phase too
        if the phase has ended: estimate normalisation statistics over method.num_settle_batches
    with method.applied(): evaluate, average, export

A method's life has three phases: `search` (its mask acts and may move), then `sparse` (the mask stands, zeros stay
zero) or `dense` (all weights free, the method does nothing more).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import pydantic
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from msrs.config import config
from msrs.errors import TrainingError
from msrs.log import LOGGER
from msrs.ranges import Count, Positive, Share
from msrs.shards import count_true, is_part, whole
from msrs.sparse.packed import PackedMasks
from msrs.sparse.selection import BLOCKS, choose_parameters
from msrs.sparse.stats import count_masks, shares_by_part
from msrs.sparse.zeros import Swap, fold, keeps_zeros, mask_gradients, mask_moments, mask_weights

SEARCH, SPARSE, DENSE = "search", "sparse", "dense"


class SparseMethod:
    """What every method shares: the choice of parameters, the phases, the finish, exact zeros, saving."""

    num_prepare_batches = 0  # batches that `prepare` wants to see before step 0
    # Batches over which normalisation statistics are to be estimated anew when the phase ends: for masks that were not
    # binary before, so that the network changes.
    num_settle_batches = 0
    # Whether what the mask takes away is zero in theta during the search as well: then a sparse finish changes nothing.
    has_exact_zeros = False
    # Whether it does with parameters that are parts (msrs.shards): it works entry by entry, and puts a tensor together
    # where it has to count or to rank.
    works_on_parts = False

    @config
    class Config:
        """Keys that all methods take."""

        type: str = "base"
        # Names of masked parameters, as patterns with * and ?; the default is all matrices and 1x1 convolutions of
        # encoder and decoder blocks. Norms, biases, embeddings, depthwise kernels and output heads outside are never
        # masked.
        include: tuple[str, ...] = BLOCKS
        exclude: tuple[str, ...] = ()
        frontends: bool = False  # mask the front-ends' convolutions and matrices too
        target_density: Share = 0.5  # share of the masked parameters that stay
        min_density: Share = 0.0  # no tensor keeps a smaller share than this
        # Length of the phase in which the mask acts, of epochs as long as the first; null, or as many as the run has:
        # the whole run.
        epochs: Positive | None = None
        steps: Count | None = None  # the same in steps, in place of `epochs`
        finish: Literal["dense", "sparse"] = "sparse"  # then: free all weights, or keep the zeros

        @pydantic.model_validator(mode="after")
        def _check_density(self):
            if self.target_density == 0 and self.min_density == 0:
                raise ValueError("target_density 0 keeps no weight; expected a share above 0, or a min_density above 0")
            return self

    def __init__(self, config: Any):
        self.config = config
        self.params: dict[str, nn.Parameter] = {}
        self.mask: dict[str, Tensor] = {}
        self.phase = DENSE
        self.step = 0
        self.flips = 0.0  # share of the mask that flipped in the last epoch
        self.flipped: dict[str, int] = {}  # the same as counts, by name
        self._previous = PackedMasks({})  # of the epoch's start, during the search
        self._found = PackedMasks({})  # the last one of the search, after a dense finish
        self._has_begun = False
        self._ends_now = False  # the phase ended in the epoch that is going on
        self._has_just_ended = False  # it did in the last one
        self.swap = Swap()

    # What the trainer calls.

    def attach(
        self, model: nn.Module, total_steps: int, steps_per_epoch: int, seed: int, num_epochs: float = math.inf
    ) -> None:
        """Choose the parameters of `model` (not wrapped in DDP) and start the mask phase.

        Comes before a checkpoint is loaded. A phase longer than the run is cut to it, with a warning.
        Args: steps_per_epoch, of the first epoch; num_epochs, of the run.
        Raises: ConfigError where patterns name nothing.
        """
        config = self.config
        self.params = choose_parameters(model, self.included(model), config.exclude, config.frontends)
        self.total_steps, self.steps_per_epoch, self.seed = total_steps, steps_per_epoch, seed
        self.num_steps = self.length(num_epochs)
        self.phase = SEARCH
        with torch.no_grad():
            self.mask = {name: fold(torch.ones_like(p, dtype=torch.bool)) for name, p in self.params.items()}
            self.start(model)
        self._has_begun = False

    def length(self, num_epochs: float) -> int:
        """Steps of the mask phase, of a run of so many epochs."""
        config, total = self.config, self.total_steps
        key, asked, most = ("steps", config.steps, total) if config.steps else ("epochs", config.epochs, num_epochs)
        if asked and asked > most:
            LOGGER.warning(
                "sparse.%s: %g is longer than the run, %g: the mask phase lasts as long as it.", key, asked, most
            )  # fmt: skip
        if not asked or asked >= most:
            return total
        return config.steps or min(max(round(config.epochs * self.steps_per_epoch), 1), total)

    def prepare(self, batches: Iterable[Any], loss_fn: Callable[[Any], Tensor]) -> None:
        """See `num_prepare_batches` batches before step 0; `loss_fn(batch)` gives the loss of the unwrapped model."""

    def before_forward(self, step: int) -> None:
        """Put the effective weights in place of theta; once a step, before the first micro-batch."""
        self.step = step
        if self.phase == SEARCH:
            with torch.no_grad():
                if not self._has_begun:
                    self.begin()
                    self._previous = PackedMasks(self.masks())
                    self._has_begun = True
                self.show(step)

    def after_backward(self, step: int) -> None:
        """Put theta back and turn dL/dw~ in `.grad` into dL/dtheta; unscaled, all-reduced gradients are expected."""
        with torch.no_grad():
            self.swap.restore(self.params)
            if self.phase == SEARCH:
                self.read_gradients(step)
            elif self.phase == SPARSE:
                mask_gradients(self.params, self.mask)

    def after_step(self, step: int, optimizer: Optimizer | None) -> None:
        """Update the method's own state after the optimiser's step; ends the phase after its last step."""
        with torch.no_grad():
            if self.phase == SEARCH:
                self.update(step, optimizer)
                if self.phase == SEARCH and step + 1 >= self.num_steps:
                    self.finish(optimizer)
            elif self.phase == SPARSE and not keeps_zeros(optimizer):
                mask_weights(self.params, self.mask)

    def end_epoch(self, epoch: int, optimizer: Optimizer | None) -> None:
        """Count the flips of the epoch, of that in which the phase ended too; a method may end its phase on them."""
        if self.phase == SEARCH:
            with torch.no_grad():
                masks = self.masks()
                self.count_flips(masks)
                self.judge_epoch(epoch, optimizer)
                if self.phase == SEARCH:
                    self._previous = PackedMasks(masks)
        elif not self._ends_now:
            self.flips, self.flipped = 0.0, {}
        self._has_just_ended, self._ends_now = self._ends_now, False

    def count_flips(self, masks: dict[str, Tensor]) -> None:
        """Compare masks with those at the epoch's start."""
        self.flipped = {n: count_true(masks[n] != self._previous.unpack(n, masks[n])) for n in self._previous.bits}
        self.flips = sum(self.flipped.values()) / max(sum(m.numel() for m in masks.values()), 1)

    def finish(self, optimizer: Optimizer | None) -> None:
        """End the phase: masked weights become exactly zero, with their moments; then `config.finish` says what is free."""
        with torch.no_grad():
            self.before_finish()
            self.mask = dict(self.masks())
            self.release()
            mask_weights(self.params, self.mask)
            mask_moments(optimizer, self.params, self.mask)
            self.count_flips(self.mask)
        self._ends_now = True
        self._previous = PackedMasks({})
        self.settle(DENSE if self.config.finish == "dense" else SPARSE)
        LOGGER.info(
            "The mask phase of %s ends after step %d at density %.4f; from here the model is %s.",
            self.config.type, self.step + 1, self.density(), self.phase,
        )  # fmt: skip

    def settle(self, phase: str) -> None:
        """What follows the search begins; of a mask that acts no more its bits are enough."""
        self.phase = phase
        if phase == DENSE:
            self._found, self.mask = PackedMasks(self.mask), {}

    def masks(self) -> dict[str, Tensor]:
        """Name -> bool tensor, True where a weight stays: the mask now, or after the phase the one that it found."""
        return self.mask or {name: self._found.unpack(name, self.params[name]) for name in self._found.bits}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the parameters hold the effective weights: for evaluation, averages and export."""
        if self.phase != SEARCH or self.swap.theta or not self._has_begun:
            yield
            return
        with torch.no_grad():
            self.show(self.step, is_training=False)
        try:
            yield
        finally:
            self.swap.restore(self.params)

    def mask_logits(self) -> dict[str, Tensor]:
        """The logits of a method that learns some, by parameter, while it searches."""
        return {}

    def stats(self) -> dict[str, float]:
        """Plain numbers for the log: density and the last epoch's flips, overall, by block and by type of module.

        After a dense finish `density` is 1 and `found_density` what the mask had; by block and type, and with its
        flips, it comes in the epoch in which the phase ended.
        """
        if not self.params:
            return {}
        masks = self.masks()
        kept, sizes = count_masks(masks)
        flips = {"flips": self.flips, **shares_by_part("flips", self.flipped, sizes)}
        density = sum(kept.values()) / max(sum(sizes.values()), 1)
        if self.phase == DENSE:
            numbers = {"density": 1.0, "found_density": density, "is_searching": 0.0}
            return numbers | (flips | shares_by_part("found_density", kept, sizes) if self._has_just_ended else {})
        numbers = {"density": density, "is_searching": float(self.phase == SEARCH)}
        return numbers | flips | shares_by_part("density", kept, sizes)

    def density(self) -> float:
        """Share of the chosen parameters that the mask keeps."""
        masks = self.masks()
        return sum(count_true(m) for m in masks.values()) / max(sum(m.numel() for m in masks.values()), 1)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, as tensors and plain values."""
        masks = self.masks()
        return {
            "type": self.config.type,
            "phase": self.phase,
            "step": self.step,
            "flips": self.flips,
            "flipped": dict(self.flipped),
            "has_begun": self._has_begun,
            "ends_now": self._ends_now,
            "has_just_ended": self._has_just_ended,
            "mask": dict(self.mask if self.phase == SEARCH else masks),
            "previous": {name: self._previous.unpack(name, masks[name]) for name in self._previous.bits},
            "search": self.search_state() if self.phase == SEARCH else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; call after `attach` on the same model. Raises: TrainingError on another method's."""
        if state["type"] != self.config.type:
            raise TrainingError(
                f"The checkpoint was written by the sparse method {state['type']!r}, the configuration says "
                f"{self.config.type!r}; resume with the same method."
            )
        self.phase, self.step, self.flips = state["phase"], state["step"], state["flips"]
        self._has_begun = state["has_begun"]
        self.flipped = dict(state.get("flipped", {}))  # older checkpoints lack it and the next two
        self._ends_now, self._has_just_ended = state.get("ends_now", False), state.get("has_just_ended", False)
        self.mask = self.to_devices(state["mask"])
        if self.phase == SEARCH:
            self.load_search_state(state["search"])
            masks, previous = self.masks(), self.to_devices(state["previous"])
            # In parts only where the method's own masks are; those of units are whole in every process.
            previous = {name: mask if is_part(masks[name]) else whole(mask) for name, mask in previous.items()}
            self._previous = PackedMasks(previous)
        else:
            self.release()
            self.settle(self.phase)

    # What a method writes.

    def included(self, model: nn.Module) -> Sequence[str]:
        """Patterns of the names of what is masked."""
        return self.config.include

    def start(self, model: nn.Module) -> None:
        """Make the method's state; `self.params` is set, their values are not to be changed yet."""

    def begin(self) -> None:
        """Change theta at the start; called once in a run's life, before its first step and after `prepare`."""

    def show(self, step: int, is_training: bool = True) -> None:
        """Put effective weights in place by `self.swap`; a method that keeps theta itself masked has nothing to do."""

    def read_gradients(self, step: int) -> None:
        """Turn dL/dw~ into the gradients of theta and of the method's own state; theta is already back."""

    def update(self, step: int, optimizer: Optimizer | None) -> None:
        """Move the mask."""

    def judge_epoch(self, epoch: int, optimizer: Optimizer | None) -> None:
        """End the phase early where the method has a reason to."""

    def before_finish(self) -> None:
        """Change theta and the mask so that theta * mask is what the model goes on with."""

    def release(self) -> None:
        """Drop the memory of the search."""

    def search_state(self) -> dict[str, Any]:
        """The method's own part of `state_dict` during the search."""
        return {}

    def load_search_state(self, state: dict[str, Any]) -> None:
        """Counterpart of `search_state`."""

    def to_devices(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Copies of saved tensors on the devices of the parameters that they belong to. Raises: TrainingError."""
        unknown = sorted(set(tensors) - set(self.params))
        if unknown:
            raise TrainingError(f"The checkpoint masks {unknown[0]}, which this model does not mask.")
        return {name: fold(value.to(self.params[name].device, copy=True)) for name, value in tensors.items()}


class NoSparsity(SparseMethod):
    """The dense model, untouched."""

    works_on_parts = True

    @config
    class Config:
        """Nothing to set."""

        type: Literal["none"] = "none"

    def attach(
        self, model: nn.Module, total_steps: int, steps_per_epoch: int, seed: int, num_epochs: float = math.inf
    ) -> None:
        """Nothing is chosen."""
