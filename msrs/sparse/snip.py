"""SNIP and GraSP: one mask, chosen from gradients before the first step."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from msrs.config import config
from msrs.errors import TrainingError
from msrs.ranges import Count, Positive
from msrs.sparse.densities import Distribution, count_kept, share_density
from msrs.sparse.foresight import mean_gradients, quiet
from msrs.sparse.masked import MaskedMethod
from msrs.sparse.ranking import keep_largest, keep_largest_of_all


class Snip(MaskedMethod):
    """SNIP: keep the weights with the largest |theta * dL/dtheta| (Lee, Ajanthan, Torr, ICLR 2019).

    The paper scores one mini-batch after a variance-scaling initialisation and ranks globally. Here the gradient is
    the signed mean over `num_batches` (less noise), the initialisation is the model's own, and `distribution` may
    rank inside each tensor with ERK densities, as RigL's code does: a global rank empties query, key and the first
    block.
    """

    @config
    class Config(MaskedMethod.Config):
        """SNIP."""

        type: Literal["snip"] = "snip"
        num_batches: Count = 16  # seen before step 0
        distribution: Literal["global"] | Distribution = "global"  # one rank over all tensors, or a density for each

    def start(self, model: nn.Module) -> None:
        """Remember the model, to look at it in `prepare`."""
        self.model: nn.Module | None = model
        self.num_prepare_batches = self.config.num_batches
        self.prepared: dict[str, Tensor] = {}

    def prepare(self, batches: Iterable[Any], loss_fn: Callable[[Any], Tensor]) -> None:
        """Choose the mask."""
        with quiet(self.model):
            scores = self.scores(list(batches), loss_fn)
        self.prepared = self.choose(scores)
        self.model = None

    def scores(self, batches: list[Any], loss_fn: Callable[[Any], Tensor]) -> dict[str, Tensor]:
        """The larger, the better to keep."""
        gradients = mean_gradients(self.params, batches, loss_fn)
        return {name: (gradient * self.params[name].data).abs() for name, gradient in gradients.items()}

    def choose(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        """The mask of the best scores at the target density."""
        config = self.config
        if config.distribution == "global":
            total = sum(s.numel() for s in scores.values())
            return keep_largest_of_all(scores, count_kept(total, config.target_density), self.least())
        shapes = {name: tuple(s.shape) for name, s in scores.items()}
        shares = share_density(shapes, config.target_density, config.distribution)
        return {n: keep_largest(s, count_kept(s.numel(), shares[n], config.min_density)) for n, s in scores.items()}

    def first_mask(self) -> dict[str, Tensor]:
        """What `prepare` chose. Raises: TrainingError where it was not called."""
        if not self.prepared:
            raise TrainingError(f"sparse: {self.config.type} must see batches before step 0; call prepare().")
        prepared, self.prepared = self.prepared, {}
        return prepared


class Grasp(Snip):
    """GraSP: remove the weights whose removal hurts the gradient's flow least (Wang, Zhang, Grosse, ICLR 2020).

    Score S = -theta * Hg; the largest S go. The paper differentiates twice, at logits divided by 200, on
    class-balanced halves of a batch. Here Hg = (dL(theta + delta g) - dL(theta)) / delta with delta = `step_size` /
    |g| on the same batches, dropout and running statistics still: CTC and fused attention have no second derivative.
    """

    @config
    class Config(Snip.Config):
        """GraSP."""

        type: Literal["grasp"] = "grasp"
        step_size: Positive = 1e-3  # length of the finite step along the gradient

    def scores(self, batches: list[Any], loss_fn: Callable[[Any], Tensor]) -> dict[str, Tensor]:
        """theta * Hg."""
        first = mean_gradients(self.params, batches, loss_fn)
        norm = torch.sqrt(sum(g.double().square().sum().cpu() for g in first.values())).item()
        delta = self.config.step_size / max(norm, 1e-30)
        theta = {name: p.data.clone() for name, p in self.params.items()}
        with torch.no_grad():
            for name, p in self.params.items():
                p.add_(first[name].to(p.dtype), alpha=delta)
        second = mean_gradients(self.params, batches, loss_fn)
        with torch.no_grad():
            for name, p in self.params.items():
                p.copy_(theta[name])
        return {name: theta[name] * (second[name] - first[name]) / delta for name in theta}
