"""How sound and vision become one stream."""

from typing import Literal

from torch import Tensor, nn

from msrs.config import config
from msrs.nets.masked_norm import MaskedBatchNorm


@config
class FusionConfig:
    """Where and how the two streams meet."""

    # late: an encoder each, then a two-layer network (Auto-AVSR); early: one encoder reads the joined features
    place: Literal["late", "early"] = "late"
    hidden_size: int = 8192  # of the network; early fusion needs none


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
