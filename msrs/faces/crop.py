"""One recording: landmarks, then the patches, streamed, so that an hour of video needs no more memory than a second."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from msrs.config import config
from msrs.data.media import probe, read_video, write_video
from msrs.errors import DataError, MediaError
from msrs.faces.align import CropGeometry, PatchWarper, patch_transforms
from msrs.faces.detectors import DETECTORS, MediaPipeDetector
from msrs.faces.landmarks import read_landmarks, round_points, write_landmarks
from msrs.faces.quality import PatchMeter, Quality, face_height, measure
from msrs.faces.track import FaceTracker, TrackedFace, face_segments, fill_gaps
from msrs.log import counted

FPS = 25


@config
class CropOptions:
    """All that shapes a crop; written to crop.yaml."""

    detector: DETECTORS.config_type() = MediaPipeDetector.Config()
    geometry: CropGeometry = CropGeometry()
    crf: int = 18  # quality of the H.264 coding, lower is better and larger
    min_face_share: float = 0.5  # a recording whose face is seen in fewer of its frames is put aside
    min_frames: int = 5  # a shorter recording is put aside
    min_face_px: float = 32  # a recording with a smaller face, brow to chin, is put aside


@dataclasses.dataclass(frozen=True)
class CropJob:
    """One recording: where it comes from, where its crop and its landmarks go."""

    recording: str
    speaker: str
    media: str
    video: str
    landmarks: str
    made_by: str  # hash of what the landmarks are made from; equal ones from an earlier run are used again


def crop_recording(job: CropJob, options: CropOptions, detector: Any) -> Quality:
    """Write the recording's landmarks and its crop. Returns: the crop's measures.

    Raises: MediaError with the reason where the recording cannot be used; DataError where the disk is full.
    """
    info = probe(job.media)
    face = find_face(job, detector)
    check_face(face, options)
    segments = face_segments(face.track)
    filled = fill_gaps(face.points, segments)
    transforms = patch_transforms(filled, segments, options.geometry)
    meter = PatchMeter()
    patches = _patches(job.media, transforms, options.geometry.size)
    write_video(job.video, (meter.add(patch) for patch in patches), fps=FPS, crf=options.crf)
    return measure(job.recording, info, face, filled, transforms, meter)


def find_face(job: CropJob, detector: Any) -> TrackedFace:
    """The recording's landmarks: those of an earlier run if they were made from the same, else by the detector."""
    if Path(job.landmarks).is_file():
        try:
            face, made_by = read_landmarks(job.landmarks)
        except DataError:
            made_by = ""  # cut off by something outside: made anew
        if made_by == job.made_by:
            return face
    tracker = FaceTracker()
    frames = read_video(job.media, fps=FPS, pixel="rgb")
    for faces in detector.detect(job.recording, job.speaker, frames):
        tracker.add(faces)
    face = tracker.result()
    face.points = round_points(face.points)
    write_landmarks(job.landmarks, face, job.made_by)
    return face


def check_face(face: TrackedFace, options: CropOptions) -> None:
    """Raises: MediaError with the reason where there is too little of a face to crop."""
    total, seen = len(face.track), int((face.track >= 0).sum())
    if total < options.min_frames:
        raise MediaError(f"only {counted(total, 'frame')} at 25 a second; at least {options.min_frames} are wanted")
    if seen == 0:
        raise MediaError(f"no face found in any of its {total} frames; is it small, turned or hidden?")
    if seen < options.min_face_share * total:
        raise MediaError(f"a face in {seen} of {total} frames only; at least {options.min_face_share:.0%} are wanted")
    height = face_height(face.points)
    if height < options.min_face_px:
        raise MediaError(f"its face is {height:.0f} pixels high; at least {options.min_face_px:.0f} are wanted")


def _patches(media: str, transforms: np.ndarray, size: int) -> Iterator[np.ndarray]:
    warp = PatchWarper.for_transforms(transforms, size)
    total = len(transforms)
    slack = 2 + total // 20  # landmarks made by others may count a frame more or less at the ends
    count = 0
    for frame in read_video(media, fps=FPS, pixel="gray"):
        if count >= total + slack:
            raise MediaError(f"has more frames than its landmarks ({total}); they belong to another file or frame rate")
        yield warp(frame, transforms[min(count, total - 1)])
        count += 1
    if count < total - slack:
        raise MediaError(
            f"has {counted(count, 'frame')}, its landmarks {total}; they belong to another file or frame rate"
        )
