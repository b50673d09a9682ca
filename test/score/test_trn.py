import pytest

from msrs.errors import DataError
from msrs.score.edit import align
from msrs.score.trn import format_alignment, format_alignments, read_trn, write_trn


def test_trn_reads_back(tmp_path):
    texts = {"s1-a": "BIN BLUE", "s1-b": "", "s2-c": "ÄÖ (UH)"}
    write_trn(tmp_path / "ref.trn", texts)
    assert (tmp_path / "ref.trn").read_bytes().decode() == "BIN BLUE (s1-a)\n(s1-b)\nÄÖ (UH) (s2-c)\n"
    assert read_trn(tmp_path / "ref.trn") == texts


@pytest.mark.parametrize(("text", "fault"), [("A B\n", ":1: expected"), ("A (x)\nB (x)\n", ":2: x is given twice")])
def test_faults(tmp_path, text, fault):
    (tmp_path / "hyp.trn").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=fault):
        read_trn(tmp_path / "hyp.trn")


def test_alignment_marks_errors():
    pairs = align(["bin blue at f now"], ["bin at at s again now"], "words")[0]
    assert format_alignment("s1-a", pairs, False).split("\n") == [
        "id: (s1-a)",
        "Scores: (#C #S #D #I) 3 2 0 1",
        "REF:  bin blue at * f     now",
        "HYP:  bin at   at s again now",
        "Eval:     S       I S",
    ]


def test_wide_words_stay_in_column():
    lines = format_alignment("s-a", align(["你好 x"], ["y x"], "words")[0], False).split("\n")
    assert lines[2:] == ["REF:  你好 x", "HYP:  y    x", "Eval: S"]


def test_only_errors_are_listed():
    pairs = align(["a b", "c", "d"], ["a b", "x", ""], "words")
    text = format_alignments(zip(["s-1", "s-2", "s-3"], pairs, strict=True), True)
    assert text.count("id: ") == 2
    assert "s-1" not in text
    assert "REF:  D\nHYP:  *\nEval: D" in text
    assert text.endswith("\n\n1 sentences without an error are left out.\n")
