import importlib.util
from pathlib import Path

import pytest

from msrs.synth.plan import CorpusOptions


@pytest.fixture
def door(root):
    """The module egs/mini/local/data.py."""
    spec = importlib.util.spec_from_file_location("mini_data", root / "egs/mini/local/data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", (CorpusOptions(), 1)),
        (
            "--size tiny --num-train 2 --num_dev=1 --max-digits 4 --seed 7 --nj 3",
            (CorpusOptions(7, {"train": 2, "dev": 1, "test": 6, "heldout": 6}, 2, 4), 3),
        ),
    ],
)
def test_numbers_typed_win_over_the_size(door, monkeypatch, words, expected):
    asked = []
    monkeypatch.setattr(door, "make_corpus", lambda out, options, num_jobs: asked.append((out, options, num_jobs)))
    assert door.main(words.split()) == 0
    assert asked == [(Path("data"), *expected)]


def test_a_missing_package_is_told_with_its_command(door, tmp_path, monkeypatch, caplog):
    """In a folder where `espeakng_loader` is no package, as the workers see it too."""
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "espeakng_loader.py").write_text("raise ImportError('no espeakng_loader here')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(shadow)
    monkeypatch.setattr("msrs.log.LOGGER.propagate", True)
    assert door.main(["--size", "tiny", "--out", str(tmp_path / "data")]) == 1
    assert "pip install espeakng-loader" in caplog.text
    assert list((tmp_path / "data").rglob("*.mp4")) == []


@pytest.mark.parametrize("words", [["--nj", "0"], ["--num-train", "-3"], ["--size", "huge"], ["--sead", "1"]])
def test_wrong_words_are_refused(door, words, capsys):
    with pytest.raises(SystemExit) as stop:
        door.main(words)
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_too_many_sentences_are_refused_before_any_work(door, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("msrs.log.LOGGER.propagate", True)
    assert door.main(["--max-digits", "2", "--min-digits", "2", "--out", str(tmp_path / "data")]) == 1
    assert "--max-digits" in caplog.text
    assert not (tmp_path / "data").exists()
