"""Reading and writing recordings, one test a trap."""

import errno
import itertools
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from msrs.data import media
from msrs.data.media import (
    count_frames,
    encode_video,
    media_seconds,
    probe,
    read_audio,
    read_video,
    read_video_array,
    stream_audio,
    write_video,
)
from msrs.errors import DataError, MediaError

RATE = 16000


def level(number):
    return 24 + 8 * (number % 25)


def flat(count, size=(32, 48)):
    return np.stack([np.full(size, level(i), np.uint8) for i in range(count)])


def numbers_of(pictures):
    return [round((float(np.asarray(picture, np.float64).mean()) - 24) / 8) % 25 for picture in pictures]


def smooth_noise(count, size, seed=0):
    """Grey pictures with soft detail that moves a little, like a mouth."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [(rng.uniform(0.02, 0.25, 2), rng.uniform(0, 6, 1), rng.uniform(-0.3, 0.3)) for _ in range(12)]
    pictures = [sum(np.sin(fy * y + fx * x + p + t * v) for (fy, fx), p, v in waves) for t in range(count)]
    return np.clip(128 + 18 * np.stack(pictures), 0, 255).astype(np.uint8)


def click(seconds, at):
    """Silence with one short burst that starts `at` seconds."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    samples[round(at * RATE) : round(at * RATE) + 160] = 0.5
    return samples


def onset(samples, rate=RATE):
    return np.flatnonzero(np.abs(samples) > 0.15)[0] / rate


# ---- pictures by time


@pytest.mark.parametrize("fps", [10, 15, 24, 25, 30000 / 1001, 30, 50, 60, 100])
def test_any_rate_becomes_25_by_time(make_clip, fps):
    count = round(2 * fps)
    path = make_clip(times=[i / fps for i in range(count)], fps=fps)
    got = numbers_of(read_video(path, pixel="gray"))
    middles = (np.arange(len(got)) + 0.5) / 25
    earliest, latest = (np.floor((middles + slack) * fps + 1e-6).astype(int) % 25 for slack in (0, 2e-3))
    assert abs(len(got) - count / fps * 25) <= 1
    assert all(number in pair for number, *pair in zip(got, earliest, latest, strict=True))


def test_a_tie_always_falls_to_the_later_picture(make_clip):
    path = make_clip(times=[1.1 + i / 50 for i in range(100)], fps=50)
    assert numbers_of(read_video(path, pixel="gray")) == [i % 25 for i in range(1, 100, 2)]


def test_variable_frame_rate_shows_what_was_visible(make_clip):
    path = make_clip(times=[0.0, 0.04, 0.2, 0.21, 0.22, 0.32, 0.36])
    assert numbers_of(read_video(path, pixel="gray")) == [0, 1, 1, 1, 1, 4, 4, 4, 5, 6]


def test_time_counts_from_the_first_picture(make_clip):
    path = make_clip("clip.mpg", times=[5 + i / 25 for i in range(10)], codec="mpeg1video", pictures=flat(10, (64, 64)))
    assert numbers_of(read_video(path, pixel="gray")) == list(range(10))


def test_a_clock_set_back_goes_on(make_clip, monkeypatch):
    path = make_clip(times=[i / 25 for i in range(10)])
    frames = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frame.pts -= 5000 if len(frames) >= 5 else 0
            frames.append(frame)
    monkeypatch.setattr(media, "decoded", lambda packet, name, started: [frames.pop(0)] if frames else [])
    assert numbers_of(read_video(path, pixel="gray")) == list(range(10))


def test_a_clock_that_leaps_is_refused(make_clip):
    path = make_clip(times=[0.0, 0.04, 100.0])
    with pytest.raises(MediaError, match=r"clip\.mkv: the clock jumps by 100 s after 0\.04 s"):
        list(read_video(path))


def test_a_lone_short_picture_is_one_frame(make_clip):
    path = make_clip("one.mp4", times=[0.0])
    assert len(list(read_video(path))) == 1
    assert len(list(read_video(path, fps=5))) == 1


def test_max_seconds_ends_the_stream(make_clip):
    path = make_clip(times=[i / 25 for i in range(50)])
    assert len(list(read_video(path, max_seconds=0.4))) == 10
    assert len(list(read_video(path, max_seconds=100))) == 50


def test_reading_is_a_stream(make_clip, monkeypatch):
    path = make_clip(times=[i / 25 for i in range(100)])
    converted = itertools.count()
    real = media._pixels
    monkeypatch.setattr(media, "_pixels", lambda *args: (next(converted), real(*args))[1])
    stream = read_video(path)
    next(stream)
    assert next(converted) == 1


def test_only_shown_pictures_are_converted(make_clip, monkeypatch):
    path = make_clip(times=[i / 100 for i in range(100)], fps=100)
    converted = itertools.count()
    real = media._pixels
    monkeypatch.setattr(media, "_pixels", lambda *args: (next(converted), real(*args))[1])
    assert len(list(read_video(path))) == next(converted) == 25


# ---- pictures as arrays


@pytest.mark.parametrize("width", [360, 50, 96])
def test_arrays_are_contiguous_own_copies(make_clip, width):
    pictures = smooth_noise(4, (48, width))
    path = make_clip(times=[0, 0.08, 0.16, 0.24], pictures=pictures)
    rgb = list(read_video(path))
    assert all(p.flags.c_contiguous and p.flags.writeable and p.dtype == np.uint8 for p in rgb)
    assert rgb[0].shape == (48, width, 3)
    before = rgb[1].copy()
    rgb[0][:] = 0  # a repeated picture is no view of the one before
    assert np.array_equal(rgb[1], before)
    gray = read_video_array(path)
    assert gray.flags.c_contiguous
    assert gray.shape == (4, 48, width)
    assert np.abs(gray.astype(int) - pictures).mean() < 3


@pytest.mark.parametrize(("width", "height"), [(96, 96), (88, 90), (360, 288), (34, 50), (33, 17)])
@pytest.mark.parametrize("color_range", [0, 1, 2])
def test_the_quick_way_to_grey_gives_the_same_bits(width, height, color_range):
    frame = av.VideoFrame(width, height, "yuv420p")
    frame.color_range = color_range
    rng = np.random.default_rng(width)
    for plane in frame.planes:
        plane.update(rng.integers(0, 256, plane.buffer_size).astype(np.uint8).tobytes())
    picture = media._grey(frame)
    assert np.array_equal(picture, frame.to_ndarray(format="gray"))
    assert len(np.unique(picture)) > 100


@pytest.mark.parametrize("size", [(33, 47), (35, 34), (1, 1)])
def test_odd_sizes(make_clip, size):
    pictures = np.random.default_rng(0).integers(0, 255, (3, *size), dtype=np.uint8)
    path = make_clip(times=[0, 0.04, 0.08], pictures=pictures, codec="ffv1")
    assert np.array_equal(read_video_array(path), pictures)
    assert (probe(path).height, probe(path).width) == size


def matrix_file(path, picture, xx, xy, yx, yy):
    """A film of five such pictures whose header asks that (x, y) be shown at (xx x + yx y, xy x + yy y)."""
    write_video(path, [picture] * 5)
    data = path.read_bytes()
    plain, other = (
        struct.pack(">9i", *(part << 16 for part in (*row[:2], 0, *row[2:], 0, 0, 0)), 1 << 30)
        for row in ((1, 0, 0, 1), (xx, xy, yx, yy))
    )
    at = data.index(plain, data.index(b"tkhd"))
    path.write_bytes(data[:at] + other + data[at + len(other) :])


def test_rotation_is_undone(tmp_path):
    picture = np.full((32, 64), 40, np.uint8)
    picture[:, :16] = 220  # bright at the left
    matrix_file(tmp_path / "a.mp4", picture, 0, 1, -1, 0)  # a telephone held upright
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height) == (32, 64)
    shown = next(read_video(tmp_path / "a.mp4", pixel="gray"))
    assert shown.shape == (64, 32)
    assert shown.flags.c_contiguous
    assert shown[:12].mean() > 200  # turned clockwise, the left side is on top
    assert shown[20:].mean() < 60


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), lambda p: p[::-1]),
        ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
        ((0, 1, 1, 0), lambda p: p.T),
        ((0, -1, -1, 0), lambda p: p[::-1, ::-1].T),
        ((0, -1, 1, 0), lambda p: np.rot90(p)),
    ],
)
def test_mirrors_and_turns_are_those_of_a_player(tmp_path, matrix, expected):
    picture = smooth_noise(1, (48, 64))[0]
    matrix_file(tmp_path / "a.mp4", picture, *matrix)
    shown = next(read_video(tmp_path / "a.mp4", pixel="gray"))
    assert shown.shape == expected(picture).shape
    assert np.abs(shown.astype(int) - expected(picture)).mean() < 4


@pytest.mark.parametrize(
    ("shape", "size"), [("2:1", (48, 128)), ("1:2", (96, 64)), ("16:15", (48, 68)), ("9:1", (48, 64))]
)
def test_pixels_are_shown_square(tmp_path, shape, size):
    picture = smooth_noise(1, (48, 64))[0]
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt, video.bit_rate = 64, 48, "yuv420p", 4_000_000
        video.codec_context.sample_aspect_ratio = Fraction(*map(int, shape.split(":")))
        for _ in range(2):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        container.mux(video.encode())
    info = probe(tmp_path / "a.mp4")
    shown = next(read_video(tmp_path / "a.mp4", pixel="gray"))
    assert (info.height, info.width) == shown.shape == size
    assert abs(shown.mean() - picture.mean()) < 2


def test_pictures_that_change_their_size_are_refused(make_clip, tmp_path):
    parts = [
        make_clip(f"{size}.mpg", times=[i / 25 for i in range(15)], codec="mpeg1video", pictures=flat(15, (size, size)))
        for size in (32, 64)
    ]
    (tmp_path / "both.mpg").write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(MediaError, match=r"both\.mpg: pictures change from \(32, 32\) to \(64, 64\)"):
        list(read_video(tmp_path / "both.mpg"))


# ---- what a file says of itself


def test_probe(make_clip):
    path = make_clip("clip.mp4", times=[i / 25 for i in range(50)], sound=[(0, click(2, 1))], sound_codec="aac")
    info = probe(path)
    assert (info.num_frames, info.width, info.height, info.has_audio) == (50, 48, 32, True)
    assert info.fps == pytest.approx(25)
    assert info.duration_seconds == pytest.approx(2, abs=0.05)
    assert media_seconds(path) == pytest.approx(2, abs=0.1)


def test_a_header_without_a_frame_count(make_clip):
    path = make_clip("clip.mpg", times=[i / 25 for i in range(20)], codec="mpeg1video", pictures=flat(20, (64, 64)))
    assert probe(path).num_frames is None
    assert count_frames(path) == 20
    assert read_video_array(path).shape == (20, 64, 64)


# ---- sound


@pytest.mark.parametrize(
    ("name", "codec", "rate"), [("a.mp4", "aac", 16000), ("a.mp4", "aac", 44100), ("a.mkv", "pcm_s16le", 48000)]
)
def test_sound_is_where_it_was(make_clip, name, codec, rate):
    samples = np.interp(np.arange(2 * rate) / rate, np.arange(2 * RATE) / RATE, click(2, 1.0)).astype(np.float32)
    path = make_clip(name, times=[i / 25 for i in range(50)], sound=[(0, samples)], rate=rate, sound_codec=codec)
    got = read_audio(path)
    assert got.dtype == np.float32
    assert onset(got) == pytest.approx(1.0, abs=0.003)  # AAC's 1024 samples of priming would be 64 ms
    assert len(got) == pytest.approx(2 * RATE, abs=1100)


def test_the_tail_is_flushed_out_of_the_resampler(make_clip):
    tone = 0.5 * np.sin(np.arange(44100) * 0.05)
    got = read_audio(make_clip("a.wav", sound=[(0, tone)], rate=44100))
    assert len(got) == pytest.approx(RATE, abs=1)
    assert np.abs(got[-200:]).max() > 0.3


def test_two_channels_keep_their_level(make_clip):
    tone = 0.9 * np.sin(np.arange(RATE) * 0.1)
    both = read_audio(make_clip("both.wav", sound=[(0, np.stack([tone, tone]))]))
    left = read_audio(make_clip("left.wav", sound=[(0, np.stack([tone, 0 * tone]))]))
    assert np.abs(both - tone).max() < 0.001
    assert np.abs(left - tone / 2).max() < 0.001


def test_sound_that_starts_late_is_shifted(make_clip):
    path = make_clip(times=[3 + i / 25 for i in range(50)], sound=[(3.5, click(1.5, 0.25))])
    assert onset(read_audio(path)) == pytest.approx(0.75, abs=0.002)
    assert len(read_audio(path)) == pytest.approx(2 * RATE, abs=16)


def test_sound_before_the_first_picture_is_cut_off(make_clip):
    path = make_clip(times=[0.5 + i / 25 for i in range(50)], sound=[(0.0, click(2.5, 0.75))])
    assert onset(read_audio(path)) == pytest.approx(0.25, abs=0.002)
    assert len(read_audio(path)) == pytest.approx(2 * RATE, abs=16)


def test_a_hole_in_the_sound_is_silence(make_clip):
    path = make_clip(times=[i / 25 for i in range(50)], sound=[(0, click(0.5, 0.1)), (1.0, click(1.0, 0.5))])
    got = read_audio(path)
    assert len(got) == pytest.approx(2 * RATE, abs=16)
    assert onset(got[RATE:]) == pytest.approx(0.5, abs=0.002)
    assert np.abs(got[RATE // 2 + 100 : RATE - 100]).max() == 0


def test_sound_without_pictures_starts_at_its_first_sample(make_clip):
    path = make_clip("late.mkv", sound=[(2.0, click(1.0, 0.5))])
    assert onset(read_audio(path)) == pytest.approx(0.5, abs=0.002)


def test_sound_comes_in_blocks(make_clip):
    path = make_clip("a.wav", sound=[(0, click(3, 2))])
    blocks = list(stream_audio(path))
    assert len(blocks) > 10
    assert np.array_equal(np.concatenate(blocks), read_audio(path))


def test_a_cover_picture_is_no_video(tmp_path, make_clip):
    """A picture in a music file must neither count as a recording's first picture nor be cropped."""
    mp3 = make_clip("plain.mp3", sound=[(0, click(1, 0.5))], sound_codec="mp3").read_bytes()
    buffer = tmp_path / "cover.png"
    with av.open(str(buffer), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width = stream.height = 8
        stream.pix_fmt = "gray"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((8, 8), np.uint8), format="gray")))
    body = b"\0image/png\0\3\0" + buffer.read_bytes()
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body
    size = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    music = mp3[mp3.index(b"\xff\xfb") :] if b"\xff\xfb" in mp3 else mp3[mp3.index(b"\xff\xf3") :]
    (tmp_path / "song.mp3").write_bytes(b"ID3\3\0\0" + size + frame + music)
    with av.open(str(tmp_path / "song.mp3")) as container:
        assert container.streams.video  # the trap is set
    with pytest.raises(MediaError, match="no video stream"):
        probe(tmp_path / "song.mp3")
    assert len(read_audio(tmp_path / "song.mp3")) > 0.9 * RATE


# ---- damaged and foreign files


def broken_files(folder, whole: bytes):
    yield "empty.mp4", b"", "the file is empty"
    yield "text.mp4", b"once upon a time\n" * 500, "not a recording that can be read"
    yield "words.txt", b"once upon a time\n" * 500, "not a recording"
    yield "noise.mp4", np.random.default_rng(0).bytes(50000), "not a recording that can be read"
    yield "half.mp4", whole[: len(whole) // 2], "not a recording that can be read"
    yield "list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.ts\n#EXT-X-ENDLIST\n", "not a recording"


@pytest.mark.parametrize("index", range(6))
def test_files_that_are_no_recordings(tmp_path, index):
    write_video(tmp_path / "whole.mp4", smooth_noise(20, (64, 64)))
    name, data, message = list(broken_files(tmp_path, (tmp_path / "whole.mp4").read_bytes()))[index]
    (tmp_path / name).write_bytes(data)
    for work in (probe, read_audio, read_video_array, media_seconds, lambda path: list(read_video(path))):
        with pytest.raises(MediaError, match=message) as caught:
            work(tmp_path / name)
        assert name in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "absent.mp4", tmp_path):
        with pytest.raises(MediaError, match="no such file"):
            probe(path)


def test_no_picture_and_no_sound_are_told_apart(make_clip):
    with pytest.raises(MediaError, match=r"a\.wav: has no video stream"):
        list(read_video(make_clip("a.wav", sound=[(0, click(1, 0.5))])))
    with pytest.raises(MediaError, match=r"b\.mkv: has no sound"):
        read_audio(make_clip("b.mkv", times=[0, 0.04]))


@pytest.mark.parametrize(
    ("extra", "message"), [(0, "ends after 2\\.40 of 4\\.00 s; the file is cut off"), (40, "damaged video data")]
)
def test_a_file_cut_off_after_its_header(tmp_path, extra, message):
    with av.open(str(tmp_path / "whole.mp4"), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt, stream.options = "yuv420p", {"g": "5", "bf": "0"}
        for picture in smooth_noise(100, (64, 64)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        container.mux(stream.encode())
    with av.open(str(tmp_path / "whole.mp4")) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    whole = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: places[60] + extra])
    with pytest.raises(MediaError, match=rf"cut\.mp4: {message}"):
        list(read_video(tmp_path / "cut.mp4"))
    assert len(list(read_video(tmp_path / "cut.mp4", max_seconds=0.5))) == 12
    assert len(list(read_video(tmp_path / "whole.mp4"))) == 100


def test_foreign_metadata_does_no_harm(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        container.metadata["title"] = "GROESSE"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        container.mux(stream.encode(av.VideoFrame.from_ndarray(flat(1, (32, 32))[0], format="gray")))
        container.mux(stream.encode())
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data.replace(b"GROESSE", b"GR\xd6\xdfE  "))
    assert probe(tmp_path / "a.mkv").width == 32


# ---- writing


def test_written_file_plays_everywhere_and_comes_back(tmp_path):
    pictures = smooth_noise(50, (96, 96))
    write_video(tmp_path / "deep/a.mp4", iter(pictures), audio=click(2, 1.0))
    with av.open(str(tmp_path / "deep/a.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt, video.frames) == ("h264", "yuv420p", 50)
        assert float(video.average_rate) == 25
        assert audio.codec_context.name == "aac"
    back = read_video_array(tmp_path / "deep/a.mp4")
    assert np.abs(back.astype(int) - pictures).mean() < 1.5
    assert onset(read_audio(tmp_path / "deep/a.mp4")) == pytest.approx(1.0, abs=0.003)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.mp4"]


def test_grey_keeps_its_whole_range(tmp_path):
    ramp = np.tile(np.arange(0, 256, 2, dtype=np.uint8), (64, 1))
    back = read_video_array(encode_video([ramp] * 3, crf=1))
    assert back.min() <= 2
    assert back.max() >= 252
    assert np.abs(back.astype(int) - ramp).max() <= 3


def test_colour_comes_back(tmp_path):
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[..., 0] = 200
    write_video(tmp_path / "red.mp4", [picture] * 3)
    assert np.abs(next(read_video(tmp_path / "red.mp4")).mean((0, 1)) - [200, 0, 0]).max() < 8


def test_the_same_pictures_give_the_same_bytes():
    pictures = smooth_noise(60, (96, 96))
    odd = np.lib.stride_tricks.as_strided(pictures, pictures.shape, pictures.strides)  # other memory, same pictures
    results = {encode_video(stack) for stack in (pictures, pictures.copy(), odd, np.array(pictures)) for _ in range(2)}
    assert len(results) == 1


@pytest.mark.parametrize("fps", [25, 29.97, 50])
def test_rates_are_written(tmp_path, fps):
    write_video(tmp_path / "a.mp4", flat(20), fps=fps)
    assert probe(tmp_path / "a.mp4").fps == pytest.approx(fps, abs=0.001)


def test_what_cannot_be_coded_is_told(tmp_path):
    wrong = {
        "no frames": [],
        "one even size": flat(3, (33, 32)),
        "one even size for": [np.zeros((32, 32), np.uint8), np.zeros((64, 64), np.uint8)],
        "expected uint8": np.zeros((3, 32, 32), np.float32),
    }
    for message, frames in wrong.items():
        with pytest.raises(MediaError, match=message):
            write_video(tmp_path / "a.mp4", frames)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def pictures():
        yield from flat(3)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"a\.mp4: the disk is full"):
        write_video(tmp_path / "a.mp4", pictures())
    assert list(tmp_path.iterdir()) == []


def test_sound_longer_and_shorter_than_the_pictures(tmp_path):
    for seconds in (0.5, 3.0):
        write_video(tmp_path / "a.mp4", flat(25), audio=click(seconds, 0.25))
        assert len(read_audio(tmp_path / "a.mp4")) == pytest.approx(seconds * RATE, abs=2048)
        assert count_frames(tmp_path / "a.mp4") == 25


# ---- the real thing


def test_grid_clips(grid):
    clips = sorted(grid.glob("video/*/*.mpg"))[:2] + sorted(grid.glob("video/*/*.mp4"))[:2]
    assert clips
    for path in clips:
        pictures = list(read_video(path, pixel="gray"))
        assert len(pictures) in (74, 75)
        assert pictures[0].shape == (288, 360)
        assert len(pictures) == count_frames(path)
        assert len(read_audio(path)) == pytest.approx(48000, abs=640)
        assert probe(path).has_audio


def test_bytes_are_read_as_a_file_is(tmp_path):
    write_video(tmp_path / "a.mp4", smooth_noise(10, (32, 32)))
    data = (tmp_path / "a.mp4").read_bytes()
    assert np.array_equal(read_video_array(data), read_video_array(tmp_path / "a.mp4"))
    with pytest.raises(MediaError, match="<5 bytes>"):
        read_video_array(b"hello")
    assert Fraction(probe(tmp_path / "a.mp4").fps) == 25
