"""MSRS: a mask learned with the weights during the first epochs, then frozen or let go."""

import math
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from msrs.config import config
from msrs.errors import ConfigError
from msrs.log import LOGGER
from msrs.ranges import Count, NotNegative, Positive, Share
from msrs.sparse.base import SparseMethod
from msrs.sparse.gates import PairGate, WeightGate, mask_slope, tell_half
from msrs.sparse.logits import Logits
from msrs.sparse.neuron import make_unit_gates
from msrs.sparse.schedules import Temperature
from msrs.sparse.selection import BLOCKS
from msrs.sparse.strength import Strength

SETTLE_BATCHES = 20


class Msrs(SparseMethod):
    """MSRS, "Training multimodal speech recognition models from scratch with sparse mask optimization".

    Fernandez-Lopez, Chen, Ma, Yin, Xiao, Petridis, Liu, Pantic, Interspeech 2024 (arXiv 2406.17614). The paper's, by
    its abstract and digests: a mask sigma(l phi) learned jointly with the weights from a random dense start, a
    penalty linear in the logits, a "two-temperature" optimisation, a mask nearly binary after a few epochs, then a
    return to dense or updates of the non-zeros only. *Our inference, for its full text could not be read and it has
    no public code*: what the two temperatures are (here l_f of the forward mask and l_b of the gradient), every value
    below, which modules are masked, the clamp, the start of phi, the rescaling, the optimiser of phi, how lambda is
    found, when the phase ends. `update: alternate` is the reading of the temperatures in which weights and logits take
    turns; it departs from that in one thing: in the logits' turns only the masked matrices stand still, while biases,
    norms, front-ends, embeddings and heads take a step by the gradient under the logits' mask. Where the phase ends the
    statistics of batch norms are estimated anew, over 20 batches without dropout.
    """

    has_constant_scale = False  # whether what the mask is divided by does not follow the temperature

    @config
    class Config(SparseMethod.Config):
        """MSRS; the defaults are our reading, chosen on development sets (egs/mini/README.md, egs/grid/README.md)."""

        type: Literal["msrs"] = "msrs"
        epochs: Positive | None = 2.0  # at most: the phase ends earlier once the mask stands still
        stop_flips: Share = 0.001  # it does where less of it flipped in an epoch, after one that flipped more; 0: never
        finish: Literal["dense", "sparse"] = "dense"
        min_density: Share = 0.01  # one lambda for all empties query, key and the first block first
        # What one logit decides about: a weight; two of each four inputs (density .5, no penalty); a whole unit
        # (feed-forward unit, head, convolution channel), whose outgoing weights then make up the mask.
        granularity: Literal["weight", "2:4", "neuron"] = "neuron"
        forward: Temperature = Temperature(curve="geometric", start=1.0, end=200.0)  # l_f: what the network sees
        # l_b: how far from 0 a logit still feels the loss; null: as `forward`, which is continuous sparsification.
        backward: Temperature | None = Temperature(curve="constant", start=5.0)
        # joint: weights and logits in one step; alternate: `alternate_steps` steps of the weights with the mask at
        # l_f, the logits still, then as many of the logits with the mask at l_b, the masked weights still; what is
        # not masked (biases, norms, front-ends, embeddings, heads) learns in every step.
        update: Literal["joint", "alternate"] = "joint"
        alternate_steps: Count = 1
        phi_start: float = 0.1  # all logits at step 0: a margin against the noise of the first gradients
        phi_clamp: Positive | None = 1.0  # logits stay within plus and minus this, so that they can return; null: free
        # Divide the mask by its value at phi_start, so that the model starts as the dense one. Without it every
        # masked matrix starts smaller, which by itself evens out gradients (an implicit LayerScale).
        rescale: bool = True
        phi_optimizer: Literal["adam", "sgd"] = "adam"  # the logits' own: float32, no decay, outside gradient clipping
        phi_travel: Positive = 2.0  # way of a logit that is pushed one way all along; its rate is this / its steps
        phi_lr: Positive | None = None  # the logits' rate itself, in place of phi_travel
        penalty: Literal["linear", "sigmoid"] = "linear"  # lambda * sum(phi), or lambda * sum(sigma(l_b phi))
        # lambda: a number (of each logit); quantile: of the logits' gradients over `calibration_steps`, by
        # target_density; steered: from there on raised while the density is above target_density, its sign turned while
        # it is below. With a number or a quantile the density is a result, not a setting.
        strength: NotNegative | Literal["quantile", "steered"] = "steered"
        calibration_steps: Count = 50  # steps with the logits still; a tenth of the phase at most
        steering_rate: Positive = 0.1  # lambda's rise a step, in calibrated lambdas, where the density is 1 too high
        strength_per_tensor: bool = False  # one quantile a tensor, not one of all logits

    def __init__(self, config: Any):
        super().__init__(config)
        is_hard = config.forward.curve == "straight_through"
        if is_hard and config.phi_start <= 0 and config.granularity != "2:4":
            raise ConfigError("sparse: a straight_through forward mask needs phi_start > 0, or the model starts empty.")
        backward = config.backward or config.forward
        if backward.curve == "straight_through" or (backward.curve == "constant" and backward.start == 0):
            raise ConfigError(
                "sparse.backward: a gradient needs a finite temperature above 0; straight_through is for forward."
            )
        if config.phi_start < 0 and config.rescale and not self.has_constant_scale:
            raise ConfigError(
                f"sparse.phi_start: {config.phi_start:g} is below 0, so the mask's value there, by which rescale divides, "
                "goes to 0 as l rises and the weights to infinity; set sparse.rescale: false, or phi_start to 0 or more."
            )
        if config.phi_clamp is not None and abs(config.phi_start) > config.phi_clamp:
            raise ConfigError(
                f"sparse.phi_start: {config.phi_start:g} is beyond phi_clamp, {config.phi_clamp:g}: all logits would be "
                "cut in the first step; take a smaller phi_start or a larger phi_clamp (null: none)."
            )
        if not is_hard:
            self.num_settle_batches = SETTLE_BATCHES
        self.logits: Logits | None = None
        self.has_moved = False

    @property
    def works_on_parts(self) -> bool:
        """All but 2:4; ranks and quantiles put a tensor together, one at a time, units the sums over their columns."""
        return self.config.granularity != "2:4"

    def start(self, model: nn.Module) -> None:
        """Make the logits and their optimiser; from them the mask is read."""
        config, self.mask = self.config, {}
        value = 0.0 if config.granularity == "2:4" else config.strength  # 2:4 has its density already
        calibration = min(config.calibration_steps, max(self.num_steps // 10, 1))
        strength = Strength(
            value, config.target_density, calibration, config.steering_rate, config.strength_per_tensor
        )  # fmt: skip
        if strength.num_steps >= self.num_steps and config.phi_start <= 0:
            raise ConfigError(
                "sparse.steps: a mask phase of 1 step ends before a logit has moved, for it goes to the calibration, and "
                f"logits that start at {config.phi_start:g} keep no weight; take a longer phase or a number for strength."
            )
        self.tell_if_still(strength.num_steps)
        if config.granularity == "2:4":
            tell_half(config.target_density)
        moving = (self.num_steps - strength.num_steps) / (2 if config.update == "alternate" else 1)
        self.logits = Logits(
            self.make_gates(model), strength, config.phi_optimizer, config.phi_lr or config.phi_travel / max(moving, 1),
            config.phi_clamp, config.min_density, config.phi_start,
        )  # fmt: skip

    def tell_if_still(self, num_calibration: int) -> None:
        """Tell where no logit moves in the phase: it ends with the calibration, or before the logits' turn."""
        length, rest = self.config.alternate_steps, range(num_calibration, self.num_steps)
        if not rest:
            cause = "finding lambda (sparse.strength) takes all of it; take a longer one (sparse.epochs, sparse.steps)"
        elif self.config.update == "alternate" and not any(step // length % 2 for step in rest):
            cause = f"that has no turn of the logits (sparse.alternate_steps: {length}); take fewer, or a longer phase"
        else:
            return
        LOGGER.warning(
            "the mask of %s never moves in a phase of %d steps: %s.", self.config.type, self.num_steps, cause
        )  # fmt: skip

    def make_gates(self, model: nn.Module) -> dict[str, WeightGate]:
        """One gate a masked parameter; of whole units the outgoing matrices alone are masked."""
        if self.config.granularity == "neuron":
            is_default = tuple(self.config.include) == BLOCKS
            gates = make_unit_gates(model, self.params, self.config.phi_start, is_default)
            self.params = {name: self.params[name] for name in gates}
            return gates
        kind = PairGate if self.config.granularity == "2:4" else WeightGate
        return {name: kind(name, parameter.data, self.config.phi_start) for name, parameter in self.params.items()}

    def temperatures(self, step: int) -> tuple[float, float]:
        """(l_f, l_b) at a step of the phase."""
        forward, backward = self.config.forward, self.config.backward or self.config.forward
        return tuple(t.value(step, self.num_steps, self.steps_per_epoch) for t in (forward, backward))

    def turn(self, step: int) -> str:
        """Who moves at a step: `both`, `weights` or `logits`."""
        if self.config.update == "joint":
            return "both"
        is_weights = self.logits.strength.is_calibrating or (step // self.config.alternate_steps) % 2 == 0
        return "weights" if is_weights else "logits"

    def seen(self, step: int, is_training: bool = True) -> tuple[float, float]:
        """(temperature, 1/c) of the mask that the network sees at a step; outside training it is always l_f."""
        l_f, l_b = self.temperatures(step)
        seen = l_b if is_training and self.turn(step) == "logits" else l_f
        return seen, self.scale(seen)

    def scale(self, temperature: float) -> float:
        """1/c with c = sigma(l phi_start); 1 where nothing is rescaled or the mask is hard."""
        if not self.config.rescale or math.isinf(temperature) or self.config.granularity == "2:4":
            return 1.0
        return 1.0 + math.exp(-temperature * self.config.phi_start)

    def show(self, step: int, is_training: bool = True) -> None:
        """theta aside, w~ in its place."""
        temperature, scale = self.seen(step, is_training)
        for name, gate in self.logits.gates.items():
            parameter = self.params[name]
            self.swap.put(name, parameter, gate.write(parameter.data, temperature, scale))

    def read_gradients(self, step: int) -> None:
        """dL/dphi and dL/dtheta from dL/dw~."""
        temperature, scale = self.seen(step)
        l_b = self.temperatures(step)[1]
        turn, strength = self.turn(step), self.logits.strength
        is_linear = self.config.penalty == "linear"
        for name, gate in self.logits.gates.items():
            parameter, gate.phi.grad = self.params[name], None  # what a skipped step may have left
            if parameter.grad is None:
                continue
            if turn != "weights" or strength.is_calibrating:
                gate.read(parameter.grad, parameter.data, l_b, scale, strength.current[name], is_linear)
            if turn == "logits":
                parameter.grad = None
            else:
                gate.mask_gradient(parameter.grad, temperature, scale)

    def update(self, step: int, optimizer: Optimizer | None) -> None:
        """Move the logits."""
        is_linear = self.config.penalty == "linear"
        self.logits.step(1.0 if is_linear else mask_slope(self.config.phi_start, self.temperatures(step)[1]))

    def judge_epoch(self, epoch: int, optimizer: Optimizer | None) -> None:
        """End the phase when the binary mask stands still, after it has moved."""
        if self.flips >= self.config.stop_flips:
            self.has_moved = True
        elif self.has_moved:
            LOGGER.info("Epoch %d: %.4f %% of the mask flipped.", epoch, 100 * self.flips)
            self.finish(optimizer)

    def masks(self) -> dict[str, Tensor]:
        """1[phi > 0] during the search."""
        if self.logits is None:
            return super().masks()
        return {name: gate.binary() for name, gate in self.logits.gates.items()}

    def mask_logits(self) -> dict[str, Tensor]:
        """phi, by parameter."""
        return {} if self.logits is None else {name: gate.phi.data for name, gate in self.logits.gates.items()}

    def before_finish(self) -> None:
        """Keep the minimum density and fold 1/c into theta, so that the network sees only the rounding of its mask."""
        self.logits.guard()
        scale = self.scale(self.temperatures(self.step)[0])
        for name in self.logits.gates:
            self.params[name].data.mul_(scale)

    def release(self) -> None:
        """Drop logits and their optimiser."""
        self.logits = None

    def stats(self) -> dict[str, float]:
        """Besides densities: lambda, temperatures, undecided logits, a histogram of phi."""
        result = super().stats()
        if self.logits is not None:
            temperatures = zip(("l_f", "l_b"), self.temperatures(self.step), strict=True)
            result |= {name: value for name, value in temperatures if math.isfinite(value)}
            result |= self.logits.stats()
        return result

    def search_state(self) -> dict[str, Any]:
        """Logits with their optimiser and strength."""
        return {"logits": self.logits.state_dict(), "has_moved": self.has_moved}

    def load_search_state(self, state: dict[str, Any]) -> None:
        """Counterpart of `search_state`."""
        self.mask = {}  # older checkpoints have one
        self.logits.load_state_dict(state["logits"])
        self.has_moved = state["has_moved"]
