"""How sound and vision become one stream."""

from typing import Literal

import torch
from torch import Tensor, nn

from msrs.config import config
from msrs.nets.masked_norm import MaskedBatchNorm
from msrs.ranges import Count


@config
class FusionConfig:
    """Where and how the two streams meet."""

    # late: an encoder each, then a two-layer network (Auto-AVSR); early: one encoder reads the joined features
    place: Literal["late", "early"] = "late"
    hidden_size: Count = 8192  # of the network; early: the width that either stream is brought to


class LateFusion(nn.Module):
    """Two encoded streams to one: linear, batch norm over valid frames, ReLU, linear (Ma et al., ICASSP 2023)."""

    def __init__(self, config: FusionConfig, video_size: int, audio_size: int, output_size: int):
        super().__init__()
        self.expand = nn.Linear(video_size + audio_size, config.hidden_size)
        self.norm = MaskedBatchNorm(config.hidden_size)
        self.contract = nn.Linear(config.hidden_size, output_size)
        self.output_size = output_size

    def forward(self, joined: Tensor, mask: Tensor) -> Tensor:
        """Args: joined (B, T, D_video + D_audio), mask (B, T) bool. Returns: (B, T, D), zero on padding."""
        hidden = nn.functional.relu(self.norm(self.expand(joined), mask))
        return self.contract(hidden) * mask[..., None]


class EarlyFusion(nn.Module):
    """Features of two front-ends, each brought to the same width and scale, side by side.

    Without the norms the stream with more channels drowns the other: GRID's sound was hardly heard beside its video.
    """

    def __init__(self, config: FusionConfig, video_size: int, audio_size: int):
        super().__init__()
        self.video, self.audio = (
            nn.Sequential(nn.Linear(size, config.hidden_size), nn.LayerNorm(config.hidden_size))
            for size in (video_size, audio_size)
        )
        self.output_size = 2 * config.hidden_size

    def forward(self, video: Tensor, audio: Tensor) -> Tensor:
        """Args: video (B, T, D_video), audio (B, T, D_audio). Returns: (B, T, 2 * hidden_size)."""
        return torch.cat([self.video(video), self.audio(audio)], dim=-1)
