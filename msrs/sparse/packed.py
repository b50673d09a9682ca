"""Masks put by at an eighth of a byte a weight, for the masks of later to be compared with."""

import math

import numpy as np
import torch
from torch import Tensor

from msrs.shards import is_part, own_part
from msrs.sparse.zeros import rows_in_memory


class PackedMasks:
    """Bool tensors by name as bits in the machine's memory; of one that is held in parts each process keeps its own."""

    def __init__(self, masks: dict[str, Tensor]):
        rows = {name: rows_in_memory(mask).cpu().numpy() for name, mask in masks.items()}
        self.bits = {name: (np.packbits(values), values.shape) for name, values in rows.items()}

    def unpack(self, name: str, like: Tensor) -> Tensor:
        """The mask of a name. Args: like, a tensor of its shape, on the device (and in the parts) that are wanted."""
        bits, shape = self.bits[name]
        values = torch.from_numpy(np.unpackbits(bits, count=math.prod(shape)).view(bool)).view(shape).to(like.device)
        if not is_part(like):
            return values.expand(like.shape)
        mask = torch.empty_like(like, dtype=torch.bool)
        own_part(mask).copy_(values)
        return mask
