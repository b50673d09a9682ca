"""Who may import whom: a module imports its own room and lower floors, never a neighbour, never up."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = (
    (
        "errors",
        "config",
        "ranges",
        "registry",
        "files",
        "stage_mark",
        "log",
        "command",
        "environment",
        "seeding",
        "lengths",
        "memory",
        "recompute",
        "batch_norm",
        "shards",
    ),
    ("data", "text", "optim"),
    ("faces", "frontends", "nets", "sparse", "score", "synth"),
    ("models", "search"),
    ("train", "report", "pack"),
    ("api",),  # doors too: what they open is also open from Python
    ("bin",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted((ROOT / "msrs").rglob("*.py"))
# Packages that a user may be without: imported inside the function that needs them.
OPTIONAL = {"mediapipe", "tensorboard", "espeakng_loader", "torchaudio", "ffmpeg", "submitit", "wandb"}
# What pip calls a package where that is not what Python calls it, or what brings it along.
DISTRIBUTIONS = {"yaml": "pyyaml", "PIL": "pillow", "espeakng_loader": "espeakng-loader", "ffmpeg": "ffmpeg-python"}
DISTRIBUTIONS["flatbuffers"] = "mediapipe"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("/__init__").replace("/", ".")


def imports_of(tree: ast.AST, at_top_level: bool = False) -> Iterator[tuple[int, str]]:
    """(line, module) of each import; at the top level means outside functions and outside `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield node.lineno, node.module
            # `from msrs import x` and `from msrs.data import ark` may name modules.
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif not (at_top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            yield from imports_of(node, at_top_level)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room_of(module: str) -> str | None:
    """The room of a module of msrs: its second word; None for other packages and for msrs itself."""
    words = module.split(".")
    return words[1] if words[0] == "msrs" and len(words) > 1 and words[1] in FLOOR_OF else None


def broken_rules(module: str, imports: list[tuple[int, str]]) -> list[str]:
    own = room_of(module)
    faults = []
    for line, name in imports:
        other = room_of(name)
        if other is None or other == own or own is None or FLOOR_OF[own] == FLOOR_OF[other] == 0:
            continue
        if FLOOR_OF[other] == FLOOR_OF[own]:
            faults.append(f"{module}:{line}: {name} is a neighbour on floor {FLOOR_OF[own]}; hand in what is needed")
        elif FLOOR_OF[other] > FLOOR_OF[own]:
            faults.append(f"{module}:{line}: {name} is on floor {FLOOR_OF[other]}, above {FLOOR_OF[own]}")
    return faults


def test_modules_were_found():
    assert len(MODULES) > 30


def test_each_module_has_a_floor():
    rooms = {name_of(path).split(".")[1] for path in MODULES if name_of(path) != "msrs"}
    assert rooms <= FLOOR_OF.keys()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_never_look_up_or_aside(path):
    assert broken_rules(name_of(path), list(imports_of(parse(path)))) == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_optional_packages_are_imported_where_they_are_needed(path):
    early = [
        (line, name) for line, name in imports_of(parse(path), at_top_level=True) if name.split(".")[0] in OPTIONAL
    ]
    assert early == []


def test_every_foreign_import_is_declared_in_setup():
    declared = (ROOT / "setup.py").read_text(encoding="utf-8").lower()
    foreign = {name.split(".")[0] for path in MODULES for _, name in imports_of(parse(path))}
    foreign -= sys.stdlib_module_names | {"msrs"}
    missing = sorted(name for name in foreign if f'"{DISTRIBUTIONS.get(name, name).lower()}' not in declared)
    assert missing == []


@pytest.mark.parametrize(
    ("module", "imported", "fault"),
    [
        ("msrs.data.ark", "msrs.nets.ctc", "above"),
        ("msrs.data.ark", "msrs.text.tokenizer", "neighbour"),
        ("msrs.errors", "msrs.data", "above"),
        ("msrs.nets.ctc", "msrs.data.ark", None),
        ("msrs.nets.ctc", "msrs.nets.attention", None),
        ("msrs.log", "msrs.environment", None),
        ("msrs.nets.ctc", "msrs.sparse", "neighbour"),
    ],
)
def test_the_rule_itself(module, imported, fault):
    faults = broken_rules(module, [(1, imported)])
    assert (fault in faults[0]) if fault else faults == []
