"""local/data.sh as the driver's help says to type it: by hand, outside of the environment, from any folder."""

import subprocess

import pytest

PLAIN = {"PATH": "/usr/bin:/bin"}


def help_of(script) -> str:
    done = subprocess.run([script, "--help"], cwd="/", env=PLAIN, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("name", "option"), [("mini", "--size"), ("grid", "--grid-dir"), ("lrs3", "--lrs3-dir")])
def test_help_by_hand(copy_recipe, name, option):
    assert f"{option} " in help_of(copy_recipe(name).folder / "local/data.sh")


def test_help_of_a_new_recipe(copy_recipe):
    root = copy_recipe("mini").folder.parents[1]
    subprocess.run([root / "utils/new_recipe.sh", "own"], check=True, capture_output=True, env=PLAIN)
    assert "--list " in help_of(root / "egs/own/local/data.sh")
