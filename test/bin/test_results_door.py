from msrs.bin.results import main
from msrs.bin.score import main as score


def test_page_and_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, text in (("text", "s1-a bin blue\n"), ("hyp", "s1-a bin red\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert score(["--ref", "text", "--hyp", "hyp", "--out", "exp/tag/decode_beam/test"]) == 0
    capsys.readouterr()
    assert main([]) == 0
    assert "tag  beam    test    1    2  50.0 (1)  50.0 (1)" in capsys.readouterr().out
    assert "| tag | beam   | test |" in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")


def test_a_damaged_result_is_told_and_the_others_are_written(tmp_path, monkeypatch, log):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("s1-a bin blue\n", encoding="utf-8")
    for tag in ("one", "two"):
        assert score(["--ref", "text", "--hyp", "text", "--out", f"exp/{tag}/decode_beam/test"]) == 0
    (tmp_path / "exp/one/decode_beam/test/result.json").write_text("{", encoding="utf-8")
    assert main([]) == 1
    assert "exp/one/decode_beam/test/result.json: not a result of msrs-score" in log.text
    assert "| two | beam   | test |" in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")


def test_nothing_scored(tmp_path, log):
    assert main(["--exp", str(tmp_path)]) == 1
    assert "no scored set" in log.text
