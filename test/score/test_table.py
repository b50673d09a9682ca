from msrs.score.edit import Counts, align
from msrs.score.table import (
    confusion_table,
    count_cells,
    display_width,
    find_confusions,
    markdown_table,
    pad,
    speaker_table,
    text_table,
)


def test_columns_line_up_in_any_script():
    table = text_table(["word", "n"], [["你好", "1"], ["cafe\u0301", "22"], ["x", "333"]]).split("\n")
    assert [display_width(line) for line in table] == [9, 9, 9, 9, 9]
    assert table[2] == "你好    1"


def test_markdown_bars_are_escaped():
    rows = markdown_table(["exp", "Err"], [["a|b", "1.0"]]).split("\n")
    assert rows[2] == "| a\\|b | 1.0 |"
    assert {len(row) for row in rows} == {len(rows[0])}


def test_pad():
    assert pad("界", 4) == "界  "
    assert pad("界", 4, right=True) == "  界"


def test_cells_of_nothing():
    assert count_cells(Counts(1, inserted=2, wrong_sentences=1)) == [
        "1",
        "0",
        "- (0)",
        "- (0)",
        "- (0)",
        "- (2)",
        "-",
        "100.0 (1)",
    ]


def test_speakers_are_sorted():
    lines = speaker_table({"s2": Counts(1, 4, 4), "s1": Counts(2, 6, 3, 3, 0, 0, 1)}).split("\n")
    assert [line.split()[0] for line in lines[2:]] == ["s1", "s2"]
    assert "50.0 (3)" in lines[2]


def test_confusions_by_frequency_then_code_point():
    alignments = align(["b d", "b e", "c", "a c"], ["p d", "p", "c x", "c"], "words")
    assert find_confusions(alignments) == [("b", "p", 2), ("", "x", 1), ("a", "", 1), ("e", "", 1)]
    assert find_confusions(alignments, most=1) == [("b", "p", 2)]
    assert confusion_table([("", "x", 1)]).split("\n")[2].split() == ["*", "x", "1"]
