import json

import pytest

from msrs.errors import DataError, StageError
from msrs.score.edit import Counts
from msrs.score.result import read_counts, read_result, score, write_score
from msrs.text.normalise import RULE_SETS

REFERENCES = {"s1-b": "bin blue at f", "s1-a": "Lay red, now.", "s2-a": "place", "s2-b": "..."}
HYPOTHESES = {"s1-a": "lay red now", "s1-b": "bin blue at s soon", "s2-b": ""}


@pytest.fixture
def scored():
    return score(REFERENCES, HYPOTHESES, RULE_SETS["upper"])


def test_counts(scored):
    assert scored.utt_ids == ["s1-a", "s1-b", "s2-a", "s2-b"]
    assert scored.references == ["LAY RED NOW", "BIN BLUE AT F", "PLACE", ""]
    assert scored.total("words") == Counts(4, 8, correct=6, substituted=1, deleted=1, inserted=1, wrong_sentences=2)
    assert scored.total("characters").units == 11 + 13 + 5
    assert (scored.missing, scored.empty) == (["s2-a"], ["s2-b"])
    assert scored.by_speaker() == {"s1": Counts(2, 7, 6, 1, 0, 1, 1), "s2": Counts(2, 1, 0, 0, 1, 0, 1)}
    low, high = scored.interval("words")
    assert 0 <= low < scored.total("words").rate < high


def test_rules_count():
    assert score({"a": "Yes!"}, {"a": "yes"}, RULE_SETS["lower"]).total("words").errors == 0
    assert score({"a": "Yes!"}, {"a": "yes"}, RULE_SETS["verbatim"]).total("words").errors == 1


def test_unknown_units_are_errors():
    assert score({"a": "yes"}, {"a": "yes⁇"}, RULE_SETS["upper"]).total("words").errors == 1
    assert score({"a": "yes"}, {"a": "yes ⁇"}, RULE_SETS["upper"]).total("words").inserted == 1


def test_ids_must_fit():
    with pytest.raises(DataError, match="1 hypotheses have no reference, first s9-x"):
        score(REFERENCES, HYPOTHESES | {"s9-x": "a"}, RULE_SETS["upper"])
    with pytest.raises(DataError, match="3 utterances have no speaker in utt2spk, first s1-b"):
        score(REFERENCES, HYPOTHESES, RULE_SETS["upper"], {"s1-a": "s1"})
    with pytest.raises(DataError, match="no utterance"):
        score({}, {}, RULE_SETS["upper"])


def test_files(scored, tmp_path):
    write_score(tmp_path, scored, {"command": "msrs-score", "environment": {}, "options": {"beam_size": 10}})
    assert (tmp_path / "ref.trn").read_text(encoding="utf-8") == (
        "LAY RED NOW (s1-a)\nBIN BLUE AT F (s1-b)\nPLACE (s2-a)\n(s2-b)\n"
    )
    assert (tmp_path / "hyp.trn").read_text(encoding="utf-8").split("\n")[2] == "(s2-a)"
    aligned = (tmp_path / "alignment.txt").read_text(encoding="utf-8")
    assert "REF:  bin blue at * F\nHYP:  bin blue at S SOON\nEval:             I S" in aligned
    result = read_result(tmp_path)
    assert read_counts(result["words"]) == scored.total("words")
    assert read_counts(result["speakers"]["s2"]) == Counts(2, 1, 0, 0, 1, 0, 1)
    assert result["words"]["rate"] == pytest.approx(37.5)
    assert result["options"] == {"beam_size": 10}
    assert result["rules"]["name"] == "upper"
    assert result["confusions"] == [["", "S", 1], ["F", "SOON", 1], ["PLACE", "", 1]]
    assert (result["missing"], result["empty_references"]) == (["s2-a"], ["s2-b"])


def test_same_input_same_files(scored, tmp_path):
    for name in ("one", "two"):
        write_score(tmp_path / name, scored, {}, seed=3)
    for name in ("ref.trn", "hyp.trn", "alignment.txt"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    one, two = (json.loads((tmp_path / name / "result.json").read_text(encoding="utf-8")) for name in ("one", "two"))
    assert one | {"date": ""} == two | {"date": ""}


def test_names_in_trn_are_unique(tmp_path):
    clash = score({"s1-a": "x", "a": "y"}, {}, RULE_SETS["upper"], {"s1-a": "s1", "a": "s1"})
    with pytest.raises(DataError, match="s1-a: two utterances"):
        write_score(tmp_path, clash, {})
    assert list(tmp_path.iterdir()) == []


def test_results_that_are_not(tmp_path):
    with pytest.raises(StageError, match="no result.json; run stage 5"):
        read_result(tmp_path)
    for text in ("{", "[]", '{"words": {}}'):
        (tmp_path / "result.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match="not a result of msrs-score"):
            read_result(tmp_path)


@pytest.mark.parametrize("change", [{"environment": None}, {"environment": {"packages": 1}}, {"options": 1}, {"rules": "x"},
                                    {"words": {"interval": [1]}}, {"characters": {"interval": 3}}])  # fmt: skip
def test_results_that_lack_something_are_not_taken(tmp_path, change):
    result = write_score(tmp_path, score({"s1-a": "x"}, {"s1-a": "x"}, RULE_SETS["upper"]), {})
    assert read_result(tmp_path)["words"]["interval"] == list(result["words"]["interval"])
    for key, value in change.items():
        result[key] = result[key] | value if key in ("words", "characters") else value
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(DataError, match="not a result of msrs-score"):
        read_result(tmp_path)
