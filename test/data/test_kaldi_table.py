"""Single files of a data directory."""

import pytest

from msrs.data.kaldi_table import has_control, id_fault, is_pipe, read_table, values_of, write_table


@pytest.mark.parametrize(
    ("line", "value"),
    [("a b c", "b c"), ("a\tb  c ", "b  c"), ("a  \t b", "b"), ("a b\r", "b"), ("a b\u00a0c\u3000", "b\u00a0c\u3000")],
)
def test_a_line_is_a_key_and_the_rest(tmp_path, line, value):
    (tmp_path / "text").write_bytes(f"{line}\n".encode())
    faults = []
    assert values_of(read_table(tmp_path / "text", faults, "transcript")) == {"a": value}
    assert faults == []


def test_order_is_by_code_point(tmp_path):
    keys = ["A", "Z", "a", "z", "ä", "你", "\U0001f600"]
    write_table(tmp_path / "t", dict.fromkeys(reversed(keys), 1))
    faults = []
    assert list(read_table(tmp_path / "t", faults, "value")) == keys
    assert faults == []


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a\\b", "x" * 201, "a\x01b"])
def test_ids_that_cannot_name_a_file(name):
    assert id_fault(name)
    assert id_fault("s1-größe_你.好") is None


def test_pipes_and_control_characters():
    assert is_pipe("cat x |")
    assert is_pipe("|x")
    assert not is_pipe("a|b.mp4")
    assert has_control("a\tb")
    assert not has_control("می\u200cخواهم")  # Persian needs its joiners
