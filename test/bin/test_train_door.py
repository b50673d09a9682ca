"""msrs-train: what cannot be is told before anything is written."""

import pytest

from msrs.bin.train import main
from msrs.errors import DataError, TrainingError

WORDS = ["--config", "c.yaml", "--train", "train", "--dev", "dev", "--tokens", "tokens", "--exp", "exp"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--ngpu -1", "--ngpu -1: expected 0 or more."),
        ("--processes 0", "--processes 0: expected 1 or more."),
        ("--num-nodes 0", "--num-nodes 0: expected 1 or more."),
        ("--processes 2 --ngpu 1", "--processes is for machines without GPUs"),
        ("--ngpu 0 --num-nodes 2", "needs --rendezvous HOST:PORT"),
        ("--ngpu 0 --num-nodes 2 --rendezvous nonsense", "--rendezvous nonsense: expected HOST:PORT"),
        ("--ngpu 99", "--ngpu 99 was given, but torch finds"),
    ],
)
def test_processes_that_cannot_be(words, told, tmp_path, monkeypatch, log):
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS, *words.split()]) == 1
    assert told in log.text
    assert not list(tmp_path.iterdir())


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run msrs-train with a training that does `work(exp)`."""
    exp = tmp_path / "exp"
    (exp / "checkpoints").mkdir(parents=True)
    (tmp_path / "c.yaml").write_text("{}")
    monkeypatch.chdir(tmp_path)

    def call(work):
        monkeypatch.setattr("msrs.train.experiment.train", lambda *_: work(exp))
        return main([*WORDS, "--ngpu", "0"]), exp

    return call


def test_the_curves_of_a_run_are_drawn_however_it_ends(run, log):
    def train(exp):
        (exp / "metrics.jsonl").write_text('{"kind": "train", "num_updates": 1, "loss": 2.0}\n')

    def fail(exp):
        train(exp)
        raise TrainingError("update 7: loss nan")

    for work, code in ((train, 0), (fail, 1)):
        assert run(work)[0] == code
        picture = run(work)[1] / "curves.png"
        assert picture.exists()
        picture.unlink()
    assert "update 7: loss nan" in log.text


@pytest.mark.parametrize("error", [DataError("resume_00000500.pt: the disk is full"), TrainingError("utterances a-11")])
def test_what_has_ended_a_run_is_told_and_not_that_its_picture_failed(run, log, monkeypatch, error):
    def fail(exp):
        (exp / "metrics.jsonl").write_text("{}")
        raise error

    def no_picture(*_):
        raise DataError("curves.png: the disk is full")

    monkeypatch.setattr("msrs.report.curves.draw_curves", no_picture)
    assert run(fail)[0] == 1
    errors = [record.getMessage() for record in log.records if record.levelname == "ERROR"]
    assert errors == [str(error)]
    assert [record.levelname for record in log.records if "curves.png" in record.getMessage()] == ["WARNING"]


def test_a_picture_that_fails_alone_is_a_failure(run, log, monkeypatch):
    def no_picture(*_):
        raise DataError("curves.png: the disk is full")

    monkeypatch.setattr("msrs.report.curves.draw_curves", no_picture)
    assert run(lambda exp: (exp / "metrics.jsonl").write_text("{}"))[0] == 1
    assert "curves.png: the disk is full" in log.text


def test_from_scratch_sets_the_run_aside_once_and_only_where_the_command_is_right(run, log, monkeypatch):
    seen = []
    words = [*WORDS, "--ngpu", "0", "--from-scratch"]
    exp = run(lambda exp: (exp / "checkpoints/average.pt").write_text("one"))[1]
    assert main([*words, "--train-args", "optim.lrr=1"]) == 1  # a slip of the pen moves nothing
    assert (exp / "checkpoints/average.pt").exists()
    monkeypatch.setattr("msrs.train.launch.launch", lambda words, *_: seen.append(words))
    assert main([*words, "--processes", "2"]) == 0
    assert "--from-scratch" not in seen[0]
    assert seen[0][: len(WORDS)] == WORDS
    assert (exp.with_name("exp.old1") / "checkpoints/average.pt").read_text() == "one"
    with pytest.raises(SystemExit):
        main([*words, "--init", "x"])


@pytest.mark.parametrize("others", [["--num-nodes", "2", "--rendezvous", "a:1"], {"RANK": "0", "WORLD_SIZE": "2"}])
def test_from_scratch_is_for_a_command_that_is_given_once(run, log, monkeypatch, others):
    exp = run(lambda exp: (exp / "checkpoints/average.pt").write_text("one"))[1]
    for name, value in others.items() if isinstance(others, dict) else ():
        monkeypatch.setenv(name, value)
    assert main([*WORDS, "--from-scratch", *(others if isinstance(others, list) else ())]) == 1
    assert "Rename exp by hand, and leave --from-scratch out" in log.text
    assert (exp / "checkpoints/average.pt").exists()
