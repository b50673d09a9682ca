"""What masks and gradients tell, by block: densities, flips, norms, dead entries, signal to noise over micro-batches."""

import torch
from torch import Tensor, nn

from msrs.shards import count_true, whole
from msrs.sparse.selection import kind_of, layer_of

TINY = 1e-8  # Adam's epsilon: entries below it move slower than the rest


def count_masks(masks: dict[str, Tensor]) -> tuple[dict[str, int], dict[str, int]]:
    """True entries and entries of each tensor."""
    return {n: count_true(mask) for n, mask in masks.items()}, {n: mask.numel() for n, mask in masks.items()}


def shares_by_part(what: str, counts: dict[str, int], sizes: dict[str, int]) -> dict[str, float]:
    """counts / sizes, by tensor, added up over blocks (`WHAT/block/NAME`) and types of module (`WHAT/type/NAME`).

    >>> shares_by_part("flips", {"encoder.blocks.0.out.weight": 1}, {"encoder.blocks.0.out.weight": 4})
    {'flips/block/encoder.blocks.0': 0.25, 'flips/type/out': 0.25}
    """
    result = {}
    for part, key_of in (("block", layer_of), ("type", kind_of)):
        for key, names in grouped(list(counts), key_of).items():
            result[f"{what}/{part}/{key}"] = sum(counts[n] for n in names) / sum(sizes[n] for n in names)
    return result


def grouped(names, key_of) -> dict[str, list[str]]:
    """Names by key, in order."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key_of(name), []).append(name)
    return groups


class GradientWatch:
    """Measures the gradients of one update before they are masked and clipped: those of the effective weights.

        watch = GradientWatch(model)
        for batch in micro_batches: loss(batch).backward(); watch.micro_batch()
        numbers = watch.collect()            # before method.after_backward

    Without `micro_batch` the numbers come without signal-to-noise ratios. It costs a copy of the gradients a
    micro-batch, so watch every hundredth update or so. Args: model; its tensors of two and more dimensions are
    watched.
    """

    def __init__(self, model: nn.Module):
        self.params = {name: p for name, p in model.named_parameters() if p.dim() >= 2 and p.requires_grad}
        self.before: dict[str, Tensor] = {}
        self.power: dict[str, Tensor] = {}
        self.count = 0

    @torch.no_grad()
    def micro_batch(self) -> None:
        """After each micro-batch's backward: what it added to the gradients."""
        self.count += 1
        for name, p in self.params.items():
            if p.grad is None:
                continue
            gradient = p.grad.float()
            added = gradient - self.before[name] if name in self.before else gradient
            self.power[name] = self.power.get(name, 0.0) + added.square().sum()
            self.before[name] = gradient.clone()

    @torch.no_grad()
    def collect(self) -> dict[str, float]:
        """The numbers, and a fresh start.

        Returns: `grad_norm/NAME` of each tensor and block; `grad_tiny/BLOCK`, share of entries below 1e-8;
        `grad_snr/NAME` of each tensor and block where two micro-batches or more were seen: |mean|^2 / mean |g_k - mean|^2.
        """
        squares, tiny, result = {}, {}, {}
        for name, p in self.params.items():
            if p.grad is not None:
                squares[name] = float(whole(p.grad.float().square().sum()))
                tiny[name] = count_true(p.grad.abs() < TINY)
        for name, square in squares.items():
            result[f"grad_norm/{name}"] = square**0.5
        for block, names in grouped(squares, layer_of).items():
            result[f"grad_norm/{block}"] = sum(squares[n] for n in names) ** 0.5
            result[f"grad_tiny/{block}"] = sum(tiny[n] for n in names) / sum(self.params[n].numel() for n in names)
        if self.count > 1:
            mean = {name: squares[name] / self.count**2 for name in self.power}
            noise = {
                name: max(float(whole(power)) / self.count - mean[name], 0.0) for name, power in self.power.items()
            }
            for name in mean:
                result[f"grad_snr/{name}"] = mean[name] / max(noise[name], 1e-30)
            for block, names in grouped(mean, layer_of).items():
                signal = sum(mean[name] for name in names)
                result[f"grad_snr/{block}"] = signal / max(sum(noise[name] for name in names), 1e-30)
        self.before, self.power, self.count = {}, {}, 0
        return result


def mask_overlap(first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, float]:
    """How alike two masks are: |A and B| / |A or B| by tensor, and `chance/NAME`, what random ones of their densities have.

    Of two random masks of density d it is d / (2 - d).
    """
    result = {}
    for name in first:
        a, b = first[name].double().mean(), second[name].double().mean()
        both = (first[name] & second[name]).double().mean()
        result[name] = float(both / (a + b - both).clamp_min(1e-30))
        result[f"chance/{name}"] = float(a * b / (a + b - a * b).clamp_min(1e-30))
    return result
