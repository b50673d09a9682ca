"""How a density is shared out among tensors: uniform, Erdos-Renyi (ER), Erdos-Renyi-Kernel (ERK)."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

Distribution = Literal["erk", "er", "uniform"]


def share_density(shapes: Mapping[str, Sequence[int]], density: float, by: Distribution = "erk") -> dict[str, float]:
    """Density of each tensor so that together they hold `density` of all entries.

    ERK (Evci et al., ICML 2020): density_i = eps * sum(dims) / prod(dims); ER (Mocanu et al., 2018) takes only the
    two channel dimensions. eps is solved for; tensors that would pass 1 become dense, those with the largest first,
    and it is solved again.

    >>> shapes = {"a": (100, 50), "b": (50, 50), "c": (50, 10)}
    >>> {name: round(d, 6) for name, d in share_density(shapes, 0.2).items()}
    {'a': 0.154839, 'b': 0.206452, 'c': 0.619355}
    >>> {name: round(d, 6) for name, d in share_density(shapes, 0.5).items()}
    {'a': 0.42, 'b': 0.56, 'c': 1.0}
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    if by == "uniform":
        return dict.fromkeys(shapes, density)
    raw = {n: sum(s) / sizes[n] if by == "erk" else (s[0] + s[1]) / (s[0] * s[1]) for n, s in shapes.items()}
    dense: set[str] = set()
    while len(dense) < len(shapes):
        budget = sum(density * sizes[n] if n not in dense else -(1 - density) * sizes[n] for n in shapes)
        epsilon = budget / sum(raw[n] * sizes[n] for n in shapes if n not in dense)
        largest = max(raw[n] for n in shapes if n not in dense)
        if epsilon * largest <= 1:
            return {n: 1.0 if n in dense else epsilon * raw[n] for n in shapes}
        dense |= {n for n in shapes if raw[n] == largest}
    return dict.fromkeys(shapes, 1.0)


def count_kept(size: int, density: float, min_density: float = 0.0) -> int:
    """Entries that stay of `size`: all but floor((1 - density) * size), and at least ceil(min_density * size).

    >>> count_kept(10, 0.25), count_kept(10, 0.0, 0.01)
    (3, 1)
    """
    zeros = math.floor((1 - density) * size + 1e-9)  # the small number undoes 0.9999... of binary fractions
    return max(size - zeros, math.ceil(min_density * size - 1e-9))
