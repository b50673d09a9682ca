import pytest

from msrs.bin.tokenize import main
from msrs.text.tokenizer import Tokenizer


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("a-1 one two\na-2 two’s three.\na-3 !\n", encoding="utf-8")
    (tmp_path / "dev").write_text("b-1 one ten\n", encoding="utf-8")
    return "text"


def test_folder_is_named_and_printed(text, capsys):
    assert main(["--text", text, "--type", "word"]) == 0
    assert main(["--text", text, "--type", "char", "--size", "9", "--out-root", "elsewhere"]) == 0
    assert main(["--text", text, "--type", "word", "--rules", "lower", "--out", "here"]) == 0
    assert capsys.readouterr().out.split("\n") == ["data/tokens_word", "elsewhere/tokens_char9", "here", ""]
    assert Tokenizer.load("data/tokens_word").decode([2, 3, 4, 5]).split() != []
    assert Tokenizer.load("here").rules.name == "lower"


def test_report(text, log):
    assert main(["--text", text, "--type", "word", "--check", "dev"]) == 0
    assert "1 texts are empty after normalisation, first a-3" in log.text
    assert "text: 4 units, 0.00 % unknown" in log.text
    assert "dev: 2 units, 50.00 % unknown: TEN (1)" in log.text


def test_second_run_passes_over_and_a_change_is_seen(text, log, tmp_path):
    command = ["--text", text, "--type", "word", "--check", "dev"]
    main(command)
    before = (tmp_path / "data/tokens_word/spm.model").stat().st_mtime_ns
    assert main(command) == 0
    assert "data/tokens_word is current; passing over" in log.text
    assert log.text.count("dev: 2 units, 50.00 % unknown") == 2
    assert (tmp_path / "data/tokens_word/spm.model").stat().st_mtime_ns == before
    (tmp_path / "text").write_text("a-1 one ten\n", encoding="utf-8")
    assert main(command) == 0
    assert "changed since: file text" in log.text
    assert Tokenizer.load("data/tokens_word").size == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "absent", "--type", "char"], "absent: no such file; run stage 0"),
        (["--text", "text", "--type", "bpe"], "bpe units need a size"),
        (["--text", "text", "--type", "bpe", "--size", "5"], "--size 5 is too small for bpe units of this text"),
        (["--text", "text", "--type", "char", "--rules", "absent.yaml"], "absent.yaml: neither a rule set"),
    ],
)
def test_faults_are_sentences(text, arguments, message, log):
    assert main(arguments) == 1
    assert message in log.text


def test_what_a_killed_run_left_half_written_goes(text, tmp_path):
    folder = tmp_path / "data/tokens_word"
    folder.mkdir(parents=True)
    (folder / ".spm.7.tmp.model").write_bytes(b"half")
    assert main(["--text", text, "--type", "word"]) == 0
    assert not (folder / ".spm.7.tmp.model").exists()
