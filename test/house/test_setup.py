"""The package as it is declared: its commands exist, answer --help, and importing it brings no optional package."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import msrs

ROOT = Path(__file__).resolve().parents[2]
SETUP = (ROOT / "setup.py").read_text(encoding="utf-8")
COMMANDS = re.findall(r'^    "([a-z-]+)",$', SETUP.partition("COMMANDS = (")[2].partition(")")[0], re.MULTILINE)


def test_commands_were_found():
    assert "train" in COMMANDS
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_answers_help(command, capsys):
    door = importlib.import_module(f"msrs.bin.{command.replace('-', '_')}")
    with pytest.raises(SystemExit) as stopped:
        door.main(["--help"])
    assert stopped.value.code == 0
    assert f"msrs-{command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_an_example_that_it_takes(command, monkeypatch):
    door = importlib.import_module(f"msrs.bin.{command.replace('-', '_')}")
    parsers = []
    monkeypatch.setattr(door, "run_command", lambda parser, work, argv: parsers.append(parser) or 0)
    door.main([])
    name, *words = shlex.split(parsers[0].example)
    assert name == f"msrs-{command}"
    parsers[0].parse_args(words)
    assert parsers[0].description[0].isupper()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistyped_option_is_an_error(command, capsys):
    door = importlib.import_module(f"msrs.bin.{command.replace('-', '_')}")
    with pytest.raises(SystemExit) as stopped:
        door.main(["--no-such-option", "1"])
    assert stopped.value.code == 2


def test_each_door_is_a_command():
    doors = {path.stem.replace("_", "-") for path in (ROOT / "msrs/bin").glob("*.py")} - {"--init--"}
    assert doors == set(COMMANDS)


def test_importing_everything_brings_no_optional_package_and_starts_no_process():
    modules = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in ROOT.glob("msrs/**/*.py")
    ]
    modules = [name.removesuffix(".__init__") for name in modules]
    program = f"""
import importlib, sys
import torch  # whose CUDA build looks for its libraries by a process of its own
def forbid(event, arguments):
    if event in ("subprocess.Popen", "os.system", "os.posix_spawn", "socket.connect"):
        raise RuntimeError(f"importing does work: {{event}} {{arguments}}")
sys.addaudithook(forbid)
for name in {modules!r}:
    importlib.import_module(name)
optional = ("mediapipe", "tensorboard", "espeakng_loader", "torchaudio", "submitit", "wandb")
print([name for name in optional if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_changelog_knows_the_version():
    assert f"## [{msrs.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_assets_are_packaged():
    rooms = {path.parent.parent.name for path in ROOT.glob("msrs/*/assets/*")}
    assert all(f'"msrs.{room}": ["assets/*"]' in SETUP for room in rooms)
