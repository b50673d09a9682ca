import subprocess
import sys

import numpy as np
import pytest

from msrs.data.media import read_video_array
from msrs.errors import MediaError
from msrs.faces.align import PatchWarper, patch_transforms
from msrs.faces.crop import CropJob, CropOptions, check_face, crop_recording
from msrs.faces.detectors import PrecomputedDetector
from msrs.faces.landmarks import read_landmarks
from msrs.faces.track import TrackedFace

FRAMES = 20


@pytest.fixture
def crop(tmp_path, film, write_points, face):
    """A function that crops one film with given landmarks; options by keyword."""

    def run(media=None, points=None, frames=None, made_by="1", **options):
        points = np.repeat(face[None], FRAMES, 0) if points is None else points
        config = PrecomputedDetector.Config(landmarks=write_points("r", points, frames))
        video, landmarks = tmp_path / "out" / "r.mp4", tmp_path / "out" / "r.npz"
        job = CropJob("r", "s", str(media or film()), str(video), str(landmarks), made_by)
        quality = crop_recording(job, CropOptions(detector=config, **options), PrecomputedDetector(config))
        return quality, video, landmarks

    return run


def test_crop_shows_what_the_geometry_says(crop, film, face):
    quality, video, landmarks = crop(crf=1)
    patches = read_video_array(video)
    assert patches.shape == (FRAMES, 96, 96)
    options = CropOptions()
    points = read_landmarks(landmarks)[0].points
    transforms = patch_transforms(points, [slice(0, FRAMES)], options.geometry)
    expected = PatchWarper(96, 1)(read_video_array(film())[3], transforms[3])
    assert np.abs(patches[3].astype(int) - expected).mean() < 2
    assert (quality.frames, quality.found_share, quality.fps_in) == (FRAMES, 1.0, 25.0)


def test_other_frame_rates_come_out_at_25(crop, film, face):
    quality, video, _ = crop(media=film("fast", frames=30, fps=50), points=np.repeat(face[None], 15, 0))
    assert quality.frames == len(read_video_array(video)) == 15
    assert quality.fps_in == 50


def test_size_of_the_patch_is_an_option(crop):
    _, video, _ = crop(geometry={"size": 64})
    assert read_video_array(video).shape[1:] == (64, 64)


@pytest.mark.parametrize(
    ("rows", "options", "reason"),
    [
        ([], {}, "no face found in any of its 20 frames; is it small, turned or hidden?"),
        (range(9), {}, "a face in 9 of 20 frames only; at least 50% are wanted"),
        (range(15), {"min_face_share": 0.8}, "at least 80%"),
        (range(20), {"min_frames": 21}, "only 20 frames at 25 a second; at least 21"),
        (range(20), {"min_face_px": 500}, r"its face is \d+ pixels high; at least 500"),
    ],
)
def test_reasons_to_put_a_recording_aside(crop, tmp_path, face, rows, options, reason):
    points = np.full((FRAMES, 68, 2), np.nan)
    points[list(rows)] = face
    with pytest.raises(MediaError, match=reason):
        crop(points=points, **options)
    assert not (tmp_path / "out" / "r.mp4").exists()


def test_one_frame_is_no_plural(face):
    one = TrackedFace(face[None], np.zeros(1, np.int16), np.ones(1, np.int16))
    with pytest.raises(MediaError, match="only 1 frame at 25 a second; at least 5"):
        check_face(one, CropOptions())


def test_face_in_some_frames_is_interpolated(crop, face):
    points = np.repeat(face[None], FRAMES, 0)
    points[4:9] = np.nan
    quality, _, landmarks = crop(points=points)
    assert (quality.gap_frames, quality.longest_gap_frames, quality.found_share) == (5, 5, 0.75)
    assert np.isnan(read_landmarks(landmarks)[0].points[4:9]).all()  # what was seen is kept, not what was made up


@pytest.mark.parametrize("count", [10, 40])
def test_landmarks_of_another_recording_are_refused(crop, tmp_path, face, count):
    with pytest.raises(MediaError, match="another file or frame rate"):
        crop(points=np.repeat(face[None], count, 0))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["r.npz"]


def test_landmarks_that_end_a_frame_early_will_do(crop, face):
    assert crop(points=np.repeat(face[None], FRAMES - 1, 0))[0].frames == FRAMES


@pytest.mark.parametrize("content", [b"", b"this is no film", None])
def test_unreadable_media_are_refused(crop, tmp_path, content):
    if content is not None:
        (tmp_path / "bad.mp4").write_bytes(content)
    with pytest.raises(MediaError, match="bad.mp4"):
        crop(media=tmp_path / "bad.mp4")


def test_earlier_landmarks_are_used_again_only_if_made_from_the_same(crop, face):
    _, _, landmarks = crop()
    shifted = np.repeat(face[None] + 5, FRAMES, 0)
    crop(points=shifted)
    np.testing.assert_allclose(read_landmarks(landmarks)[0].points[0], face, atol=0.01)
    crop(points=shifted, made_by="2")
    np.testing.assert_allclose(read_landmarks(landmarks)[0].points[0], face + 5, atol=0.01)


def test_cut_off_landmarks_are_made_anew(crop):
    _, _, landmarks = crop()
    landmarks.write_bytes(landmarks.read_bytes()[:100])
    crop()
    assert len(read_landmarks(landmarks)[0].points) == FRAMES


def test_recording_without_its_landmarks_is_put_aside(crop, film, tmp_path):
    config = PrecomputedDetector.Config(landmarks=str(tmp_path))
    job = CropJob("lost", "s", film(), str(tmp_path / "v.mp4"), str(tmp_path / "l.npz"), "")
    with pytest.raises(MediaError, match="lost: no landmarks"):
        crop_recording(job, CropOptions(detector=config), PrecomputedDetector(config))


def test_a_worker_starts_without_slow_or_optional_packages():
    code = "import sys, msrs.bin.crop; print([m for m in ('mediapipe', 'PIL', 'torch') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
