"""Several training processes out of one command, by the machinery behind torchrun."""

import logging
import os
import re
import sys
import uuid
from collections.abc import Sequence

from msrs.errors import ConfigError, TrainingError
from msrs.train.distributed import OWN_LAUNCH


def launch(words: Sequence[str], num_processes: int, num_nodes: int, rendezvous: str | None) -> None:
    """Run `msrs-train WORDS` in `num_processes` processes here, joined with those of the other machines.

    Every machine has to call it alike; `rendezvous` is HOST:PORT of one of them. When one process fails the others
    are ended. Raises: ConfigError without a rendezvous for several machines, or one that is no HOST:PORT; TrainingError
    where they do not find each other, or with what the first failing process said.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if num_nodes > 1 and not rendezvous:
        raise ConfigError(
            f"--num-nodes {num_nodes} needs --rendezvous HOST:PORT, the same on every machine: one of them, and a free "
            f"port of it. (--cmd slurm starts all machines by itself.)"
        )
    if rendezvous and not re.fullmatch(r".+:\d{1,5}", rendezvous):
        raise ConfigError(f"--rendezvous {rendezvous}: expected HOST:PORT, such as node1:29500.")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # its tables of tracebacks; told below
    os.environ[OWN_LAUNCH] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // num_processes)))
    settings = LaunchConfig(
        min_nodes=num_nodes,
        max_nodes=num_nodes,
        nproc_per_node=num_processes,
        run_id="msrs" if num_nodes > 1 else uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=rendezvous or "localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(settings, sys.executable)("-m", "msrs.bin.train", *words)
    except ChildFailedError as error:
        raise TrainingError(_told(error)) from None
    except RendezvousError:
        raise TrainingError(
            f"--rendezvous {rendezvous}: the {num_nodes} machines did not find each other there. The command has to be "
            f"given on each of them, with the name and a free port of one of them, which the others can reach."
        ) from None
    except SignalException:
        raise KeyboardInterrupt from None


def _told(error) -> str:
    # A process that loses another may abort within the same second: what gave a reason comes before what did not.
    for rank, failure in sorted(error.failures.items()):
        told = failure.error_file_data.get("message")
        if isinstance(told, dict):
            return told["message"] if rank == 0 else f"process {rank}: {told['message']}"
    rank, failure = error.get_first_failure()
    if failure.exitcode < 0:
        return (
            f"process {rank} was ended by signal {failure.signal_name()}; SIGKILL often means that memory ran out. The "
            f"others were stopped; the same command goes on from the last checkpoint."
        )
    return f"process {rank} failed with exit code {failure.exitcode}; its reason stands above. The others were stopped."
