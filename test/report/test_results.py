import json
import re

import pytest

from msrs.errors import DataError, StageError
from msrs.report.results import MARKS, fill_page, find_results, format_results, format_tables
from msrs.score.result import score, write_score
from msrs.text.normalise import RULE_SETS

ENVIRONMENT = {
    "msrs": "0.1.0",
    "git": "abc-dirty",
    "python": "3.11.7",
    "system": "Linux",
    "packages": {"torch": "2.13"},
}


@pytest.fixture
def exp(tmp_path):
    """Three scored sets, written in no particular order and dated by hand."""
    sets = {"b/decode_beam/test": ("bin red", "2025-03-01"), "a/decode_greedy/test": ("bin blue", "2025-01-01")}
    for name, (text, date) in (sets | {"a/decode_greedy/dev": ("", "2025-02-01")}).items():
        folder = tmp_path / "exp" / name
        scored = score({"s1-a": "bin blue"}, {"s1-a": text}, RULE_SETS["upper"])
        record = {"command": f"./run.sh --tag {name[0]}", "environment": ENVIRONMENT, "options": {"beam_size": 10}}
        write_score(folder, scored, record)
        path = folder / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"date": date}), encoding="utf-8")
    return tmp_path / "exp"


def test_rows_are_sorted(exp):
    labels = [row.labels for row in find_results(exp)[0]]
    assert labels == [("a", "greedy", "dev"), ("a", "greedy", "test"), ("b", "beam", "test")]


def test_page(exp):
    page = format_results(find_results(exp)[0])
    lines = page.split("\n")
    assert "- date: `2025-03-01`" in lines
    assert "- command: `./run.sh --tag b`" in lines
    assert "- git revision: `abc-dirty`" in lines
    wer = lines[lines.index("## WER") + 2 :][:5]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in wer]
    assert cells[0] == ["exp", "decode", "set", "Snt", "Wrd", "Corr", "Sub", "Del", "Ins", "Err [95 % CI]", "S.Err"]
    assert cells[2][3:] == ["1", "2", "0.0 (0)", "0.0 (0)", "100.0 (2)", "0.0 (0)", "100.0 [100.0, 100.0]", "100.0 (1)"]
    assert cells[3][3:] == ["1", "2", "100.0 (2)", "0.0 (0)", "0.0 (0)", "0.0 (0)", "0.0 [0.0, 0.0]", "0.0 (0)"]
    assert cells[4][:4] == ["b", "beam", "test", "1"]
    cer = lines[lines.index("## CER") + 2 :][:5]
    assert "Chr" in cer[0]
    assert cer[3].split("|")[5].strip() == "8"
    assert "# a/greedy/dev, a/greedy/test\n./run.sh --tag a\n# b/beam/test\n./run.sh --tag b\n" in page
    assert "| upper | beam_size=10 |" in page


def test_terminal(exp):
    lines = format_tables(find_results(exp)[0]).split("\n")
    assert lines[0] == "WER"
    assert lines[1].split()[:5] == ["exp", "decode", "set", "Snt", "Wrd"]
    assert lines[3].startswith("a    greedy  dev ")


def test_faults(exp, tmp_path):
    with pytest.raises(StageError, match="no scored set"):
        find_results(tmp_path / "nowhere")
    for path in exp.glob("*/*/*/result.json"):
        path.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"(?s)a/.*dev/result.json: not a result of msrs-score.*b/.*test/result.json"):
        find_results(exp)


def test_a_damaged_result_costs_no_other(exp):
    whole, _ = find_results(exp)
    path = exp / "a/decode_greedy/test/result.json"
    path.write_bytes(path.read_bytes()[:100])
    rows, faults = find_results(exp)
    assert rows == [whole[0], whole[2]]
    assert len(faults) == 1
    assert re.search(
        "greedy/test/result.json: not a result of msrs-score .*; run msrs-score again, or delete", faults[0]
    )


def test_the_table_of_a_hand_written_page_is_renewed(exp, tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"# GRID\n\n{MARKS[0]}\nold\n{MARKS[1]}\n\nThe end.\n", encoding="utf-8")
    rows, _ = find_results(exp)
    fill_page(rows, page)
    first = page.read_text(encoding="utf-8")
    assert first.startswith(f"# GRID\n\n{MARKS[0]}\n| exp")
    assert first.endswith(f"{MARKS[1]}\n\nThe end.\n")
    assert "old" not in first
    fill_page(rows, page)
    assert page.read_text(encoding="utf-8") == first
    page.write_text("no marks\n", encoding="utf-8")
    with pytest.raises(DataError, match="are missing; put them"):
        fill_page(rows, page)
