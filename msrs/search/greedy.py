"""The likeliest CTC path: one pass, no search, for a quick look during training."""

import torch
from torch import Tensor

from msrs.nets.ctc import CTCHead, best_path


@torch.inference_mode()
def ctc_greedy(head: CTCHead, memory: Tensor, memory_lengths: Tensor) -> list[list[int]]:
    """Token ids of each utterance. Args: memory (B, T, D), memory_lengths (B,) frames."""
    return best_path(head.log_probs(memory), memory_lengths)
