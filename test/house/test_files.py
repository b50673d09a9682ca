"""How files look: their size and names, what may stand in an `__init__.py`, a test file for each room."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "msrs").rglob("*.py"))
MOST_LINES = 400
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "base_utils"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_can_be_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_fit_a_screen(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in functions
        if node.end_lineno - node.lineno >= 60
    ]
    assert long == []


def test_names_say_what_is_inside():
    vague = [name_of(path) for path in MODULES if path.stem in VAGUE_NAMES or path.parent.name in VAGUE_NAMES]
    assert vague == []


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=name_of)
def test_init_holds_a_docstring_and_a_table_only(path):
    docstring, *rest = ast.parse(path.read_text(encoding="utf-8")).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    assert isinstance(docstring.value.value, str)
    others = [node for node in rest if not isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign)]
    assert others == []


def test_recipes_hold_what_a_recipe_holds():
    allowed = {"run.sh", "conf", "local", "README.md", "RESULTS.md", "results"}
    made = {"data", "dump", "exp", "downloads"}
    strange = [path for path in ROOT.glob("egs/*/*") if path.name not in allowed | made and path.name[0] != "."]
    links = [
        path for path in ROOT.glob("egs/**/*") if path.is_symlink() and not made & set(path.relative_to(ROOT).parts)
    ]
    assert strange + links == []


def test_every_room_has_tests():
    rooms = {path.parent.name for path in (ROOT / "msrs").glob("*/__init__.py")}
    assert sorted(room for room in rooms if not list((ROOT / "test" / room).glob("test_*.py"))) == []
