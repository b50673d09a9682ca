import json

import pytest

from msrs.bin.score import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/text").write_text("s1-a bin blue\ns2-a lay red\ns2-b set\n", encoding="utf-8")
    (tmp_path / "decode").mkdir()
    (tmp_path / "decode/text").write_text("s2-a lay green\ns1-a BIN, BLUE\n", encoding="utf-8")
    return tmp_path


def test_score(folder, capsys, log):
    (folder / "search.yaml").write_text("beam_size: 10\nctc_weight: 0.1\n", encoding="utf-8")
    command = ["--ref", "data/text", "--hyp", "decode/text", "--out", "scored", "--options", "search.yaml"]
    assert main([*command, "--rules", "lower", "--command", "./run.sh --stage 5"]) == 0
    out = capsys.readouterr().out
    cells = "WER 3 5 60.0 (3) 20.0 (1) 20.0 (1) 0.0 (0) 40.0 [0.0, 100.0] 66.7 (2)"
    assert out.split("\n")[2].split() == cells.split()
    assert "s2         2    3" in out
    assert "1 utterances have no hypothesis and count as deleted, first s2-b" in log.text
    result = json.loads((folder / "scored/result.json").read_text(encoding="utf-8"))
    assert result["command"] == "./run.sh --stage 5"
    assert result["options"] == {"beam_size": 10, "ctc_weight": 0.1}
    assert result["rules"]["case"] == "lower"
    assert result["environment"]["packages"]["jiwer"]


def test_defaults(folder):
    (folder / "data/utt2spk").write_text("s1-a s1\ns2-a anna\ns2-b anna\n", encoding="utf-8")
    assert main(["--ref", "data/text", "--hyp", "decode/text"]) == 0
    result = json.loads((folder / "decode/result.json").read_text(encoding="utf-8"))
    assert sorted(result["speakers"]) == ["anna", "s1"]
    assert result["command"] == "msrs-score --ref data/text --hyp decode/text"
    assert (folder / "decode/ref.trn").read_text(encoding="utf-8").endswith("SET (anna-s2-b)\n")


def test_compare(folder, capsys):
    for name in ("a", "b"):
        main(["--ref", "data/text", "--hyp", "decode/text", "--out", name])
    capsys.readouterr()
    assert main(["--compare", "a", "b"]) == 0
    out = capsys.readouterr().out
    assert out.split("\n")[0].split() == ["speaker", "Snt", "Wrd", "A", "B"]
    assert "b makes as many word errors as a (40.0 against 40.0 %, 3 utterances" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ref", "data/text"], "needs --ref and --hyp, or --compare A B"),
        (["--ref", "data/text", "--hyp", "absent"], "absent: no such file; run the first part of stage 5"),
        (["--ref", "absent", "--hyp", "decode/text"], "absent: cannot be read"),
        (["--ref", "decode/text", "--hyp", "data/text"], "1 hypotheses have no reference, first s2-b"),
        (["--compare", "a", "b"], "a: no result.json; run stage 5"),
    ],
)
def test_faults_are_sentences(folder, arguments, message, log):
    assert main(arguments) == 1
    assert message in log.text
