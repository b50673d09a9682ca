"""Clips made on the spot: picture i is flat and as bright as `level(i)`, so that a decoded picture tells its number."""

from fractions import Fraction

import av
import numpy as np
import pytest

from msrs.data.datadir import DataDir, write_datadir
from msrs.data.media import write_video


def level(number: int) -> int:
    """Brightness of picture `number`: neighbours differ by 8 grey levels, all levels fit for 25 pictures."""
    return 24 + 8 * (number % 25)


def flat(count: int, size=(32, 48)) -> np.ndarray:
    """(T, H, W) flat pictures, number i as bright as `level(i)`."""
    return np.stack([np.full(size, level(i), np.uint8) for i in range(count)])


@pytest.fixture
def make_clip(tmp_path):
    """Function that writes a clip with picture times and sound under full control; returns its path."""

    def make(
        name="clip.mkv", times=None, pictures=None, codec="mpeg4", fps=25, sound=(), rate=16000, sound_codec="pcm_s16le"
    ):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            video = times is not None and container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
            audio = len(sound) and container.add_stream(sound_codec, rate=rate)
            if video:
                pictures = flat(len(times)) if pictures is None else pictures
                video.width, video.height, video.pix_fmt = pictures.shape[2], pictures.shape[1], "yuv420p"
                if codec != "mpeg1video":  # which knows whole pictures only
                    video.time_base = video.codec_context.time_base = Fraction(1, 1000)
                video.bit_rate = 4_000_000
                if codec == "ffv1":
                    video.pix_fmt = "gray"
            if audio:
                audio.layout = "stereo" if np.ndim(sound[0][1]) == 2 else "mono"
            for start, samples in sound:
                _write_sound(container, audio, start, np.atleast_2d(np.asarray(samples, np.float32)), rate)
            for time, picture in zip(times if video else (), pictures if video else (), strict=True):
                frame = av.VideoFrame.from_ndarray(picture, format="gray")
                frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
                container.mux(video.encode(frame))
            for stream in (video, audio):
                if stream:
                    container.mux(stream.encode())
        return path

    return make


def _write_sound(container, stream, start, samples, rate):
    layout = "mono" if len(samples) == 1 else "stereo"
    for first in range(0, samples.shape[1], 1024):
        block = np.ascontiguousarray((samples[:, first : first + 1024] * 32767).astype(np.int16).T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(start * rate) + first
        container.mux(stream.encode(frame))


@pytest.fixture
def make_set(tmp_path, monkeypatch):
    """Function that writes a data directory of short mp4s with sound, and their crops as stage 1 leaves them."""
    monkeypatch.chdir(tmp_path)

    def make(name="train", utts=("s1-a", "s1-b", "s2-a"), frames=8, skipped=None, segments=None, silent=()):
        text = {utt: f"words of {utt}" for utt in (segments or utts)}
        media, crops = {}, []
        for index, rec in enumerate(utts):
            speaker = rec.partition("-")[0]
            media[rec] = f"corpus/{name}/{rec}.mp4"
            tone = 0.3 * np.sin(np.arange(frames * 640) * (0.05 + 0.01 * index))
            write_video(media[rec], flat(frames), audio=None if rec in silent else tone)
            if rec not in (skipped or {}):
                path = f"dump/crop/{name}/video/{speaker}/{rec}.mp4"
                write_video(path, np.roll(flat(frames), index, axis=0))
                crops.append(f"{rec} {path}\n")
        crop = tmp_path / "dump/crop" / name
        crop.mkdir(parents=True, exist_ok=True)
        (crop / "crop.scp").write_text("".join(crops), encoding="utf-8")
        rows = [f"{rec}\t{why}\n" for rec, why in (skipped or {}).items()]
        (crop / "skipped.tsv").write_text("".join(["recording\treason\n", *rows]), encoding="utf-8")
        (crop / "crop.yaml").write_text("size: 96\n", encoding="utf-8")
        utt2spk = {utt: utt.partition("-")[0] for utt in text}
        data = DataDir(tmp_path / "data" / name, text, utt2spk, media, dict(media), segments or {})
        write_datadir(data)
        return data

    return make
