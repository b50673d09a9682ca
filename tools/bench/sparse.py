#!/usr/bin/env python3
"""What a sparse method costs a training step, and what a narrower export saves: ratios against the dense model in one run.

tools/bench/sparse.py                                   # CPU, the size of the recipes
tools/bench/sparse.py --size 768 --num-blocks 12 --device cuda --steps 60
"""

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from msrs.command import CommandParser, run_command
from msrs.nets.conformer import Conformer
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.export import narrow
from msrs.sparse.units import find_units

METHODS = {
    "none": {"type": "none"},
    "msrs": {"type": "msrs", "calibration_steps": 1},
    "msrs, steered": {"type": "msrs", "calibration_steps": 1, "strength": "steered"},
    "msrs, 2:4": {"type": "msrs", "calibration_steps": 1, "granularity": "2:4"},
    "msrs, neuron": {"type": "msrs", "calibration_steps": 1, "granularity": "neuron"},
    "static": {"type": "static"},
    "rigl": {"type": "rigl"},
    "sr_ste": {"type": "sr_ste"},
}
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


def memory_of(step: Callable[[int], None]) -> float:
    """Megabytes that a step holds at its highest beyond what it found, its optimiser's moments included (the first)."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(0)
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def measure_steps(options: argparse.Namespace, megabytes: dict[str, float]) -> dict[str, list[float]]:
    """Seconds of each whole step, by method; the methods take turns, so that a slow minute hits all alike.

    On a GPU `megabytes` receives what each method's first step takes.
    """
    torch.manual_seed(0)
    base = Net(options.size, options.num_blocks)
    features = torch.randn(options.batch, FRAMES, 64, device=options.device)
    labels = torch.randint(0, 30, (options.batch * FRAMES,), device=options.device)
    steps: dict[str, Callable[[int], None]] = {}
    for name, settings in METHODS.items():
        model = copy.deepcopy(base).to(options.device)
        cls = SPARSE_METHODS[settings["type"]]
        method = cls(cls.Config(**settings))
        method.attach(model, 1000, 200, 0)
        steps[name] = make_step(
            model, method, torch.optim.AdamW(model.parameters(), 1e-3, fused=True), features, labels
        )
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    if options.device == "cuda":
        megabytes.update({name: memory_of(step) for name, step in steps.items()})
    for number in range(options.steps + WARM_UP_STEPS):
        for name, step in steps.items():
            start = clock(options.device)
            step(number)
            seconds[name].append(clock(options.device) - start)
    return {name: values[WARM_UP_STEPS:] for name, values in seconds.items()}


def make_step(model: nn.Module, method, optimizer, features: Tensor, labels: Tensor) -> Callable[[int], None]:
    """One training step with the method's calls in the trainer's order."""

    def step(number: int) -> None:
        method.before_forward(number)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(features).flatten(0, 1), labels).backward()
        method.after_backward(number)
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        method.after_step(number, optimizer)

    return step


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
    """Measure and print."""
    megabytes: dict[str, float] = {}
    seconds = measure_steps(options, megabytes)
    dense = statistics.median(seconds["none"])
    print(f"{'method':14} {'ms a step':>10} {'ratio':>6}  (lowest to highest)")
    for name, values in seconds.items():
        low, middle, high = (f(values) * 1e3 for f in (min, statistics.median, max))
        print(f"{name:14} {middle:10.1f} {middle / 1e3 / dense:6.3f}  ({low:.1f} to {high:.1f})")
    exports = [measure_export(options, share) for share in (0.5, 0.25)]
    for export in exports:
        print(", ".join(f"{name} {value:.3g}" for name, value in export.items()))
    ratios = {name: statistics.median(values) / dense for name, values in seconds.items()}
    shape = {"device": options.device, "size": options.size}
    print(json.dumps({**shape, "ratios": ratios, "step_megabytes": megabytes, "exports": exports}))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    parser = CommandParser("tools/bench/sparse.py", "Cost of sparse methods and gain of a narrower export.")
    parser.add_argument("--size", type=int, default=256, help="width of the Conformer, a multiple of 64")
    parser.add_argument("--num-blocks", type=int, default=6, help="its blocks")
    parser.add_argument("--batch", type=int, default=16, help=f"clips of {FRAMES} frames a step")
    parser.add_argument("--steps", type=int, default=20, help="steps measured, medians are printed")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where")
    return run_command(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
