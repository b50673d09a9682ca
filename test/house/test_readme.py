"""What README.md and the other pages claim: the table of parts is that of the registries, and what they name is there."""

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest

from msrs import config
from msrs.train.options import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("egs/*/README.md"))]


def load_tool():
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "tools/readme_tables.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def recipe_of(page):
    """The recipe whose commands a page shows: its own, or mini."""
    return page.parent if (page.parent / "run.sh").exists() else ROOT / "egs/mini"


def anchors_of(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands_of(page):
    """Indented lines that call a recipe, joined where they go on, without comments."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split("  #")[0].split(" # ")[0] for line in re.findall(r"^    (\S*run\.sh .*)$", text, re.MULTILINE)]


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


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_files_that_a_page_names_are_there(page):
    paths = re.findall(r"`((?:tools|utils|msrs|test)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [name for name in paths if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_prose_keeps_to_the_width_of_code(page):
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    # Tables, code and pictures cannot be wrapped.
    assert [number for number, line in lines if len(line) > 120 and not line.startswith(("|", "    ", "!["))] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    lost = []
    for name, anchor in re.findall(r"\]\(([^)#:]*)#?([^)#:]*)\)", page.read_text(encoding="utf-8")):
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            lost.append(f"{name}#{anchor}")
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_that_are_shown_are_valid(page):
    text = page.read_text(encoding="utf-8")
    settings = [words.split() for words in re.findall(r'--train-args "([^"]*)"', text)]
    groups = re.findall(r"^    (sparse|noise|spec_augment): (\{.*\})$", text, re.MULTILINE)
    settings += [[f"{'' if key == 'sparse' else 'augment.'}{key}={value}"] for key, value in groups]
    for words in settings:
        config.load(TrainConfig, recipe_of(page) / "conf/train.yaml", words)


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=name_of)
def test_options_that_are_shown_are_those_of_the_recipe(page):
    shown = set(re.findall(r"--[a-z][\w-]*", " ".join(re.sub(r'"[^"]*"', "", line) for line in commands_of(page))))
    env = {"PATH": os.environ["PATH"]}
    done = subprocess.run([recipe_of(page) / "run.sh", "--help"], capture_output=True, text=True, check=True, env=env)
    assert shown - set(re.findall(r"--[a-z][\w-]*", done.stdout)) == set()
