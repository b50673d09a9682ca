"""Files are whole or absent, and a full disk is told as such."""

import errno

import pytest

from msrs.errors import DataError
from msrs.files import append_text, atomic_path, read_lines, remove_half_written, write_text
from msrs.stage_mark import StageMark


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "list"
    write_text(path, "old\n")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["list"]


def test_a_full_disk_is_told_with_the_file(tmp_path):
    with pytest.raises(DataError, match=r"list: the disk is full"), atomic_path(tmp_path / "list") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_where_a_line_is_added(tmp_path):
    (tmp_path / "list").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"list: the disk is full.*Free some space"):
        append_text(tmp_path / "list", "line\n")


def test_a_limit_of_the_size_of_files_is_told(tmp_path):
    with (
        pytest.raises(DataError, match=r"list: could not be written whole .*ulimit -f"),
        atomic_path(tmp_path / "list"),
    ):
        raise OSError(errno.EFBIG, "File too large")


def test_what_is_half_written_goes_and_nothing_else(tmp_path):
    for name in (".text.77.tmp", "a/.one.8.tmp.mp4", ".done.dump.json", "b.77.tmp"):
        write_text(tmp_path / name, "")
    remove_half_written(tmp_path)
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == [".done.dump.json", "b.77.tmp"]
    remove_half_written(tmp_path / "none")


def test_lines_end_at_newlines_alone(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("a b\r\nc\u2028d\n".encode())
    assert read_lines(path) == ["a b", "c\u2028d"]
    path.write_bytes(b"fine\n\xff\n")
    with pytest.raises(DataError, match=r"text:2: not UTF-8"):
        read_lines(path)


def test_a_mark_knows_what_changed(tmp_path):
    source = tmp_path / "input"
    source.write_text("1")
    mark = StageMark(tmp_path, "crop", [source], {"size": 96})
    assert mark.reason_to_run() == "not done before"
    mark.write()
    assert StageMark(tmp_path, "crop", [source], {"size": 96}).reason_to_run() is None
    assert "option size" in StageMark(tmp_path, "crop", [source], {"size": 88}).reason_to_run()
    source.write_text("2")
    assert str(source) in StageMark(tmp_path, "crop", [source], {"size": 96}).reason_to_run()
    mark.clear()
    assert mark.reason_to_run() == "not done before"


def test_a_name_that_is_taken_is_told(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match=r"file/list: cannot be written, .*choose another"):
        write_text(tmp_path / "file/list", "x")
    with pytest.raises(DataError, match=rf"{tmp_path}: cannot be written"):
        write_text(tmp_path, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_what_names_no_file_is_told(name):
    with pytest.raises(DataError, match="names no file"):
        write_text(name, "text")
