"""Audio front-end on the raw waveform: one vector per 640 samples at 16 kHz."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from msrs.config import Free, config
from msrs.frontends.blocks import MaskedNorm1d, ResidualBlock1d
from msrs.lengths import length_mask
from msrs.ranges import Count
from msrs.recompute import run_block

SAMPLES_PER_FRAME = 640


class WaveformResNet(nn.Module):
    """Auto-AVSR's audio front-end: a strided convolution of 80 samples, ResNet-18 in one dimension, average of 20."""

    frames_per_second = 25.0
    takes_masks = False  # there are no bands to hide

    @config
    class Config:
        """Sizes of the waveform ResNet."""

        type: Literal["waveform"] = "waveform"
        widths: tuple[Count, Count, Count, Count] = (64, 128, 256, 512)
        blocks_per_stage: Count = 2
        checkpoint: Free[bool] = False  # no activations are kept inside blocks: a third more time, far less memory

    def __init__(self, config: Config):
        super().__init__()
        self.checkpoint = config.checkpoint
        self.output_size = config.widths[-1]
        self.stem = nn.Conv1d(1, config.widths[0], 80, stride=4, padding=38, bias=False)
        self.stem_norm = MaskedNorm1d(config.widths[0])
        blocks, channels = [], config.widths[0]
        for stage, width in enumerate(config.widths):
            for i in range(config.blocks_per_stage):
                blocks.append(ResidualBlock1d(channels, width, stride=2 if stage and i == 0 else 1))
                channels = width
        self.blocks = nn.ModuleList(blocks)

    def forward(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Args: audio (B, S) normalised, zero beyond a length; lengths (B,) samples.

        Returns: features (B, S // 640, C), lengths (B,) frames.
        """
        frame_lengths = lengths // SAMPLES_PER_FRAME
        num_frames = audio.shape[1] // SAMPLES_PER_FRAME
        mask = length_mask(frame_lengths * SAMPLES_PER_FRAME, num_frames * SAMPLES_PER_FRAME)
        x = (audio[:, : mask.shape[1]] * mask)[:, None]
        mask = mask[:, ::4]
        x = run_block(self._begin, self.checkpoint, x, mask, buffers_of=self.stem_norm)
        for block in self.blocks:
            x, mask = run_block(block, self.checkpoint, x, mask)
        return F.avg_pool1d(x, 20).transpose(1, 2), frame_lengths

    def _begin(self, x: Tensor, mask: Tensor) -> Tensor:
        return F.silu(self.stem_norm(self.stem(x), mask))
