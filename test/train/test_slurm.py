"""What is submitted to Slurm, seen by a stand-in for submitit; where submitit is installed, a job runs on this machine."""

import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest

from msrs.bin.train import main
from msrs.errors import ConfigError, DependencyError, TrainingError
from msrs.train.checkpoint import load
from msrs.train.slurm import SlurmJob, submit


class FailedJobError(RuntimeError):
    """As submitit's."""


class FailedSubmissionError(RuntimeError):
    """As submitit's."""


@pytest.fixture
def stand_in(monkeypatch):
    """Takes notes in place of submitit; `stand_in["fails"]` makes the job fail, `no srun` and `refused` what comes before."""
    notes = {}

    class AutoExecutor:
        def __init__(self, folder, cluster, **own):
            if "no srun" in notes:
                raise RuntimeError('Could not detect "srun", are you indeed on a slurm cluster?')
            notes.update(folder=folder, cluster=cluster, own=own)

        def update_parameters(self, **settings):
            if "slurm_colour" in settings:
                raise NameError("Unknown argument 'slurm_colour'")
            int(settings.get("slurm_mem_gb", 0))
            notes["settings"] = settings

        def submit(self, job):
            if "refused" in notes:
                raise notes["refused"]
            notes["job"] = job
            return self

        job_id = "7"
        paths = types.SimpleNamespace(folder=Path("logs"), stdout=Path("logs/7_0_log.out"))

        def results(self):
            if "fails" in notes:
                raise FailedJobError

    module = types.ModuleType("submitit")
    module.AutoExecutor = AutoExecutor
    errors = types.SimpleNamespace(FailedJobError=FailedJobError, UncompletedJobError=FailedJobError)
    errors.FailedSubmissionError = FailedSubmissionError
    environment = types.SimpleNamespace(export=lambda **settings: None)
    module.helpers = types.SimpleNamespace(TorchDistributedEnvironment=lambda: environment)
    module.core = types.SimpleNamespace(utils=errors)
    monkeypatch.setitem(sys.modules, "submitit", module)
    return notes


def words_of(tmp_path, config="train: {num_workers: 3}"):
    (tmp_path / "c.yaml").write_text(config, encoding="utf-8")
    names = {"config": tmp_path / "c.yaml", "train": "t", "dev": "d", "tokens": "k", "exp": tmp_path / "run"}
    return [word for name, value in names.items() for word in (f"--{name}", str(value))]


def test_a_job_has_the_machines_that_were_asked_for(stand_in, tmp_path):
    words = words_of(tmp_path)
    settings = "partition=gpu time=2880 comment='my run'"
    more = ["--cmd", "slurm", "--ngpu", "8", "--num-nodes", "4", "--slurm-args", settings]
    assert main([*words, *more]) == 0
    settings = stand_in["settings"]
    assert (settings["nodes"], settings["tasks_per_node"], settings["gpus_per_node"]) == (4, 8, 8)
    assert (settings["slurm_partition"], settings["slurm_time"]) == ("gpu", 2880)
    assert settings["slurm_comment"] == "my run"
    assert stand_in["cluster"] == "slurm"
    assert stand_in["job"].words == [*words, *more]
    assert stand_in["job"].folder == os.getcwd()


@pytest.mark.parametrize(("more", "num_cpus"), [([], 4), (["--slurm-args", "cpus-per-task=9"], 9)])
def test_a_process_has_a_cpu_for_each_worker(stand_in, tmp_path, more, num_cpus):
    """Also as one of the job's steps, which take the job's number over in some versions of Slurm and not in others."""
    assert main([*words_of(tmp_path), "--cmd", "slurm", *more]) == 0
    assert stand_in["settings"]["slurm_cpus_per_task"] == num_cpus
    assert f"--cpus-per-task={num_cpus}" in stand_in["settings"]["slurm_srun_args"]


def test_a_job_may_be_put_into_the_queue_again_and_asks_for_gpus_where_it_needs_some(stand_in, tmp_path):
    submit([], tmp_path, 2, 0, 1, [], "slurm")
    assert stand_in["settings"]["slurm_additional_parameters"] == {"requeue": True}
    assert "gpus_per_node" not in stand_in["settings"]


def test_a_wrong_configuration_is_told_before_the_job_waits_for_its_turn(stand_in, tmp_path, log):
    assert main([*words_of(tmp_path, "optim: {lrr: 1}"), "--cmd", "slurm"]) == 1
    assert "did you mean lr?" in log.text
    assert "job" not in stand_in


def test_a_job_without_a_limit_gets_a_day_and_not_submitits_five_minutes(stand_in, tmp_path):
    submit([], tmp_path, 1, 1, 1, [], "slurm")
    assert stand_in["settings"]["slurm_time"] == 24 * 60


def test_a_job_goes_on_after_more_than_submitits_three_limits(stand_in, tmp_path):
    submit([], tmp_path, 1, 1, 1, [], "slurm")
    assert stand_in["own"] == {"slurm_max_num_timeout": 1000}


@pytest.mark.parametrize(
    ("words", "told"),
    [(["gpu"], "KEY=VALUE"), (["colour=red"], "slurm_colour"), (["mem_gb=x"], "--slurm-args mem_gb=x")],
)
def test_settings_that_slurm_does_not_know_are_refused(stand_in, tmp_path, words, told):
    with pytest.raises(ConfigError, match=told):
        submit([], tmp_path, 1, 1, 1, words, "slurm")


def test_a_failed_job_is_a_failure_here(stand_in, tmp_path):
    stand_in["fails"] = True
    with pytest.raises(TrainingError, match="7_0_log.out"):
        submit([], tmp_path, 1, 1, 1, [], "slurm")


def test_a_machine_without_slurm_is_told(stand_in, tmp_path):
    stand_in["no srun"] = True
    with pytest.raises(DependencyError, match='"srun".*machine of the cluster'):
        submit([], tmp_path, 1, 1, 1, [], "slurm")


@pytest.mark.parametrize(
    "error",
    [
        FailedJobError("sbatch: error: invalid partition specified: nosuch"),
        FailedSubmissionError("sbatch: what it said about nosuch"),
        FileNotFoundError(2, "No such file or directory", "sbatch"),
    ],
)
def test_what_sbatch_refuses_is_told(stand_in, tmp_path, error):
    stand_in["refused"] = error
    with pytest.raises(
        ConfigError, match="--slurm-args partition=nosuch: sbatch did not take the job: .*(nosuch|'sbatch')"
    ):
        submit([], tmp_path, 1, 1, 1, ["partition=nosuch"], "slurm")


def test_training_does_not_die_of_the_signal_that_time_is_over(stand_in, tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -USR2 $$\necho went on > went_on\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    SlurmJob([], str(tmp_path))()
    assert (tmp_path / "went_on").exists()
    program.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    with pytest.raises(TrainingError, match="exit code 3"):
        SlurmJob([], str(tmp_path))()


def test_without_submitit_the_remedy_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(DependencyError, match=r"msrs\[slurm\]"):
        submit([], tmp_path, 1, 1, 1, [], "slurm")


@pytest.mark.skipif(
    not importlib.util.find_spec("submitit"), reason="submitit is not installed: pip install msrs[slurm]"
)
def test_two_processes_train_as_a_job(dumps, tmp_path, monkeypatch):
    folders = [str(dumps / name) for name in ("train.yaml", "train", "dev", "tokens")]
    words = [word for pair in zip(("--config", "--train", "--dev", "--tokens"), folders, strict=True) for word in pair]
    words += ["--exp", str(tmp_path / "run"), "--ngpu", "0", "--processes", "2", "--train-args", "train.max_epochs=1"]
    words += ["schedule.warmup_updates=1"]
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    submit(words, tmp_path / "run", 2, 0, 1, [], "local")
    assert load(tmp_path / "run/checkpoints/average.pt")["model"]
    assert "processes: 2" in (tmp_path / "run/train.log").read_text(encoding="utf-8")
    assert isinstance(SlurmJob(words, "."), SlurmJob)
