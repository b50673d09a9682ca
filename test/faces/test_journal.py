from msrs.faces.journal import Outcome, open_journal, read_journal
from msrs.faces.quality import Quality

GOOD = Quality("ü-1", 20, 25.0, 256, 240, 1.0, 0, 0, 1, 1, 120.0, 1.0, 0.2, 3.0, 0.0, 120.0, 0.0, 3.0)


def test_last_word_counts_and_all_comes_back(tmp_path):
    path = tmp_path / "j"
    first, second = Outcome("ü-1", "a", reason="no face"), Outcome("ü-1", "b", quality=GOOD)
    for outcome in (first, second):
        open_journal(path)(outcome)
    assert read_journal(path) == {"ü-1": second}


def test_foreign_and_cut_off_lines_are_passed_over(tmp_path):
    path = tmp_path / "j"
    path.write_text(
        '[1]\n{"recording": "b"}\n{"recording": "c", "digest": "", "quality": {"odd": 1}, "reason": ""}\n{"rec'
    )
    open_journal(path)(Outcome("a", "1", reason="x"))
    assert list(read_journal(path)) == ["a"]


def test_no_journal_is_an_empty_one(tmp_path):
    assert read_journal(tmp_path / "none") == {}
