"""A face made of numbers and films of it, so that most tests need neither a detector nor a person."""

import numpy as np
import pytest

from msrs.data.media import write_video
from msrs.faces.align import MEAN_FACE, MOUTH, STABLE

FRAMES = 20


def make_face() -> np.ndarray:
    """68 points whose stable ones are the mean face's, the mouth an ellipse around (130, 158)."""
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    face = np.stack([130 + 60 * np.cos(angles), 130 + 70 * np.sin(angles)], axis=1)
    around = np.linspace(0, 2 * np.pi, len(MOUTH), endpoint=False)
    face[list(MOUTH)] = np.stack([130 + 20 * np.cos(around), 158 + 8 * np.sin(around)], axis=1)
    face[list(STABLE)] = MEAN_FACE
    return face


@pytest.fixture
def face() -> np.ndarray:
    return make_face()


@pytest.fixture(scope="session")
def film(tmp_path_factory):
    """A function that writes a film of smooth texture. Returns: its path. Made once for each set of arguments."""
    folder = tmp_path_factory.mktemp("films")
    made = {}

    def write(name: str = "film", frames: int = FRAMES, fps: float = 25, level: int = 0) -> str:
        key = (name, frames, fps, level)
        if key not in made:
            y, x = np.mgrid[0:240, 0:256]
            texture = 110 + 60 * np.sin(x / 9) + 40 * np.cos(y / 7)
            pictures = (np.clip(texture + 5 * np.sin(t) + level, 0, 255).astype(np.uint8) for t in range(frames))
            made[key] = str(folder / f"{name}{len(made)}.mp4")
            write_video(made[key], pictures, fps=fps)
        return made[key]

    return write


@pytest.fixture
def write_points(tmp_path):
    """A function that writes landmarks as another program would: `frames` and `points` alone."""

    def write(recording: str, points: np.ndarray, frames: np.ndarray | None = None) -> str:
        folder = tmp_path / "given"
        folder.mkdir(exist_ok=True)
        rows = np.arange(len(points)) if frames is None else frames
        np.savez(folder / f"{recording}.npz", frames=rows, points=points.astype(np.float32))
        return str(folder)

    return write
