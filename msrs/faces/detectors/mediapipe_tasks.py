"""MediaPipe's FaceLandmarker (Tasks API) in video mode."""

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np

from msrs.config import config
from msrs.errors import DependencyError, MediaError
from msrs.faces.face_model import resolve_face_model
from msrs.faces.landmarks import to_68_points
from msrs.files import sha256

INSTALL = "pip install mediapipe==0.10.31"


class MediaPipeDetector:
    """Landmarks by the 478-point face mesh; several faces, followed from frame to frame."""

    @config
    class Config:
        """Settings of the detector."""

        type: Literal["mediapipe"] = "mediapipe"
        face_model: str = ""  # path of the model bundle; empty: $MSRS_FACE_TASK, the cache, or fetched
        trust_face_model: bool = False  # take a bundle whose checksum is not a known one
        max_faces: int = 3  # faces looked for in a frame; 1 is faster where one person is in view
        min_detection_confidence: float = 0.6  # MediaPipe's own 0.5 takes cheetahs for people
        min_tracking_confidence: float = 0.5

    def __init__(self, config: Config):
        self.config = config
        self._model = self._checksum = ""

    def prepare(self) -> None:
        """Find the package and the model. Raises: DependencyError with the command that brings what is missing."""
        if importlib.util.find_spec("mediapipe") is None:
            raise DependencyError(f"Detecting faces needs the package mediapipe: {INSTALL}")
        self._model = str(resolve_face_model(self.config.face_model or None, self.config.trust_face_model))
        self._checksum = sha256(self._model)

    def fingerprint(self, recording: str, speaker: str) -> str:
        """The settings and the model's checksum; the same for all recordings."""
        if not self._model:
            self.prepare()
        settings = (self.config.max_faces, self.config.min_detection_confidence, self.config.min_tracking_confidence)
        return f"mediapipe {settings} {self._checksum}"

    def detect(self, recording: str, speaker: str, frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Args: frames, each (H, W, 3) uint8 RGB at 25 a second. Yields: the frame's faces, each (68, 2) float32.

        Raises: MediaError naming the recording where MediaPipe gives up on it.
        """
        import mediapipe

        if not self._model:
            self.prepare()
        try:
            with self._landmarker() as landmarker:
                for number, frame in enumerate(frames):
                    # Strides are ignored by this version: a padded row would give silent rubbish.
                    frame = np.ascontiguousarray(frame, dtype=np.uint8)
                    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame)
                    quiet = silence_stderr() if number == 0 else contextlib.nullcontext()
                    with quiet:
                        result = landmarker.detect_for_video(image, number * 40)
                    yield [_points(face, frame.shape) for face in result.face_landmarks]
        except (RuntimeError, ValueError) as error:
            raise MediaError(f"{recording}: MediaPipe gave up on it: {error}") from error

    def _landmarker(self) -> Any:
        from mediapipe.tasks import python as tasks

        options = tasks.vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=self._model),
            running_mode=tasks.vision.RunningMode.VIDEO,
            num_faces=self.config.max_faces,
            min_face_detection_confidence=self.config.min_detection_confidence,
            min_tracking_confidence=self.config.min_tracking_confidence,
        )
        with silence_stderr():
            return tasks.vision.FaceLandmarker.create_from_options(options)


def _points(face: list, shape: tuple[int, ...]) -> np.ndarray:
    height, width = shape[:2]
    # Normalised coordinates count from the frame's edge, ours from the centre of the first pixel.
    points = np.array([(point.x * width - 0.5, point.y * height - 0.5) for point in face], dtype=np.float32)
    return to_68_points(points, "MediaPipe")


@contextlib.contextmanager
def silence_stderr() -> Iterator[None]:
    """Keep what native code writes to file descriptor 2 to itself; it is shown if the block fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as sink:
        saved = os.dup(2)
        try:
            os.dup2(sink.fileno(), 2)
            yield
        except BaseException:
            os.dup2(saved, 2)
            sink.seek(0)
            sys.stderr.write(sink.read().decode("utf-8", "replace"))
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
