"""A raw clip as a model reads it: stages 1 and 2 without folders, and long recordings in pieces."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from msrs.data.augment import (
    AugmentConfig,
    Streams,
    fill_streams,
    prepare_audio,
    prepare_video,
    warn_if_never_dropped,
)
from msrs.data.cut import FPS, Cut, CutJob, cut_recording
from msrs.data.dataset import Utterance
from msrs.data.media import has_pictures, media_seconds, read_video_array
from msrs.data.pauses import cut_at_pauses, loudness, motion, smoothed
from msrs.data.sound import has_sound
from msrs.errors import ConfigError, MediaError
from msrs.faces.crop import CropJob, CropOptions, check_face, crop_recording
from msrs.faces.detectors import DETECTORS
from msrs.faces.landmarks import read_landmarks
from msrs.faces.track import MAX_LOST_FRAMES, TrackedFace, face_segments, seen_stretches
from msrs.log import LOGGER, counted

SLOW_SECONDS = 60.0  # finding the face in a longer recording takes so long that it is told


class ClipReader:
    """Reads raw clips: any size, frame rate and length, a face somewhere in them.

    Args: modality and augment, those of the model's training; crop, how the mouth is cut out; max_frames, what is
    longer is cut into pieces; streams, what an audio-visual model is to read (None: all that a clip has).
    """

    def __init__(
        self,
        modality: Streams,
        augment: AugmentConfig,
        crop: CropOptions,
        max_frames: int,
        streams: Streams | None = None,
    ):
        self.modality, self.augment, self.crop, self.max_frames = modality, augment, crop, max_frames
        self.streams = streams

    def read(self, video: str | Path | None, audio: str | Path | None = None) -> Iterator[tuple[int, Utterance]]:
        """Stages 1 and 2 on one clip: mouth crop, 25 frames and 16000 samples a second.

        Args: video, a media file; audio, one with the sound, by default the same.
        Yields: each piece's first frame, and what the model reads of it.
        Raises: MediaError where a file cannot be used or shows no face; ConfigError where the model needs another one.
        """
        streams = self._choose_streams(video, audio)
        if not video and (streams != "audio" or not audio):
            raise ConfigError(f"the model is to read {streams}; give it a file that has that.")
        if streams == "video" and audio:
            raise ConfigError(f"{audio}: the model is to read {streams} and no sound; leave it out.")
        sound = None if streams == "video" else str(audio or video)
        name = Path(video or audio).stem
        activity = self._listen(sound, audio is not None) if sound else None  # before the face, which takes longer
        with tempfile.TemporaryDirectory(prefix="msrs-") as folder:
            crop, face = self._crop(name, str(video), Path(folder)) if streams != "audio" else (None, None)
            ranges = self._ranges(str(video or audio), crop, face, activity)
            job = CutJob(name, [(f"{name} {start}", start, end) for start, end in ranges], crop, sound)
            cuts = cut_recording(job)
        if all(cut.reason for cut in cuts):
            raise MediaError(f"{video or audio}: {cuts[0].reason}")
        for note in dict.fromkeys(note for cut in cuts for note in cut.notes):
            LOGGER.warning("%s: %s", sound or video, note)
        for (start, _), cut in zip(ranges, cuts, strict=True):
            if cut.reason:
                LOGGER.warning("%s: the piece at %.1f s is left out: %s", video or audio, start / FPS, cut.reason)
            else:
                yield start, self._prepare(cut)

    def _choose_streams(self, video: str | Path | None, audio: str | Path | None) -> Streams:
        streams = self.streams or self.modality
        if self.streams is None and streams == "audiovisual" and video and not audio and not has_sound(video):
            LOGGER.warning("%s: has no sound, so its pictures alone are read", video)
            warn_if_never_dropped(self.augment, "video")
            return "video"
        if self.modality == "audiovisual" and streams != "audio" and video and not has_pictures(video):
            raise MediaError(f"{video}: has no pictures; read its sound alone with --streams audio.")
        return streams

    def _listen(self, sound: str, is_given: bool) -> np.ndarray:
        try:
            return loudness(sound)
        except MediaError as error:
            hint = " Give its sound with --audio, or read its pictures alone with --streams video."
            raise MediaError(f"{error}{'' if is_given or self.modality == 'audio' else hint}") from None

    def _prepare(self, cut: Cut) -> Utterance:
        augment, pictures, samples = self.augment, None, None
        if cut.video is not None:
            pictures = prepare_video(read_video_array(cut.video.tobytes()), augment, 1.0, None)
        if cut.audio is not None:
            samples = prepare_audio(cut.audio, augment, 1.0, None)
        if self.modality == "audiovisual":
            pictures, samples = fill_streams(pictures, samples, augment)
        return Utterance(cut.utt, "", [], pictures, samples)

    def _ranges(
        self, name: str, crop: str | None, face: TrackedFace | None, activity: np.ndarray | None
    ) -> list[tuple[int, int | None]]:
        """First frame and frame after the last (None: the end) of each piece.

        A long recording may show no face for a while: that is left out. Elsewhere it is cut where it is quiet, or, where
        the model does not listen, where the mouth is still or another face comes into view.
        Args: activity, (T,) loudness of the sound; None where the model does not listen.
        """
        total = len(face.track) if face else len(activity)
        if total <= self.max_frames:
            if face:
                with naming(name):
                    check_face(face, self.crop)
            return [(0, None)]
        stretches = [(0, total)]
        if face:
            stretches = seen_stretches(face.track, MAX_LOST_FRAMES)
            stretches = [(start, end) for start, end in stretches if end - start >= self.crop.min_frames]
            if not stretches:
                raise MediaError(f"{name}: no face is in view for longer than {self.crop.min_frames - 1} frames")
        if activity is not None:
            activity = smoothed(np.pad(activity, (0, max(0, total - len(activity)))))
        else:
            activity = smoothed(motion(crop))
            activity[[part.start for part in face_segments(face.track)]] = 0.0
        pieces = [p for start, end in stretches for p in cut_at_pauses(activity, start, end, self.max_frames)]
        _tell_pieces(name, pieces, stretches, total, self.max_frames)
        return pieces

    def _crop(self, name: str, video: str, folder: Path) -> tuple[str, TrackedFace]:
        if (media_seconds(video) or 0) > SLOW_SECONDS:
            LOGGER.info("%s: %.0f s long; finding the face takes a while", video, media_seconds(video))
        detector = DETECTORS.build(self.crop.detector)
        detector.prepare()
        job = CropJob(name, name, video, str(folder / "crop.mp4"), str(folder / "face.npz"), "")
        # In a long recording it is not the whole that has to show a face.
        options = dataclasses.replace(self.crop, min_face_share=0.0)
        with naming(video):
            quality = crop_recording(job, options, detector)
        for alarm in quality.alarms():
            LOGGER.warning("%s: %s", video, alarm)
        return job.video, read_landmarks(job.landmarks)[0]


@contextlib.contextmanager
def naming(clip: str) -> Iterator[None]:
    """Put the clip's name before a MediaError that does not have it."""
    try:
        yield
    except MediaError as error:
        raise MediaError(str(error) if clip in str(error) else f"{clip}: {error}") from error


def _tell_pieces(
    name: str, pieces: Sequence[tuple[int, int]], stretches: Sequence[tuple[int, int]], total: int, most: int
) -> None:
    number = counted(len(pieces), "piece")
    LOGGER.info("%s: %.1f s long, read in %s of at most %.1f s", name, total / FPS, number, most / FPS)
    ends = [(0, 0), *stretches, (total, total)]
    gaps = [(end, start) for (_, end), (start, _) in zip(ends, ends[1:], strict=False) if start > end]
    if gaps:
        told = ", ".join(f"{start / FPS:.1f} to {end / FPS:.1f}" for start, end in gaps)
        LOGGER.warning("%s: no face from %s s: that is left out", name, told)
