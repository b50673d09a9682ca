"""Training of a model that does not fit one device: each process holds a part of every weight (`--shard`).

Weights, gradients, moments and running means of weights are cut along their first dimension (ZeRO stage 3, Rajbhandari
et al., SC 2020; Zhao et al., "PyTorch FSDP", VLDB 2023), by torch's fully_shard. A block of encoder or decoder is put
together for its forward and its backward pass and let go after each; all that stands outside blocks is one more unit,
there from the start of a forward pass to the end of the backward one. So all processes have to make the same passes
(`World.is_sharded`). Gradients are summed, as everywhere in this room: a pass is weighted by its share of the update.
Files hold whole tensors under the usual names: one that was written by a sharded run is like any other. So the memory
of the machine (not of its devices) has to hold the weights once a process at the start, and a checkpoint in the main
process. In bfloat16 autograd keeps a copy of each weight in that type from the forward pass to the backward one, unless
the blocks are computed again (`encoder.checkpoint`, `decoder.checkpoint`).
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from msrs.errors import ConfigError, DependencyError
from msrs.shards import is_part, part_like, whole
from msrs.sparse import SPARSE_METHODS
from msrs.train.distributed import World
from msrs.train.options import TrainConfig

# Older ones do not find the loss inside a dataclass: where a model has no blocks, gradients would not be summed at all.
OLDEST_TORCH = "2.13"


def check_shardable(options: TrainConfig, world: World) -> None:
    """Raises: ConfigError where the sparse method needs whole tensors; DependencyError where torch is too old."""
    if not world.is_sharded:
        return
    method = SPARSE_METHODS.build(options.sparse)
    if not method.works_on_parts:
        raise ConfigError(
            f"--shard: the sparse method {options.sparse.type}, as it is set, works on whole tensors, of which a process "
            f"here holds a part. Leave --shard out (model.encoder.checkpoint=true and a smaller batching.max_frames save "
            f"memory too), or take another method: none, msrs and continuous but for 2:4, static, "
            f"control_shrink, or control_mask with the mask that a run without --shard has found."
        )
    if torch.__version__ < OLDEST_TORCH:
        raise DependencyError(
            f"--shard needs torch {OLDEST_TORCH} or newer, this is {torch.__version__}; run: pip install -U torch"
        )


def shard(model: nn.Module, device: str, world: World) -> None:
    """Leave each process its part of the model's weights, on its device; buffers are there in every process.

    Args: model, the same in every process, in the memory of the machine. All processes have to call this.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(torch.device(device).type, (world.size,))
    for module in (*blocks_of(model), model):
        fully_shard(module, mesh=mesh)
        # torch would divide by the number of processes.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """What a stack called `blocks` in an encoder or decoder is made of: the units that are put together at once."""
    stacks = [m for name, m in model.named_modules() if name.endswith("coder.blocks") and isinstance(m, nn.ModuleList)]
    return [block for stack in stacks for block in stack]


@contextlib.contextmanager
def put_together(model: nn.Module, world: World) -> Iterator[None]:
    """Inside, parts of the model may be called that are no block, outside of the model's own forward pass.

    No gradients are to be made inside, no weights changed; the model has to have been trained a step before.
    """
    if not world.is_sharded:
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()  # what is put together is not read again, and the weights may change


def whole_state(state: Any, world: World) -> Any:
    """A nested dict or list of tensors with those put together that are held in parts; all processes have to call this.

    Returns: in the main process the same with whole tensors, in the machine's memory where they were parts; in the
    others None in their place.
    """
    if not world.is_sharded:
        return state
    if isinstance(state, dict):
        return {key: whole_state(value, world) for key, value in state.items()}
    if isinstance(state, list):
        return [whole_state(value, world) for value in state]
    if not is_part(state):
        return state
    full = whole(state.detach())
    return full.cpu() if world.is_main else None


def parts_of_state(state: dict, model: nn.Module, optimizer: Optimizer, world: World) -> dict:
    """What a process keeps of a resume checkpoint, whose tensors are whole: the counterpart of `whole_state`."""
    if not world.is_sharded:
        return state
    named = model.state_dict()
    numbered = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
    moments = {
        number: {key: _part(value, numbered[number]) for key, value in own.items()}
        for number, own in state["optimizer"]["state"].items()
    }
    result = state | {
        "model": _parts(state["model"], named),
        "optimizer": state["optimizer"] | {"state": moments},
        "sparse": _parts(state["sparse"], named),
    }
    if "ema" in state:
        result["ema"] = state["ema"] | {"mean": _parts(state["ema"]["mean"], named)}
    return result


def _parts(values: dict, like: dict[str, Tensor]) -> dict:
    """Parts of all that stands under the name of a parameter, however deep."""
    return {
        name: _part(value, like[name]) if name in like else _parts(value, like) if isinstance(value, dict) else value
        for name, value in values.items()
    }


def _part(value: Any, like: Tensor) -> Any:
    """Step counters and the like stay what they are: they have another shape than the weight."""
    return part_like(value, like) if isinstance(value, Tensor) and value.shape == like.shape else value


def copies(tensors: dict[str, Tensor]) -> list[Tensor]:
    """Those that every process holds as a whole, and which should be the same everywhere."""
    return [value for value in tensors.values() if not is_part(value)]
