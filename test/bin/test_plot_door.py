import json

import pytest

from msrs.bin.plot import main


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two experiments below the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("dense_1", "dense_2"):
        (tmp_path / "exp" / name).mkdir(parents=True)
        lines = [{"kind": "dev", "num_updates": u, "loss": 9.0 / u, "wer": 50.0, "seconds": 2.0 * u} for u in (1, 2, 3)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / "exp" / name / "metrics.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def test_runs_and_groups(runs, log):
    assert main(["--out", "plots", "exp/dense_1", "both=exp/dense_1,exp/dense_2"]) == 0
    assert [path.name for path in (runs / "plots").iterdir()] == ["learning_curves.png"]
    assert "written: plots/learning_curves.png" in log.text


def test_one_picture(runs):
    assert main(["--out", "all.png", "exp/dense_1"]) == 0
    assert (runs / "all.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["exp/nothing"], "exp/nothing: there is no such experiment folder"),
        (["exp"], "exp: it has no metrics.jsonl"),
        (["exp/dense_1,exp/dense_2"], "a group needs a name"),
        (["a=exp/dense_1", "a=exp/dense_2"], "two runs are called 'a'"),
    ],
)
def test_faults(runs, log, words, message):
    assert main(["--out", "plots", *words]) == 1
    assert message in log.text
    assert not (runs / "plots").exists()


def test_pictures_of_another_kind_are_refused(runs, log):
    assert main(["--out", "all.jpg", "exp/dense_1"]) == 1
    assert "--out all.jpg: pictures are PNG" in log.text
    assert not (runs / "all.jpg").exists()


def test_out_is_needed(runs, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["exp/dense_1"])
    assert stopped.value.code == 2
    assert "--out" in capsys.readouterr().err


def test_help_shows_what_is_drawn(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "gradient_flow.png" in shown
    assert "[NAME=]FOLDER" in shown
