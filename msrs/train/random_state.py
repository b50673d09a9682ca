"""Where the random numbers of a run stand, of all its processes."""

import torch

from msrs import seeding
from msrs.log import LOGGER
from msrs.train.distributed import World

State = dict[str, torch.Tensor]


def start_random(seed: int, world: World, *key: object) -> None:
    """Begin; every process draws other dropout. Args: key, what sets this beginning apart from that of the run."""
    own = (world.rank,) if world.rank else ()
    seeding.seed_everything(seeding.keyed_seed(seed, "loop", *own, *key))


def read_random(device: torch.device, world: World) -> list[State]:
    """The state of each process, by rank."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return world.gather(state)


def set_random(states: list[State], device: torch.device, world: World, seed: int, update: int) -> None:
    """Go on from what `read_random` gave; where there are now more or fewer processes, begin anew in each of them."""
    if len(states) != world.size:
        LOGGER.warning(
            "The run was stopped with %d processes and goes on with %d: dropout draws other numbers than it would have.",
            len(states), world.size,
        )  # fmt: skip
        start_random(seed, world, world.size, update)
        return
    torch.set_rng_state(states[world.rank]["cpu"])
    if device.type == "cuda" and "cuda" in states[world.rank]:
        torch.cuda.set_rng_state(states[world.rank]["cuda"], device)
