import pytest

from msrs.errors import DataError
from msrs.text.transcripts import read_transcripts, write_transcripts


def test_read(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("\ufeffb-2 two  words\r\na-1\tone\nc-3\nd-4 naïve\u2028line\n".encode())
    assert read_transcripts(path) == {"b-2": "two  words", "a-1": "one", "c-3": "", "d-4": "naïve\u2028line"}


def test_write_sorts_and_reads_back(tmp_path):
    texts = {"b-1": "β γ", "a-10": "", "a-1": "x"}
    write_transcripts(tmp_path / "text", texts)
    assert (tmp_path / "text").read_bytes() == "a-1 x\na-10\nb-1 β γ\n".encode()
    assert read_transcripts(tmp_path / "text") == texts


def test_faults_are_listed_with_their_lines(tmp_path):
    path = tmp_path / "text"
    path.write_text("a x\n\na y\n b z\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_transcripts(path)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{path}:2: an empty line")
    assert lines[1] == f"{path}:3: a is given twice, first in line 1."
    assert lines[2].startswith(f"{path}:4: starts with white space")


def test_long_lists_of_faults_are_cut(tmp_path):
    path = tmp_path / "text"
    path.write_text("a x\n" * 31, encoding="utf-8")
    with pytest.raises(DataError, match="and 10 more faults"):
        read_transcripts(path)


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), (b"a x\nb \xff\n", "text:2: not UTF-8")])
def test_unreadable(tmp_path, content, message):
    if content:
        (tmp_path / "text").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_transcripts(tmp_path / "text")
