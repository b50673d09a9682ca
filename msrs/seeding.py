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


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch."""
    import torch  # here, so that a process that only draws keyed numbers starts in a fraction of the time

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
