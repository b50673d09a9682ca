import pytest

from msrs.errors import DataError
from msrs.score.compare import compare_folders, compare_speakers, describe
from msrs.score.result import score, write_score
from msrs.score.significance import Comparison
from msrs.text.normalise import RULE_SETS

REFERENCES = {f"s{i % 3}-{i:02}": "bin blue at f two now" for i in range(30)}


def decode(folder, wrong, references=REFERENCES, rules="upper"):
    hypotheses = {u: text.replace("f", "s") if i < wrong else text for i, (u, text) in enumerate(references.items())}
    write_score(folder, score(references, hypotheses, RULE_SETS[rules]), {})
    return folder


def test_better(tmp_path):
    a, b = decode(tmp_path / "a", 20), decode(tmp_path / "b", 5)
    found = compare_folders(a, b)
    assert (found.num_utterances, found.rate_a, found.rate_b) == (30, pytest.approx(100 / 9), pytest.approx(100 / 36))
    assert found.interval[1] < 0
    assert found.p < 0.001
    assert describe(found, "A", "B").startswith("B makes 8.3 points fewer word errors than A (2.8 against 11.1 %")
    assert [line.split() for line in compare_speakers(a, b).split("\n")[2:]] == [
        ["s0", "10", "60", "11.7", "3.3"],
        ["s1", "10", "60", "11.7", "3.3"],
        ["s2", "10", "60", "10.0", "1.7"],
    ]


def test_equal(tmp_path):
    text = describe(compare_folders(decode(tmp_path / "a", 3), decode(tmp_path / "b", 3)), "A", "B")
    assert text.startswith("B makes as many word errors as A")
    assert text.endswith("p = 1.000, not significant at 0.05.")


def test_worse():
    text = describe(Comparison(9, 1.0, 3.0, (-1.0, 5.0), 0.2, 1.0, 0.317), "A", "B")
    assert "2.0 points more word errors" in text


def test_other_sets_are_refused(tmp_path):
    a = decode(tmp_path / "a", 3)
    with pytest.raises(DataError, match="differ in 1 references, first s0-00"):
        compare_folders(a, decode(tmp_path / "b", 3, REFERENCES | {"s0-00": "lay"}))
    with pytest.raises(DataError, match="different rules .upper, lower."):
        compare_folders(a, decode(tmp_path / "c", 3, rules="lower"))
    d = decode(tmp_path / "d", 3)
    (d / "hyp.trn").write_text("x (s0-00)\n", encoding="utf-8")
    with pytest.raises(DataError, match="hyp.trn and ref.trn list different utterances"):
        compare_folders(a, d)


def test_no_words_at_all(tmp_path):
    a, b = (decode(tmp_path / name, 0, {"s-1": "..."}) for name in "ab")
    with pytest.raises(DataError, match="no words"):
        compare_folders(a, b)
