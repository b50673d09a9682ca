"""Archives: any order, any process, whole or not at all."""

import errno
import multiprocessing
import operator
import os
import pickle
import shutil
import threading

import kaldiio
import numpy as np
import pytest

from msrs.data.ark import ArkReader, ArkWriter
from msrs.errors import DataError

ARRAYS = {
    "s1-video": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "s1-größe": np.arange(-5, 5, dtype=np.int16),
    "a": np.zeros(0, np.int16),
    "z": np.float32(3) * np.ones((3, 2), np.float32),
}


def same(left, right):
    return left.dtype == right.dtype and left.shape == right.shape and np.array_equal(left, right)


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ArkWriter("dump/x.ark", "dump/x.scp") as writer:
        for key, array in ARRAYS.items():
            writer.write(key, array)
    return tmp_path / "dump"


def test_arrays_come_back_in_any_order(written):
    reader = ArkReader("dump/x.scp")
    assert list(reader) == sorted(ARRAYS)
    assert len(reader) == 4
    for key in ["z", "a", "z", *ARRAYS]:
        assert same(reader[key], ARRAYS[key])
    assert "nobody" not in reader
    with pytest.raises(KeyError):
        reader["nobody"]


def test_kaldiio_reads_it(written):
    arrays = kaldiio.load_scp("dump/x.scp")
    assert all(same(arrays[key], ARRAYS[key]) for key in ARRAYS)


def test_a_moved_dump_is_found(written, tmp_path):
    shutil.move("dump", "elsewhere")
    assert same(ArkReader("elsewhere/x.scp")["z"], ARRAYS["z"])


def read_all(reader, times=20):
    return all(same(reader[key], ARRAYS[key]) for _ in range(times) for key in ARRAYS)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_several_processes_read_at_once(written, method):
    reader = ArkReader(written / "x.scp")
    assert read_all(reader, 1)
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:  # operator.getitem: a new process can import no test
        assert pool.starmap_async(len, [(reader,), (reader,)]).get(60) == [4, 4]
        got = pool.starmap_async(operator.getitem, [(reader, key) for key in ARRAYS] * 5).get(60)
    assert all(same(array, ARRAYS[key]) for array, key in zip(got, list(ARRAYS) * 5, strict=True))


def test_several_threads_read_at_once(written):
    reader, results = ArkReader("dump/x.scp"), []
    threads = [threading.Thread(target=lambda: results.append(read_all(reader))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


def test_an_error_leaves_what_was_there(written):
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    with pytest.raises(RuntimeError), ArkWriter("dump/x.ark", "dump/x.scp") as writer:
        writer.write("new", np.zeros(3))
        raise RuntimeError
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before


def test_a_full_disk_leaves_what_was_there(written, monkeypatch):
    before = {path.name: path.read_bytes() for path in written.iterdir()}

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kaldiio, "save_ark", full)
    with pytest.raises(DataError, match="the disk is full"), ArkWriter("dump/x.ark", "dump/x.scp") as writer:
        writer.write("new", np.zeros(3))
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before


def test_nothing_is_there_before_the_end(tmp_path):
    with ArkWriter(tmp_path / "x.ark", tmp_path / "x.scp") as writer:
        writer.write("a", np.zeros(3))
        assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_an_old_list_never_meets_a_new_archive(written, monkeypatch):
    real = os.replace

    def killed(source, target):
        if str(target).endswith(".scp"):
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt), ArkWriter("dump/x.ark", "dump/x.scp") as writer:
        writer.write("new", np.zeros(3))
    assert [path.name for path in written.iterdir()] == ["x.ark"]


@pytest.mark.parametrize("key", ["", "two words", "a\tb", "a\n"])
def test_keys_that_cannot_be(tmp_path, key):
    with pytest.raises(DataError, match="cannot be a key"), ArkWriter(tmp_path / "x.ark", tmp_path / "x.scp") as writer:
        writer.write(key, np.zeros(3))


def test_duplicates_are_refused(tmp_path):
    with pytest.raises(DataError, match="a is written twice"), ArkWriter(tmp_path / "x.ark", tmp_path / "x.scp") as ark:
        ark.write("a", np.zeros(3))
        ark.write("a", np.zeros(3))
    (tmp_path / "y.scp").write_text("a x.ark:2\na x.ark:9\n")
    with pytest.raises(DataError, match=r"y\.scp:2: a is given twice"):
        ArkReader(tmp_path / "y.scp")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a rm -rf x |", "is a shell command, refused"),
        ("a | cat x.ark:5", "is a shell command, refused"),
        ("a x.ark", "expected `key archive:offset`"),
        ("a x.ark:5[0:3]", "expected `key archive:offset`"),
        ("a", "expected `key archive:offset`"),
        ("", "expected `key archive:offset`"),
    ],
)
def test_lists_that_are_refused(tmp_path, line, message):
    (tmp_path / "x.scp").write_text(f"ok x.ark:3\n{line}\n")
    with pytest.raises(DataError, match=rf"x\.scp:2: .*{message}"):
        ArkReader(tmp_path / "x.scp")


def test_pickles_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    (tmp_path / "x.ark").write_bytes(b"a PKL" + pickle.dumps(Trap()))
    (tmp_path / "x.scp").write_text(f"a {tmp_path}/x.ark:2\n")
    with pytest.raises(DataError, match="pickled object, refused"):
        ArkReader(tmp_path / "x.scp")["a"]
    assert not (tmp_path / "sprung").exists()


def test_a_cut_off_archive_is_told(written):
    size = (written / "x.ark").stat().st_size
    for cut in (size - 3, 1, size // 2):
        os.truncate("dump/x.ark", cut)
        with pytest.raises(DataError, match=r"x\.ark: z is not whole, or dump/x\.scp is not its list"):
            ArkReader("dump/x.scp")["z"]
    (written / "x.ark").unlink()
    with pytest.raises(DataError, match=r"x\.ark: z cannot be read"):
        ArkReader("dump/x.scp")["z"]
