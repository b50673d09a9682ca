"""A random mask drawn before training and never moved."""

from typing import Literal

from torch import Tensor

from msrs.config import config
from msrs.sparse.densities import Distribution, count_kept, share_density
from msrs.sparse.masked import MaskedMethod
from msrs.sparse.ranking import keep_largest, random_scores


class StaticRandom(MaskedMethod):
    """Static random sparsity: exact counts by ER or ERK densities, places at random.

    ER: Mocanu et al., Nature Communications 2018; ERK: Evci et al., "Rigging the Lottery", ICML 2020 (densities and
    exact counts as in its reference code).
    """

    works_on_parts = True

    @config
    class Config(MaskedMethod.Config):
        """Static random mask."""

        type: Literal["static"] = "static"
        distribution: Distribution = "erk"  # how target_density is shared out among the tensors

    def first_mask(self) -> dict[str, Tensor]:
        """Exact counts, random places."""
        return random_mask(self, self.config.target_density, self.config.distribution)


def random_mask(method: MaskedMethod, density: float, distribution: Distribution) -> dict[str, Tensor]:
    """A random mask for the parameters of `method`, with exact counts; depends on its seed and the tensors' names."""
    shares = share_density({name: tuple(p.shape) for name, p in method.params.items()}, density, distribution)
    return {
        name: keep_largest(
            random_scores(p, method.seed, "mask", name), count_kept(p.numel(), shares[name], method.config.min_density)
        )
        for name, p in method.params.items()
    }
