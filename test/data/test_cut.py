"""Utterances cut out of a recording: the right frames, the right samples, the reason where there are none."""

from pathlib import Path

import numpy as np
import pytest

from msrs.data.cut import CutJob, cut_recording, to_frames
from msrs.data.media import read_video_array, write_video

SAMPLES = np.linspace(-0.8, 0.8, 50 * 640).astype(np.float32)  # a ramp: a sample's value tells its place


def flat(count, size=(32, 32)):
    return np.stack([np.full(size, 24 + 8 * (i % 25), np.uint8) for i in range(count)])


def numbers_of(video):
    pictures = video if video.ndim == 3 else read_video_array(video.tobytes())
    return [round((float(picture.mean()) - 24) / 8) for picture in pictures]


def place_of(sample):
    return (sample / 32768 + 0.8) / 1.6 * (len(SAMPLES) - 1)


@pytest.fixture
def recording(tmp_path, make_clip):
    """A crop of 25 frames; its sound, a ramp over 50 frames, in a file of its own."""
    write_video(tmp_path / "crop.mp4", flat(25))
    sound = make_clip("sound.wav", sound=[(0, SAMPLES)])
    return str(tmp_path / "crop.mp4"), str(sound)


def cut(recording, *ranges, crop=True, sound=True, is_encoded=True):
    named = [(f"u{i}", *limits) for i, limits in enumerate(ranges)]
    return cut_recording(
        CutJob("rec", named, recording[0] if crop else None, recording[1] if sound else None, is_encoded)
    )


def test_a_whole_recording_goes_in_as_it_is(recording):
    (one,) = cut(recording, (0, None))
    assert one.reason is None
    assert one.video.tobytes() == Path(recording[0]).read_bytes()
    assert (one.num_frames, one.size_px) == (25, (32, 32))
    assert one.audio.dtype == np.int16
    assert len(one.audio) == 25 * 640
    assert place_of(one.audio[-1]) == pytest.approx(25 * 640 - 1, abs=3)


@pytest.mark.parametrize("is_encoded", [True, False])
def test_ranges_get_their_frames_and_samples(recording, is_encoded):
    ranges = [(10, 20), (0, 25), (5, 12), (3, 4), (24, 40), (0, None)]  # out of order and overlapping
    cuts = cut(recording, *ranges, is_encoded=is_encoded)
    assert [one.utt for one in cuts] == [f"u{i}" for i in range(6)]
    for one, (start, end) in zip(cuts, ranges, strict=True):
        end = min(end or 25, 25)
        assert one.reason is None
        assert one.video.ndim == (1 if is_encoded else 3)
        assert numbers_of(one.video) == list(range(start, end))
        assert one.num_frames == end - start
        assert len(one.audio) == one.num_frames * 640
        assert place_of(one.audio[0]) == pytest.approx(start * 640, abs=3)
        assert place_of(one.audio[-1]) == pytest.approx(end * 640 - 1, abs=3)


def test_only_what_is_cut_is_coded_again(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (10, 32, 32), dtype=np.uint8)  # coding it again would show
    write_video(tmp_path / "noise.mp4", noise)
    paths = (str(tmp_path / "noise.mp4"), None)
    whole, longer, part = cut(paths, (0, 10), (0, 30), (0, 9), sound=False)
    assert whole.video.tobytes() == longer.video.tobytes() == (tmp_path / "noise.mp4").read_bytes()
    again = read_video_array(part.video.tobytes()).astype(int) - read_video_array(paths[0])[:9]
    assert 0 < np.abs(again).mean() < 8


def test_ranges_that_hold_nothing(recording):
    cuts = cut(recording, (3, 3), (25, 30), (0, 5), sound=False)
    assert [one.reason for one in cuts] == [
        "no pictures: shorter than a frame",
        "no pictures: its recording ends at 1.00 s",
        None,
    ]
    assert cuts[0].video is None


def test_crops_at_another_rate_become_25(tmp_path):
    write_video(tmp_path / "fast.mp4", flat(20), fps=50)
    (one,) = cut((str(tmp_path / "fast.mp4"), None), (0, None), sound=False)
    assert one.num_frames == 10
    assert numbers_of(one.video) == list(range(1, 20, 2))


def test_short_sound_is_filled_up(tmp_path, make_clip, recording):
    short = make_clip("short.wav", sound=[(0, SAMPLES[: 20 * 640 + 100])])
    inside, over, beyond = cut((recording[0], str(short)), (0, 10), (10, 25), (22, 25))
    assert inside.notes == over.notes == []  # 0.2 s
    assert np.abs(over.audio[: 10 * 640]).min() > 0
    assert np.abs(over.audio[10 * 640 + 100 :]).max() == 0
    assert beyond.reason == "no sound: begins at 0.88 s, its sound ends at 0.81 s"


@pytest.mark.parametrize("crop", [True, False])
def test_a_segment_beyond_its_recording_is_noted(recording, crop):
    length = 25 if crop else 50
    notes = [one.notes for one in cut(recording, (0, length + 12), (20, length + 13), (0, length), crop=crop)]
    assert notes == [[], ["a segment beyond the recording: 0.52 s after its recording"], []]
    (one,) = cut(recording, (0, 38), sound=False)
    assert one.notes == notes[1]


def test_streams_that_end_apart_are_noted(make_clip, recording):
    (one,) = cut(recording, (0, None))  # 25 pictures, sound for 50
    assert one.notes == ["pictures that end early: 1.00 s before the sound"]
    (one,) = cut(recording, (0, 25))  # who cuts there does not want the rest
    assert one.notes == []
    for samples, notes in ((13 * 640, []), (12 * 640, ["sound that ends early: 0.52 s before the pictures"])):
        short = make_clip("short.wav", sound=[(0, SAMPLES[:samples])])
        (one,) = cut((recording[0], str(short)), (0, None))
        assert one.notes == notes


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 48000])
def test_narrowband_sound_is_noted(make_clip, rate):
    path = make_clip("tone.wav", sound=[(0, np.full(rate, 0.3))], rate=rate)
    notes = [note for one in cut((None, str(path)), (0, None), (0, 5), crop=False) for note in one.notes]
    assert len(notes) == (2 if rate < 16000 else 0)
    assert all(note.startswith(f"narrowband sound: recorded at {rate} Hz") for note in notes)


def test_sound_alone_counts_a_begun_frame(make_clip):
    path = str(make_clip("a.wav", sound=[(0, SAMPLES[: 10 * 640 + 1])]))
    whole, part, beyond = cut((None, path), (0, None), (4, 9), (11, 15), crop=False)
    assert (whole.num_frames, len(whole.audio), whole.video, whole.size_px) == (11, 11 * 640, None, None)
    assert (part.num_frames, len(part.audio)) == (5, 5 * 640)
    assert beyond.reason == "no sound: begins at 0.44 s, its sound ends at 0.40 s"


def test_what_cannot_be_read_is_the_reason(recording, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    (one,) = cut((str(tmp_path / "bad.mp4"), recording[1]), (0, None))
    assert one.reason.startswith("crop cannot be used: ")
    (one,) = cut((recording[0], str(tmp_path / "bad.mp4")), (0, None))
    assert one.reason.startswith("no sound: ")
    assert one.video is None
    (one,) = cut((recording[0], recording[0]), (0, None))
    assert one.reason == f"no sound: {recording[0]}: has no sound; expected an audio stream."


def test_full_scale_does_not_wrap(make_clip, recording):
    path = make_clip("loud.wav", sound=[(0, np.where(np.arange(16000) % 200 < 100, 1.0, -1.0))])
    (one,) = cut((recording[0], str(path)), (0, None))
    assert one.audio.max() > 32000
    assert one.audio.min() < -32000
    assert (one.audio[10:90] > 0).all()


def test_neighbours_share_the_frame_between_them():
    assert [to_frames(seconds) for seconds in (0, 0.02, 0.059, 1.1, 7199.98)] == [0, 1, 1, 28, 180000]
