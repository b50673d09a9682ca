"""SpecAugment: which bands and stretches of the log-mel energies are hidden in training."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from msrs.config import config
from msrs.ranges import NotNegative, Share

Masks = Annotated[int, Field(ge=0, le=100)]  # each takes time for every utterance


@config
class SpecAugmentConfig:
    """Masks over the log-mel energies (Park et al., Interspeech 2019): what is masked becomes the training mean."""

    frequency_masks: Masks = 2
    frequency_share: Share = 0.3375  # widest mask as a share of the bands; 27 of 80
    time_masks: Masks = 0  # audio_mask_seconds hides stretches too, in the sound itself
    time_seconds: NotNegative = 1.0  # longest mask ...
    time_share: Share = 0.2  # ... and no more than this share of the utterance


def draw_spectrum_masks(options: SpecAugmentConfig, num_seconds: float, rng: np.random.Generator) -> Tensor:
    """Rectangles in shares, so that they fit any number of bands and frames.

    Args: num_seconds of the utterance. Returns: (K, 4) float32: lowest and highest band, start and end, each in [0, 1].
    """
    longest = min(options.time_share, options.time_seconds / num_seconds)
    bands = [(*_draw_span(options.frequency_share, rng), 0.0, 1.0) for _ in range(options.frequency_masks)]
    times = [(0.0, 1.0, *_draw_span(longest, rng)) for _ in range(options.time_masks)]
    return torch.tensor(bands + times, dtype=torch.float32).reshape(-1, 4)


def _draw_span(widest: float, rng: np.random.Generator) -> tuple[float, float]:
    width = widest * rng.random()
    start = (1.0 - width) * rng.random()
    return start, start + width
