import numpy as np
import pytest

from msrs.errors import DataError
from msrs.faces.align import MESH_TO_68
from msrs.faces.landmarks import read_landmarks, round_points, to_68_points, write_landmarks
from msrs.faces.track import TrackedFace


def test_write_and_read_give_the_same_face(tmp_path, face):
    points = round_points(np.stack([face, face + 0.3, face * np.nan]).astype(np.float32))
    given = TrackedFace(points, np.array([0, 1, -1], np.int16), np.array([1, 2, 0], np.int16))
    for name in ("a", "b"):
        write_landmarks(tmp_path / f"{name}.npz", given, "made of this")
    read, made_by = read_landmarks(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.points, points)
    assert read.track.tolist() == [0, 1, -1]
    assert read.num_faces.tolist() == [1, 2, 0]
    assert made_by == "made of this"
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert np.abs(points[:2] - [face, face + 0.3]).max() < 0.01


def test_frames_left_out_count_as_unseen(write_points, face):
    folder = write_points("r", np.stack([face, face]), np.array([1, 3]))
    read, made_by = read_landmarks(f"{folder}/r.npz")
    assert read.track.tolist() == [-1, 0, -1, 0]
    assert made_by == ""


def test_mesh_is_reduced_to_68_points():
    mesh = np.arange(478 * 3, dtype=float).reshape(1, 478, 3)
    points = to_68_points(mesh, "mesh")
    assert points.shape == (1, 68, 2)
    np.testing.assert_array_equal(points[0, 36], mesh[0, 33, :2])
    np.testing.assert_array_equal(points[0, 28], mesh[0, list(MESH_TO_68[28]), :2].mean(0))


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"points": np.zeros((4, 12, 2))}, "shape"),
        ({"points": np.zeros((68, 2))}, "axes"),
        ({"landmarks": np.zeros((4, 68, 2))}, "landmarks"),
        ({"points": np.zeros((2, 68, 2)), "frames": np.array([3, 3])}, "frames"),
        ({"points": np.zeros((2, 68, 2)), "frames": np.array([0])}, "frames"),
        ({"points": np.array([None, None])}, "npz"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, arrays, word):
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(DataError, match=word) as caught:
        read_landmarks(tmp_path / "odd.npz")
    assert "odd.npz" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"text"])
def test_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(DataError, match="bad.npz"):
        read_landmarks(tmp_path / "bad.npz")
