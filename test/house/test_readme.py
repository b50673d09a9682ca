"""What README.md claims: its table of parts is that of the registries, and what it names is there."""

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def load_tool():
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "tools/readme_tables.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_the_table_of_parts_is_current():
    assert load_tool().updated(README) == README, "run tools/readme_tables.py"


def test_a_registry_has_its_parts_in_the_table():
    table = load_tool().parts_table()
    assert "| encoder | `conformer` |" in table
    assert table.count("| sparse method |") == 1


def test_the_first_screen_has_both_commands():
    first_screen = "\n".join(README.splitlines()[:20])
    assert "egs/mini/run.sh" in first_screen
    assert "tools/run_tests.sh" in first_screen


def test_files_that_it_names_are_there():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    paths = re.findall(r"`((?:tools|utils|msrs|test)/[\w./-]+)`", README)
    assert [name for name in links + paths if not (ROOT / name).exists()] == []
