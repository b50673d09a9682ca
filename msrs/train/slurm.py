"""A training run as a job of a Slurm cluster, by submitit."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from msrs.errors import ConfigError, DependencyError, TrainingError
from msrs.log import LOGGER

MINUTES = 24 * 60  # where time=MINUTES is not given; the job is put into the queue again when they are over
MOST_RESTARTS = 1000  # so often; submitit's own default is 3, and a long run needs more


class SlurmJob:
    """What runs on the cluster, a process a GPU: `msrs-train WORDS`. A job that is cut off goes on from where it was."""

    def __init__(self, words: Sequence[str], folder: str):
        self.words, self.folder = list(words), folder

    def __call__(self) -> None:
        """Train as the process that Slurm's variables say. Raises: TrainingError where that fails."""
        import submitit

        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        command = [sys.executable, "-m", "msrs.bin.train", *self.words, "--cmd", "local"]
        if code := subprocess.call(command, cwd=self.folder, preexec_fn=_ignore_time_out):
            raise TrainingError(f"msrs-train ended with exit code {code}; its reason stands above.")

    def checkpoint(self):
        """What goes into the queue when time is over or another job takes the machines."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def submit(
    words: Sequence[str],
    exp: Path,
    num_tasks: int,
    ngpu: int,
    num_nodes: int,
    slurm_args: Sequence[str],
    cluster: str,
    num_cpus: int = 1,
) -> None:
    """Have `num_tasks` processes a machine run `msrs-train WORDS`, with `ngpu` GPUs a machine, and wait for the end.

    Args: exp, whose `slurm/` takes scripts and logs; slurm_args, KEY=VALUE such as partition=gpu time=2880 (minutes);
    cluster, `slurm`, or what else submitit knows; num_cpus of a process, where slurm_args does not say. Raises:
    DependencyError, ConfigError; TrainingError where the job fails.
    """
    try:
        import submitit
    except ImportError:
        raise DependencyError("--cmd slurm needs submitit; run: pip install msrs[slurm]") from None
    errors = submitit.core.utils
    try:
        executor = submitit.AutoExecutor(
            folder=exp / "slurm" / "%j", cluster=cluster, slurm_max_num_timeout=MOST_RESTARTS
        )
    except RuntimeError as error:
        raise DependencyError(
            f"--cmd slurm: {error} Give the command on a machine of the cluster that has srun and sbatch (a login node), or "
            f"leave --cmd out to train here."
        ) from None
    try:
        executor.update_parameters(
            name=f"msrs-{exp.name}",
            nodes=num_nodes,
            tasks_per_node=num_tasks,
            timeout_min=MINUTES,
            stderr_to_stdout=True,
            **_settings(slurm_args, ngpu, num_cpus),
        )
    except (NameError, TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"--slurm-args {' '.join(slurm_args)}: {error}") from None
    try:
        job = executor.submit(SlurmJob(words, os.getcwd()))
    except (errors.FailedJobError, errors.FailedSubmissionError, FileNotFoundError) as error:
        raise ConfigError(
            f"--cmd slurm, --slurm-args {' '.join(slurm_args)}: sbatch did not take the job: {' '.join(str(error).split())}"
        ) from None
    LOGGER.info(
        "job %s: %d x %d processes, %d GPUs a machine; its logs are in %s. It goes on if this command, which waits for "
        "its end, is stopped.",
        job.job_id, num_nodes, num_tasks, ngpu, job.paths.folder,
    )  # fmt: skip
    try:
        job.results()
    except (errors.FailedJobError, errors.UncompletedJobError):
        raise TrainingError(f"job {job.job_id} has failed; the reason stands in {job.paths.stdout}.") from None


def _ignore_time_out() -> None:
    """Have msrs-train live through the signal that time is over, which Slurm sends to all processes of the job.

    submitit answers it in the first of them by putting the job into the queue again. If training ended by it in another,
    that one would fail, and the job with it, perhaps before it is in the queue.
    """
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _settings(slurm_args: Sequence[str], ngpu: int, num_cpus: int) -> dict[str, object]:
    """What Slurm is told of a job beside its size, as submitit calls it; what was typed wins."""
    settings: dict[str, object] = {"slurm_time": MINUTES, "slurm_cpus_per_task": num_cpus}
    settings |= {f"slurm_{key}": value for key, value in map(_parsed, slurm_args)}
    settings["slurm_srun_args"] = [
        "--kill-on-bad-exit=1",  # one process that fails ends the others
        f"--cpus-per-task={settings['slurm_cpus_per_task']}",  # Slurm 22.05 and later: not taken from sbatch
    ]
    settings["slurm_additional_parameters"] = {"requeue": True}  # some clusters forbid it where it is not asked for
    if ngpu:  # a cluster without GPUs may refuse to hear of them
        settings["gpus_per_node"] = ngpu
    return settings


def _parsed(word: str) -> tuple[str, int | str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise ConfigError(f"--slurm-args: {word} is not KEY=VALUE, such as partition=gpu.")
    value = "".join(shlex.split(value))  # without its quotes
    return key.replace("-", "_"), int(value) if value.isdigit() else value
