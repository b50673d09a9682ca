"""Raw clips as a model reads them: short ones whole, long ones in pieces."""

import numpy as np
import pytest
import torch

from msrs.data.augment import AugmentConfig
from msrs.data.media import write_video
from msrs.errors import ConfigError, MediaError
from msrs.faces.clip import ClipReader
from msrs.faces.crop import CropOptions
from msrs.faces.detectors import PrecomputedDetector

CROPPED = AugmentConfig(crop_px=32)


@pytest.fixture
def write_film(tmp_path):
    """A function that writes a film of so many frames, with sound of so many frames that is quiet in some of them."""

    def write(name: str, num_frames: int, sound_frames: int | None = None, quiet=()) -> str:
        y, x = np.mgrid[0:240, 0:256]
        texture = 110 + 60 * np.sin(x / 9) + 40 * np.cos(y / 7)
        pictures = (np.clip(texture + 5 * np.sin(t), 0, 255).astype(np.uint8) for t in range(num_frames))
        sound = None
        if sound_frames:
            sound = 0.5 * np.sin(np.arange(sound_frames * 640) * 0.2)
            for start, end in quiet:
                sound[start * 640 : end * 640] *= 0.01
        path = tmp_path / f"{name}.mp4"
        write_video(path, pictures, audio=sound, preset="ultrafast")
        return str(path)

    return write


@pytest.fixture
def make_reader(write_points, face):
    """A function of the modality and the frames in which a face is in view."""

    def make(modality: str, name: str, seen: np.ndarray, max_frames: int = 100, streams=None) -> ClipReader:
        points = np.where(seen[:, None, None], face, np.nan)
        detector = PrecomputedDetector.Config(landmarks=write_points(name, points))
        return ClipReader(modality, CROPPED, CropOptions(detector=detector), max_frames, streams)

    return make


def frames_of(pieces) -> list[tuple[int, int]]:
    """(first frame, frame after the last) of pieces with pictures."""
    return [(start, start + len(piece.video)) for start, piece in pieces]


def test_a_short_clip_is_read_whole_with_its_gaps(make_reader, write_film):
    seen = np.ones(90, bool)
    seen[30:70] = False
    reader = make_reader("video", "a", seen)
    assert frames_of(reader.read(write_film("a", 90))) == [(0, 90)]
    seen[5:] = False
    with pytest.raises(MediaError, match=r"a\.mp4: a face in 5 of 90 frames only"):
        list(make_reader("video", "a", seen).read(write_film("a", 90)))


def test_pieces_are_the_frames_of_the_whole(make_reader, write_film):
    film = write_film("a", 220, 220, quiet=[(70, 90)])
    seen = np.ones(220, bool)
    ((_, whole),) = make_reader("audiovisual", "a", seen, 300).read(film)
    pieces = list(make_reader("audiovisual", "a", seen).read(film))
    assert frames_of(pieces)[0][1] in range(75, 86)
    assert max(end - start for start, end in frames_of(pieces)) <= 100
    assert sum(len(one.audio) for _, one in pieces) == len(whole.audio)
    # Each piece is coded anew: not quite the same pictures, but nearer to those at their place than these to the next.
    video = torch.cat([one.video for _, one in pieces])
    assert (video - whole.video).abs().mean() < 0.5 * whole.video.diff(dim=0).abs().mean()


def test_where_no_face_is_in_view_for_a_while_nothing_is_read(make_reader, write_film, log):
    seen = np.ones(400, bool)
    seen[:20] = seen[90:200] = seen[203:330] = seen[340:360] = False  # three frames are a false alarm
    pieces = frames_of(make_reader("video", "a", seen).read(write_film("a", 400)))
    assert pieces == [(0, 90), (330, 400)]
    assert "no face from 3.6 to 13.2 s: that is left out" in log.text
    seen[:] = False
    seen[[50, 250]] = True
    with pytest.raises(MediaError, match=r"a\.mp4: no face is in view for longer than 4 frames"):
        list(make_reader("video", "a", seen).read(write_film("a", 400)))


def test_a_piece_beyond_the_end_of_the_sound_does_not_cost_the_others(make_reader, write_film, log):
    film = write_film("a", 180, 60)
    pieces = frames_of(make_reader("audiovisual", "a", np.ones(180, bool)).read(film))
    assert pieces[0][0] == 0
    assert pieces[-1][1] < 180
    assert "is left out: no sound: begins at" in log.text


def test_an_audio_visual_model_reads_a_mute_film_from_its_pictures(make_reader, write_film, log):
    film, seen = write_film("a", 30), np.ones(30, bool)
    ((_, expected),) = make_reader("video", "a", seen).read(film)
    ((_, one),) = make_reader("audiovisual", "a", seen).read(film)
    assert torch.equal(one.video, expected.video)
    assert len(one.audio) == 640 * len(one.video) and not one.audio.any()
    assert "a.mp4: has no sound, so its pictures alone are read" in log.text
    assert "trained with augment.drop_audio 0, so never without audio" in log.text


def test_of_a_film_with_sound_one_stream_may_be_left_out(make_reader, write_film, log):
    film, seen = write_film("a", 30, 30), np.ones(30, bool)
    ((_, both),) = make_reader("audiovisual", "a", seen).read(film)
    assert both.video.any() and both.audio.any()
    ((_, video),) = make_reader("audiovisual", "a", seen, streams="video").read(film)
    assert torch.equal(video.video, both.video)
    assert len(video.audio) == len(both.audio) and not video.audio.any()
    readers = [ClipReader(*words) for words in (  # with a detector that would be fetched
        ("audio", CROPPED, CropOptions(), 100), ("audiovisual", CROPPED, CropOptions(), 100, "audio"),
    )]  # fmt: skip
    for files in ((film, None), (None, film)):
        (_, expected), (_, audio) = (one for reader in readers for one in reader.read(*files))
        assert torch.equal(audio.audio, expected.audio)
        assert audio.video.shape == (len(audio.audio) // 640, *both.video.shape[1:]) and not audio.video.any()
    assert "has no sound" not in log.text


def test_sound_is_refused_where_nothing_listens(write_film):
    for reader in (
        ClipReader("video", CROPPED, CropOptions(), 100),
        ClipReader("audiovisual", CROPPED, CropOptions(), 100, "video"),
    ):
        with pytest.raises(ConfigError, match=r"other\.wav: the model is to read video and no sound"):
            list(reader.read(write_film("a", 20), "other.wav"))


def test_a_mute_film_is_refused_before_its_face_is_looked_for_where_both_streams_are_asked_for(write_film):
    reader = ClipReader("audiovisual", CROPPED, CropOptions(), 100, "audiovisual")
    with pytest.raises(MediaError, match=r"a\.mp4: has no sound.*or read its pictures alone with --streams"):
        list(reader.read(write_film("a", 30)))
