"""Where a long recording may be cut without hurting a word: where it is quiet, or where the mouth is still."""

import itertools
from pathlib import Path

import numpy as np

from msrs.data.cut import FPS, FRAME_SAMPLES, SAMPLE_RATE_HZ
from msrs.data.media import read_video, stream_audio

SMOOTHING_FRAMES = 13  # half a second: the middle of a pause is preferred to its edges, and to a stop within a word


def loudness(path: str | Path) -> np.ndarray:
    """Mean square of a recording's sound in each frame that is begun. Returns: (T,) float32.

    Raises: MediaError where there is no sound or it cannot be decoded.
    """
    powers, rest = [], np.zeros(0, np.float32)
    for block in itertools.chain(stream_audio(path, SAMPLE_RATE_HZ), [None]):
        if block is None:
            block = np.zeros(-len(rest) % FRAME_SAMPLES, np.float32)
        rest = np.concatenate([rest, block])
        whole = len(rest) // FRAME_SAMPLES * FRAME_SAMPLES
        powers.append(np.square(rest[:whole].reshape(-1, FRAME_SAMPLES)).mean(axis=1))
        rest = rest[whole:]
    return np.concatenate(powers)


def motion(path: str | Path) -> np.ndarray:
    """How much a mouth crop changes from the frame before to each frame, in grey levels. Returns: (T,) float32.

    The middle half of the patch alone is looked at. Raises: MediaError as `read_video`.
    """
    changes, before = [], None
    for picture in read_video(path, FPS, "gray"):
        height, width = picture.shape
        mouth = picture[height // 4 : -(height // 4), width // 4 : -(width // 4)].astype(np.int16)
        changes.append(0.0 if before is None else np.abs(mouth - before).mean())
        before = mouth
    return np.array(changes, np.float32)


def smoothed(activity: np.ndarray) -> np.ndarray:
    """Weighted mean over the neighbourhood of each frame, which repeats the ends. Args, returns: (T,)."""
    weights = np.bartlett(SMOOTHING_FRAMES + 2)[1:-1]
    padded = np.pad(activity, SMOOTHING_FRAMES // 2, mode="edge")
    return np.convolve(padded, weights / weights.sum(), mode="valid")


def cut_at_pauses(activity: np.ndarray, start: int, end: int, most: int) -> list[tuple[int, int]]:
    """Pieces of at most `most` frames that together are the frames from `start` to `end`.

    One after another is cut where the activity is least; of equals the latest. None is shorter than a quarter of `most`.
    Args: activity (T,), one value a frame. Returns: (first frame, frame after the last) of each piece.

    >>> cut_at_pauses(np.array([5, 5, 5, 5, 0, 5, 5, 5, 5, 5]), 0, 10, 6)
    [(0, 4), (4, 10)]
    """
    pieces = []
    while end - start > most:
        earliest, latest = start + (most + 1) // 2, min(start + most, end - (most + 3) // 4)
        window = activity[earliest : latest + 1]
        cut = latest - int(np.argmin(window[::-1]))
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, end)]
