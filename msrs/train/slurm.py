"""A training run as a job of a Slurm cluster, by submitit."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from msrs.errors import ConfigError, DependencyError, TrainingError
from msrs.log import LOGGER

MINUTES = 24 * 60  # where time=MINUTES is not given; the job is put into the queue again when they are over
MOST_RESTARTS = 1000


class SlurmJob:
    """What runs on the cluster, a process a GPU: `msrs-train WORDS`. A job that is cut off goes on from where it was."""

    def __init__(self, words: Sequence[str], folder: str):
        self.words, self.folder = list(words), folder

    def __call__(self) -> None:
        """Train as the process that Slurm's variables say. Raises: TrainingError where that fails."""
        import submitit

        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        command = [sys.executable, "-m", "msrs.bin.train", *self.words, "--cmd", "local"]
        if code := subprocess.call(command, cwd=self.folder):
            raise TrainingError(f"msrs-train ended with exit code {code}; its reason stands above.")

    def checkpoint(self):
        """What goes into the queue when time is over or another job takes the machines."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def submit(
    words: Sequence[str], exp: Path, num_tasks: int, ngpu: int, num_nodes: int, slurm_args: Sequence[str], cluster: str
) -> None:
    """Have `num_tasks` processes a machine run `msrs-train WORDS`, with `ngpu` GPUs a machine, and wait for the end.

    Args: exp, whose `slurm/` takes scripts and logs; slurm_args, KEY=VALUE such as partition=gpu time=2880 (minutes);
    cluster, `slurm`, or what else submitit knows. Raises: DependencyError, ConfigError; TrainingError where the job
    fails.
    """
    try:
        import submitit
    except ImportError:
        raise DependencyError("--cmd slurm needs submitit; run: pip install msrs[slurm]") from None
    executor = submitit.AutoExecutor(folder=exp / "slurm" / "%j", cluster=cluster)
    settings = {"slurm_time": MINUTES} | {f"slurm_{key}": value for key, value in map(_parsed, slurm_args)}
    try:
        executor.update_parameters(
            name=f"msrs-{exp.name}",
            nodes=num_nodes,
            tasks_per_node=num_tasks,
            gpus_per_node=ngpu,
            timeout_min=MINUTES,
            stderr_to_stdout=True,
            slurm_srun_args=["--kill-on-bad-exit=1"],  # one process that fails ends the others
            **settings,
        )
    except (NameError, TypeError) as error:
        raise ConfigError(f"--slurm-args: {error}") from None
    job = executor.submit(SlurmJob(words, os.getcwd()))
    LOGGER.info(
        "job %s: %d x %d processes, %d GPUs a machine; its logs are in %s. It goes on if this command, which waits for "
        "its end, is stopped.",
        job.job_id, num_nodes, num_tasks, ngpu, job.paths.folder,
    )  # fmt: skip
    try:
        job.results()
    except (submitit.core.utils.FailedJobError, submitit.core.utils.UncompletedJobError):
        raise TrainingError(f"job {job.job_id} has failed; the reason stands in {job.paths.stdout}.") from None


def _parsed(word: str) -> tuple[str, int | str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise ConfigError(f"--slurm-args: {word} is not KEY=VALUE, such as partition=gpu.")
    return key.replace("-", "_"), int(value) if value.isdigit() else value
