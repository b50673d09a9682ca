"""Keyed randomness: a draw depends on what it is for, never on the order in which workers come to it."""

import hashlib
import random

import numpy as np


def keyed_seed(*key: object) -> int:
    """A 63-bit seed from a key such as (seed, epoch, utt_id); the same on every machine and process.

    >>> keyed_seed(1, 2, "a") == keyed_seed(1, 2, "a") != keyed_seed(1, 2, "b")
    True
    """
    text = "\x1f".join(map(str, key)).encode("utf-8")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def keyed_rng(*key: object) -> np.random.Generator:
    """A numpy generator seeded by `keyed_seed(*key)`."""
    return np.random.default_rng(keyed_seed(*key))


def keyed_uniforms(keys: np.ndarray, *key: object) -> np.ndarray:
    """A number from [0, 1) for each of many keys at once: as if drawn by a generator of (`key`, its own key), only faster.

    Args: keys (N,) uint64, such as the `keyed_seed` of each utterance. Returns: (N,) float64. Source: the mixing function
    of Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (variant 13 of D. Stafford).
    """
    mixed = np.asarray(keys, dtype=np.uint64) ^ np.uint64(keyed_seed(*key))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch."""
    import torch  # here, so that a process that only draws keyed numbers starts in a fraction of the time

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed if -(2**63) <= seed < 2**64 else keyed_seed(seed))  # beyond it torch knows none
