"""One recording's utterances, cut out of its mouth crop and its sound on a common grid of frames."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from msrs.data.media import count_frames, encode_video, probe, read_video, stream_audio
from msrs.data.sound import recorded_rate_hz
from msrs.errors import MediaError

FPS = 25
SAMPLE_RATE_HZ = 16000
FRAME_SAMPLES = SAMPLE_RATE_HZ // FPS
NOTED_SECONDS = 0.5  # less is the slack of containers, and of who cuts segments


@dataclasses.dataclass(frozen=True)
class CutJob:
    """What to take out of a recording: (utterance, first frame, frame after the last; None: to the end)."""

    recording: str
    ranges: list[tuple[str, int, int | None]]
    crop: str | None  # None: sound alone
    sound: str | None  # None: pictures alone
    is_encoded: bool = True


@dataclasses.dataclass
class Cut:
    """An utterance ready for the archives, or the reason why there is none.

    Video is uint8, (T, H, W) or the bytes of an mp4 (N,); audio is (T * 640,) int16.
    """

    utt: str
    reason: str | None = None
    num_frames: int = 0
    video: np.ndarray | None = None
    size_px: tuple[int, int] | None = None  # height, width
    audio: np.ndarray | None = None
    notes: list[str] = dataclasses.field(default_factory=list)  # `kind: detail` of what is odd, yet no reason


def to_frames(seconds: float) -> int:
    """The frame that begins nearest to a time.

    >>> to_frames(0.04), to_frames(1.019), to_frames(1.021)
    (1, 25, 26)
    """
    return math.floor(seconds * FPS + 0.5)


def cut_recording(job: CutJob) -> list[Cut]:
    """All utterances of a recording in the order of `job.ranges`; what cannot be had carries its reason."""
    cuts = [Cut(utt) for utt, _, _ in job.ranges]
    if job.crop is not None:
        try:
            _cut_video(job, cuts)
        except MediaError as error:
            return [Cut(cut.utt, f"crop cannot be used: {error}") for cut in cuts]
    if job.sound is not None:
        try:
            sound = np.concatenate([_to_int16(block) for block in stream_audio(job.sound, SAMPLE_RATE_HZ)])
        except MediaError as error:
            return [Cut(cut.utt, cut.reason or f"no sound: {error}") for cut in cuts]
        rate = recorded_rate_hz(job.sound)
        for cut, (_, start, end) in zip(cuts, job.ranges, strict=True):
            _cut_audio(cut, sound, start, end)
            if rate < SAMPLE_RATE_HZ:
                lost = f"so it lacks what is above {rate / 2000:g} kHz, and more errors are to be expected"
                cut.notes.append(f"narrowband sound: recorded at {rate} Hz, models take in {SAMPLE_RATE_HZ} Hz, {lost}")
    for cut, (_, start, end) in zip(cuts, job.ranges, strict=True):
        if end is not None:
            _note(cut, "a segment beyond the recording", (end - start - cut.num_frames) / FPS, "after its recording")
    return [Cut(cut.utt, cut.reason) if cut.reason else cut for cut in cuts]


def _to_int16(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def _cut_audio(cut: Cut, sound: np.ndarray, start: int, end: int | None) -> None:
    if cut.video is None and not cut.reason:  # sound alone: a last frame that is begun counts
        last = math.ceil(len(sound) / FRAME_SAMPLES)
        cut.num_frames = (last if end is None else min(end, last)) - start
    first = start * FRAME_SAMPLES
    piece = sound[first : first + max(cut.num_frames, 0) * FRAME_SAMPLES]
    if not len(piece):
        seconds = len(sound) / SAMPLE_RATE_HZ
        cut.reason = cut.reason or f"no sound: begins at {start / FPS:.2f} s, its sound ends at {seconds:.2f} s"
        return
    cut.audio = np.pad(piece, (0, cut.num_frames * FRAME_SAMPLES - len(piece)))
    more = (len(sound) - first) / SAMPLE_RATE_HZ - cut.num_frames / FPS
    _note(cut, "sound that ends early", -more, "before the pictures")
    if end is None:
        _note(cut, "pictures that end early", more, "before the sound")


def _note(cut: Cut, kind: str, seconds: float, than_what: str) -> None:
    if seconds > NOTED_SECONDS:
        cut.notes.append(f"{kind}: {seconds:.2f} s {than_what}")


def _cut_video(job: CutJob, cuts: list[Cut]) -> None:
    info = probe(job.crop)
    is_steady = abs(info.fps - FPS) < 0.01
    for cut in cuts:
        cut.size_px = (info.height, info.width)
    if job.is_encoded and is_steady and len(cuts) == 1 and job.ranges[0][1:] == (0, None):
        cuts[0].num_frames = count_frames(job.crop)  # decoded, so that a damaged crop is met here and not in training
        cuts[0].video = _file_bytes(job.crop)
        return
    # Ranges are filled while the recording streams by, so that hours of pictures never lie in memory.
    open_cuts = sorted(zip(cuts, job.ranges, strict=True), key=lambda pair: pair[1][1])
    pictures: dict[str, list[np.ndarray]] = {cut.utt: [] for cut in cuts}
    total = 0
    for total, picture in enumerate(read_video(job.crop, FPS, "gray"), 1):
        for cut, (_, start, end) in open_cuts:
            if start >= total:
                break
            if end is None or total <= end:
                pictures[cut.utt].append(picture)
            else:
                _finish(cut, pictures.pop(cut.utt), job)
        if len(open_cuts) != len(pictures):
            open_cuts = [pair for pair in open_cuts if pair[0].utt in pictures]
    for cut, (_, start, end) in open_cuts:
        if start == 0 and is_steady and job.is_encoded and (end is None or end >= total):
            cut.num_frames, cut.video = total, _file_bytes(job.crop)
        else:
            _finish(cut, pictures[cut.utt], job, f"its recording ends at {total / FPS:.2f} s")


def _finish(cut: Cut, pictures: list[np.ndarray], job: CutJob, why: str = "shorter than a frame") -> None:
    cut.num_frames = len(pictures)
    if not pictures:
        cut.reason = f"no pictures: {why}"
    elif job.is_encoded:
        cut.video = np.frombuffer(encode_video(pictures, FPS), np.uint8)
    else:
        cut.video = np.stack(pictures)


def _file_bytes(path: str) -> np.ndarray:
    return np.frombuffer(Path(path).read_bytes(), np.uint8)
