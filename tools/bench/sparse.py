#!/usr/bin/env python3
"""What a sparse method costs a training step in time and memory, and what a narrower export saves.

tools/bench/sparse.py                                   # CPU, the size of the recipes
tools/bench/sparse.py --methods none "msrs*" "*then sparse" --steps 60
tools/bench/sparse.py --size 768 --num-blocks 12 --device cuda --steps 60
"""

import argparse
import copy
import fnmatch
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from msrs.command import CommandParser, run_command
from msrs.errors import ConfigError
from msrs.nets.conformer import Conformer
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.export import narrow
from msrs.sparse.units import find_units

MSRS = {"type": "msrs", "granularity": "weight", "strength": "quantile", "calibration_steps": 1}
# The phase ends after the first step, at a density of .5.
ENDED = {**MSRS, "steps": 1, "strength": 10.0, "phi_lr": 1.0, "min_density": 0.5}
METHODS: dict[str, dict[str, Any]] = {
    "none": {"type": "none"},
    "msrs": MSRS,
    "msrs, steered": {**MSRS, "strength": "steered"},
    "msrs, alternate": {**MSRS, "update": "alternate"},
    "msrs, 2:4": {**MSRS, "granularity": "2:4"},
    "msrs, neuron": {**MSRS, "granularity": "neuron"},
    "msrs, then dense": {**ENDED, "finish": "dense"},
    "msrs, then sparse": {**ENDED, "finish": "sparse"},
    "msrs, neuron, then dense": {**ENDED, "finish": "dense", "granularity": "neuron"},
    "msrs, neuron, then sparse": {**ENDED, "finish": "sparse", "granularity": "neuron"},
    "continuous": {"type": "continuous", "calibration_steps": 1},
    "static": {"type": "static"},
    "static, then sparse": {"type": "static", "steps": 1},
    "snip": {"type": "snip", "num_batches": 1},
    "grasp": {"type": "grasp", "num_batches": 1},
    "set": {"type": "set"},
    "rigl": {"type": "rigl", "interval": 10},
    "gmp": {"type": "gmp"},
    "granet": {"type": "granet"},
    "sr_ste": {"type": "sr_ste"},
}
GROUP = 5  # methods that take turns with a dense model of their own; more would fill the memory
WARM_UP_STEPS = 2
FRAMES = 75


class Net(nn.Module):
    """A Conformer over random features with a classifier on every frame."""

    def __init__(self, size: int, num_blocks: int):
        super().__init__()
        settings = Conformer.Config(
            num_blocks=num_blocks, size=size, num_heads=size // 64, feed_forward_size=4 * size, dropout=0.0
        )
        self.encoder = Conformer(settings, 64)
        self.output = nn.Linear(size, 30)

    def forward(self, features: Tensor) -> Tensor:
        """Args: features (B, T, 64). Returns: logits (B, T, 30)."""
        lengths = torch.full((len(features),), features.shape[1], device=features.device)
        return self.output(self.encoder(features, lengths))


def clock(device: str) -> float:
    """Seconds: processor time on the CPU, where other programs do not count; time on the wall for a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def tensors_of(value: Any, seen: set[int]) -> Iterator[Tensor | np.ndarray]:
    """All tensors and arrays that an object reaches by its attributes and what they contain."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, (Tensor, np.ndarray)):
        yield value
        # A parameter's gradient is no attribute of its dictionary.
        values = [value.grad] if isinstance(value, nn.Parameter) and value.grad is not None else []
    elif isinstance(value, dict):
        values = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple)):
        values = list(value)
    else:
        values = [getattr(value, "__dict__", None)]
    for inner in values:
        yield from tensors_of(inner, seen)


def bytes_held(method: Any, model: nn.Module) -> float:
    """Bytes a masked weight that a method keeps alive besides the weights and gradients of the model as it is now.

    Of several tensors on the same memory it counts once; so one row that stands for a matrix counts as a row.
    """
    memory = {}
    for value in tensors_of(method, set()):
        if isinstance(value, Tensor):
            memory[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        else:
            memory[value.ctypes.data] = value.nbytes
    for parameter in model.parameters():
        for value in (parameter.data, parameter.grad):
            if value is not None:
                memory.pop(value.untyped_storage().data_ptr(), None)
    return sum(memory.values()) / max(sum(p.numel() for p in getattr(method, "params", {}).values()), 1)


class Contestant:
    """A model in training with a method; `step` makes one step in the trainer's order of calls."""

    def __init__(self, settings: dict[str, Any], base: Net, batch: tuple[Tensor, Tensor], device: str):
        self.device, (self.features, self.labels) = device, batch
        self.model = copy.deepcopy(base).to(device)
        cls = SPARSE_METHODS[settings["type"]]
        self.method = cls(cls.Config(**settings))
        self.method.attach(self.model, 1000, 200, 0)
        if self.method.num_prepare_batches:
            self.method.prepare([None] * self.method.num_prepare_batches, lambda _: self.loss())
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-3, fused=True)

    def loss(self) -> Tensor:
        """That of the batch."""
        return nn.functional.cross_entropy(self.model(self.features).flatten(0, 1), self.labels)

    def step(self, number: int, look: Callable[[], None] = lambda: None) -> tuple[float, float]:
        """Args: look, called where the method may hold the most. Returns: seconds of the step, and of the method in it."""
        start, own = clock(self.device), []

        def method_call(call: Callable[..., None], *values: Any) -> None:
            own.append(-time.process_time())  # on a GPU the whole step alone is timed, for it would have to wait here
            call(*values)
            own.append(time.process_time())
            look()

        method_call(self.method.before_forward, number)
        self.optimizer.zero_grad()
        self.loss().backward()
        method_call(self.method.after_backward, number)
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        method_call(self.method.after_step, number, self.optimizer)
        return clock(self.device) - start, sum(own)


def measure_group(options: argparse.Namespace, methods: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a method. All take turns with the dense model, so that a slow minute hits all alike."""
    torch.manual_seed(0)
    base = Net(options.size, options.num_blocks)
    features = torch.randn(options.batch, FRAMES, 64, device=options.device)
    labels = torch.randint(0, 30, (options.batch * FRAMES,), device=options.device)
    settings = {"": {"type": "none"}, **methods}
    runners = {name: Contestant(s, base, (features, labels), options.device) for name, s in settings.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    for number in range(options.steps + WARM_UP_STEPS):
        for name, runner in runners.items():
            times[name].append(runner.step(number))
    dense = [whole for whole, _ in times.pop("")[WARM_UP_STEPS:]]
    rows = []
    for name, values in times.items():
        whole, own = ([pair[i] for pair in values[WARM_UP_STEPS:]] for i in (0, 1))
        ratios = [one / other for one, other in zip(whole, dense, strict=True)]
        row = {"method": name, "ms": 1e3 * statistics.median(whole), "ratio": statistics.median(ratios)}
        quarter = len(ratios) // 4
        row["ratio_low"], row["ratio_high"] = sorted(ratios)[quarter], sorted(ratios)[-1 - quarter]
        if options.device == "cpu":
            row["own"] = statistics.median(own) / statistics.median(dense)
        rows.append(row | measure_memory(runners[name], options.steps + WARM_UP_STEPS))
    return rows


def measure_memory(runner: Contestant, number: int) -> dict[str, float]:
    """Bytes a masked weight between two steps and at most in one; on a GPU the megabytes of a whole step at its highest."""
    peaks: list[float] = []
    runner.optimizer.zero_grad()
    held = bytes_held(runner.method, runner.model)
    runner.step(number, lambda: peaks.append(bytes_held(runner.method, runner.model)))
    result = {"bytes_held": held, "bytes_in_step": max(held, *peaks)}
    if runner.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        runner.step(number + 1)
        result["step_megabytes"] = (torch.cuda.max_memory_allocated() - before) / 2**20
    return result


@torch.no_grad()
def measure_export(options: argparse.Namespace, share: float) -> dict[str, float]:
    """Size and speed of a model that keeps a share of its units, masked and then physically narrower."""
    torch.manual_seed(0)
    masked = Net(options.size, options.num_blocks).to(options.device).eval()
    for group in find_units(masked):
        kept = (torch.randperm(group.count) < round(share * group.count)).repeat_interleave(group.width)
        masked.get_parameter(group.outgoing).mul_(kept.to(options.device))
    narrower = copy.deepcopy(masked)
    narrow(narrower)
    features = torch.randn(1, FRAMES, 64, device=options.device)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(options.steps):
        for model, values in zip((masked, narrower), seconds, strict=True):
            start = clock(options.device)
            model(features)
            values.append(clock(options.device) - start)
    before, after = (sum(p.numel() for p in model.parameters()) for model in (masked, narrower))
    return {
        "share_of_units": share,
        "share_of_parameters": after / before,
        "speed_up": statistics.median(seconds[0]) / statistics.median(seconds[1]),
        "largest_difference": float((masked(features) - narrower(features)).abs().max()),
    }


def work(options: argparse.Namespace) -> None:
    """Measure and print. Raises: ConfigError."""
    chosen = [name for name in METHODS if any(fnmatch.fnmatchcase(name, pattern) for pattern in options.methods)]
    if not chosen:
        raise ConfigError(f"--methods: no method is called so; there are: {'; '.join(METHODS)}.")
    print(f"{'method':26} {'ms':>7} {'ratio':>6}  {'quartiles':13} {'own':>6}  {'B held':>7} {'B in step':>9}")
    rows = []
    for first in range(0, len(chosen), GROUP):
        for row in measure_group(options, {name: METHODS[name] for name in chosen[first : first + GROUP]}):
            print("{method:26} {ms:7.1f} {ratio:6.3f}  {ratio_low:.3f} - {ratio_high:.3f} {own:6.3f}  "
                  "{bytes_held:7.2f} {bytes_in_step:9.2f}".format(**{"own": math.nan, **row}), flush=True)  # fmt: skip
            rows.append(row)
    exports = [measure_export(options, share) for share in (0.5, 0.25)]
    for export in exports:
        print(", ".join(f"{name} {value:.3g}" for name, value in export.items()))
    print(json.dumps({"device": options.device, "size": options.size, "methods": rows, "exports": exports}))


HELP = """Cost of sparse methods and gain of a narrower export.

Columns: ms, the median of whole training steps (forward, backward, clipping, AdamW, the method's calls), processor time on
the CPU and time on the wall on a GPU; ratio, the median of each step's ratio to the step of a dense model that was made
beside it in the same turn, and its quartiles; own (CPU), the time of the method's calls alone as a share of the dense step,
which noise of the machine blurs less; B held and B in step, bytes a masked weight of all tensors that the method keeps
besides the model's weights and gradients, between two steps and at most after one of its calls (effective weights or
gradients of logits beside the rest). Rows `then dense` and `then sparse` are of steps after the end of the mask phase."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    parser = CommandParser("tools/bench/sparse.py", HELP)
    parser.add_argument("--size", type=int, default=256, help="width of the Conformer, a multiple of 64")
    parser.add_argument("--num-blocks", type=int, default=6, help="its blocks")
    parser.add_argument("--batch", type=int, default=16, help=f"clips of {FRAMES} frames a step")
    parser.add_argument("--steps", type=int, default=20, help="steps measured, medians are printed")
    parser.add_argument("--methods", nargs="+", default=["*"], help="patterns of the rows' names; all by default")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where")
    return run_command(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
