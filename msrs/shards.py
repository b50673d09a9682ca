"""Tensors of which each process holds a part, beside ordinary ones: torch's DTensor, cut along the first dimension.

All functions take either kind. Those that ask the other processes have to be called in all of them alike.
"""

from typing import Any

from torch import Tensor


def is_part(value: Any) -> bool:
    """Whether this process holds a part of the tensor only."""
    # Not by isinstance: importing torch.distributed.tensor takes a second, and most runs have no such tensor.
    return hasattr(value, "full_tensor")


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds, as an ordinary tensor that shares its memory; an ordinary tensor as it is."""
    return tensor.to_local() if is_part(tensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The tensor out of its parts, or of its processes' summands; asks them."""
    return tensor.full_tensor() if is_part(tensor) else tensor


def part_like(full: Tensor, like: Tensor) -> Tensor:
    """A copy of the part of a whole tensor that belongs to the process; where `like` is no part, the tensor itself.

    Args: full, of the shape of `like`, the same in every process; none of them is asked.
    """
    if not is_part(like) or is_part(full):
        return full
    from torch.distributed.tensor import DTensor

    mesh = like.device_mesh
    rows = -(-len(full) // mesh.size())  # as torch.chunk cuts: the last processes may hold fewer, or none
    own = full[mesh.get_local_rank() * rows :][:rows].to(like.device, copy=True).contiguous()
    return DTensor.from_local(own, mesh, like.placements, run_check=False, shape=full.shape, stride=full.stride())


def count_true(mask: Tensor) -> int:
    """True entries of a bool tensor over all its parts; asks the processes that hold them."""
    return int(whole(mask.sum()))
