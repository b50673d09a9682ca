"""The leak guard reads little."""

import builtins

import numpy as np

from msrs.data.leaks import EDGE_BYTES, shared_media


def write(path, size, seed=0, change_at=None):
    data = bytearray(np.random.default_rng(seed).bytes(size))
    if change_at is not None:
        data[change_at] ^= 1
    path.write_bytes(data)
    return str(path)


def test_files_that_differ_only_in_the_middle_are_told_apart(tmp_path):
    size = 3 * EDGE_BYTES
    a = write(tmp_path / "a", size)
    middle = write(tmp_path / "b", size, change_at=size // 2)
    same = write(tmp_path / "c", size)
    assert list(shared_media({"train": [a], "test": [middle]})) == []
    assert list(shared_media({"train": [a], "test": [middle, same]})) == [
        ("test", f"{same} is a copy of {a}, which train uses")
    ]


def test_differing_edges_and_small_files(tmp_path):
    size = 2 * EDGE_BYTES + 10
    files = [write(tmp_path / f"f{i}", size, change_at=at) for i, at in enumerate((0, size - 1, EDGE_BYTES - 1))]
    small = [write(tmp_path / f"s{i}", 5, seed=i) for i in range(2)]
    assert list(shared_media({"a": [files[0], small[0]], "b": [files[1], small[1]], "c": [files[2]]})) == []


def test_only_files_of_equal_length_are_opened(tmp_path, monkeypatch):
    train = [write(tmp_path / f"a{i}", 100 + i, i) for i in range(20)]
    test = [write(tmp_path / f"b{i}", 119 + i, i) for i in range(20)]
    opened = []
    real = builtins.open
    monkeypatch.setattr(
        builtins, "open", lambda file, *args, **kw: (opened.append(str(file)), real(file, *args, **kw))[1]
    )
    assert list(shared_media({"train": train, "test": test})) == []
    assert sorted(opened) == [train[19], test[0]]


def test_copies_within_a_set_are_its_own_business(tmp_path):
    a, b = write(tmp_path / "a", 50), write(tmp_path / "b", 50)
    assert list(shared_media({"train": [a, b, a], "test": []})) == []


def test_absent_files_are_compared_by_path():
    assert list(shared_media({"train": ["gone.mp4"], "test": ["./gone.mp4"]})) == [
        ("test", "uses ./gone.mp4, which train uses too (as gone.mp4)")
    ]
