import contextlib
import io
import os
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from msrs.config import Document, build, to_dict
from msrs.data.media import read_video
from msrs.errors import ConfigError, DependencyError
from msrs.faces.crop import CropOptions
from msrs.faces.detectors import DETECTORS, MediaPipeDetector
from msrs.faces.detectors.mediapipe_tasks import silence_stderr
from msrs.faces.track import FaceTracker


@pytest.fixture(params=list(DETECTORS))
def detector(request, write_points, face, monkeypatch):
    """Every detector of the table, ready, with a recording `r` of three frames where it wants files."""
    folder = write_points("r", np.repeat(face[None], 3, 0))
    if request.param == "mediapipe":
        monkeypatch.setenv("MSRS_FACE_TASK", str(request.getfixturevalue("face_model")))
        pytest.importorskip("mediapipe")
    settings = {"landmarks": folder} if request.param == "precomputed" else {}
    made = DETECTORS.build(DETECTORS[request.param].Config(**settings))
    made.prepare()
    return made


def test_detector_keeps_the_contract(detector):
    copy = pickle.loads(pickle.dumps(detector))  # it travels to another process
    black = (np.zeros((96, 128, 3), np.uint8) for _ in range(3))
    found = list(copy.detect("r", "s", black))
    assert len(found) == 3
    assert all(face.shape == (68, 2) and face.dtype == np.float32 for faces in found for face in faces)
    assert copy.fingerprint("r", "s") == detector.fingerprint("r", "s")
    assert build(type(detector.config), Document(to_dict(detector.config), {}, "copy")) == detector.config


def test_unknown_detector_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="mediapipe, precomputed"):
        build(CropOptions, Document({"detector": {"type": "mediapip"}}, {}, "crop.yaml"))


def test_missing_model_stops_before_any_work(tmp_path):
    pytest.importorskip("mediapipe")
    with pytest.raises(DependencyError, match="nothing.task"):
        MediaPipeDetector(MediaPipeDetector.Config(face_model=str(tmp_path / "nothing.task"))).prepare()


def test_native_noise_is_kept_back_unless_the_block_fails(capfd):
    with silence_stderr():
        os.write(2, b"chatter\n")
    assert "chatter" not in capfd.readouterr().err
    heard = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", heard)
        with contextlib.suppress(RuntimeError), silence_stderr():
            os.write(2, b"the cause\n")
            raise RuntimeError
    assert "the cause" in heard.getvalue()


@pytest.fixture(scope="module")
def person(grid):
    """The first 30 frames of a GRID clip."""
    clips = sorted((grid / "video" / "s1").iterdir())
    return list(read_video(clips[0], max_seconds=1.2))


def detect(face_model, frames, **settings):
    pytest.importorskip("mediapipe")
    detector = MediaPipeDetector(MediaPipeDetector.Config(face_model=str(face_model), **settings))
    return list(detector.detect("r", "s", frames))


@pytest.mark.parametrize("max_faces", [1, 3])
def test_real_face_is_found_in_every_frame(face_model, person, max_faces):
    found = detect(face_model, person, max_faces=max_faces)
    assert [len(faces) for faces in found] == [1] * len(person)
    points = np.stack([faces[0] for faces in found])
    mouth, eyes = points[:, 48:68].mean((0, 1)), points[:, 36:48].mean((0, 1))
    assert mouth[1] - eyes[1] > 25  # upright
    assert abs(mouth[0] - eyes[0]) < 15
    assert points[:, 45, 0].mean() > points[:, 36, 0].mean()  # not mirrored


def test_padded_rows_do_no_harm(face_model, person):
    wide = np.zeros((person[0].shape[0], person[0].shape[1] + 24, 3), np.uint8)
    strided = []
    for frame in person[:3]:
        room = wide.copy()
        room[:, : frame.shape[1]] = frame
        strided.append(room[:, : frame.shape[1]])
    assert not strided[0].flags.c_contiguous
    for one, two in zip(detect(face_model, strided), detect(face_model, person[:3]), strict=True):
        np.testing.assert_array_equal(one[0], two[0])


def test_two_people_are_both_seen_and_the_larger_is_kept(face_model, person):
    height, width = person[0].shape[:2]
    both = []
    for frame in person:
        smaller = np.asarray(Image.fromarray(frame).resize((width * 3 // 4, height * 3 // 4)))
        both.append(np.concatenate([np.pad(smaller, ((0, 0), (0, width - smaller.shape[1]), (0, 0))), frame]))
    tracker = FaceTracker()
    for faces in detect(face_model, both):
        tracker.add(faces)
    result = tracker.result()
    assert result.num_faces.max() == 2
    assert (result.track == 0).all()
    assert result.points[:, :, 1].min() > height * 3 // 4  # the lower, larger one


def test_broken_frames_without_a_person_are_gaps(face_model, person):
    grey = [np.full_like(person[0], 128)] * 5
    found = detect(face_model, grey + person + grey)
    assert [len(faces) for faces in found[:5]] == [0] * 5
    assert [len(faces) for faces in found[5:-5]] == [1] * len(person)
