"""Marks of stages: what a stage made is told by what it read, wherever that lies."""

import json

import pytest

from msrs.files import write_text
from msrs.stage_mark import StageMark, content_digest


def make(folder, segments="a 0 1\n", **options):
    """A stage's output whose inputs lie in the same folder, and a list that names this folder."""
    write_text(folder / "text", "a BIN BLUE\n")
    write_text(folder / "segments", segments)
    write_text(folder / "crop.scp", f"a {folder}/a.mp4\n")
    inputs = [folder / name for name in ("text", "segments", "crop.scp")]
    StageMark(folder, "dump", inputs, {"layout": 1, **options}).write()
    return folder


def test_the_same_inputs_elsewhere_have_the_same_digest(tmp_path):
    one, two = make(tmp_path / "one"), make(tmp_path / "two/deeper")
    assert json.loads((one / ".done.dump.json").read_text()) != json.loads((two / ".done.dump.json").read_text())
    assert content_digest(one, "dump") == content_digest(two, "dump") is not None


def test_other_inputs_and_options_have_another(tmp_path):
    folders = [make(tmp_path / "one"), make(tmp_path / "two", "a 0 2\n"), make(tmp_path / "three", size=7)]
    assert len({content_digest(folder, "dump") for folder in folders}) == 3
    assert content_digest(folders[0], "dump", ["segments"]) == content_digest(folders[1], "dump", ["segments"])


@pytest.mark.parametrize("text", [None, "", "[1]", '{"file'])
def test_without_a_mark_there_is_none(tmp_path, text):
    if text is not None:
        write_text(tmp_path / ".done.dump.json", text)
    assert content_digest(tmp_path, "dump") is None
