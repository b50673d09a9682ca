"""Visual front-ends: mouth crops to one vector a frame.

Time is folded into the batch and padded frames are left out before the first convolution: no work is done on padding,
and batch normalisation never counts it.
"""

from typing import Annotated, Literal

import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msrs.batch_norm import BatchNorm2d
from msrs.config import Free, config
from msrs.frontends.blocks import ResidualBlock2d
from msrs.lengths import length_mask, unpack_valid
from msrs.ranges import Count, Counts
from msrs.recompute import run_block

STACKED_FRAMES = 5


def stack_frames(video: Tensor, mask: Tensor) -> Tensor:
    """The neighbourhood of every valid frame: itself and two frames on either side, zeros beyond the ends.

    A 3-D convolution with one input channel and 5 frames is a 2-D convolution over these as channels.
    Args: video (B, T, H, W), mask (B, T) bool. Returns: (N, 5, H, W), N valid frames.
    """
    half = STACKED_FRAMES // 2
    padded = F.pad(video * mask[..., None, None], (0, 0, 0, 0, half, half))
    rows, frames = mask.nonzero(as_tuple=True)
    return torch.stack([padded[rows, frames + i] for i in range(STACKED_FRAMES)], dim=1)


class VideoResNet(nn.Module):
    """Auto-AVSR's front-end: 5x7x7 convolution, max-pool, ResNet-18 with Swish, global average.

    (Stafylakis and Tzimiropoulos, Interspeech 2017; Ma et al., ICASSP 2023.)
    """

    frames_per_second = 25.0

    @config
    class Config:
        """Sizes of the visual ResNet."""

        type: Literal["resnet"] = "resnet"
        widths: Counts = (64, 128, 256, 512)  # channels of the residual stages; stride 2 from the second on
        blocks_per_stage: Count = 2
        checkpoint: Free[bool] = False  # no activations are kept inside blocks: a third more time, far less memory

    def __init__(self, config: Config):
        super().__init__()
        self.checkpoint = config.checkpoint
        first = config.widths[0]
        self.output_size = config.widths[-1]
        self.stem = nn.Conv2d(STACKED_FRAMES, first, 7, stride=2, padding=3, bias=False)
        self.stem_norm = BatchNorm2d(first)
        blocks, channels = [], first
        for stage, width in enumerate(config.widths):
            for i in range(config.blocks_per_stage):
                blocks.append(ResidualBlock2d(channels, width, stride=2 if stage and i == 0 else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)

    def forward(self, video: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Args: video (B, T, H, W) normalised, lengths (B,). Returns: features (B, T, C), lengths (B,) unchanged."""
        mask = length_mask(lengths, video.shape[1])
        x = stack_frames(video, mask).contiguous(memory_format=torch.channels_last)
        x = run_block(self._begin, self.checkpoint, x, buffers_of=self.stem_norm)
        for block in self.blocks:
            x = run_block(block, self.checkpoint, x)
        return unpack_valid(x.mean((2, 3)), mask), lengths

    def _begin(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.silu(self.stem_norm(self.stem(x))), 3, stride=2, padding=1)


class VideoConvNet(nn.Module):
    """A small stack of strided convolutions whose last map is flattened, so that places keep their meaning.

    Made for two cores and minutes of training; it wants small pictures (32 to 48 pixels: `augment.video.pool`).
    """

    frames_per_second = 25.0

    @config
    class Config:
        """Sizes of the small convolutional front-end."""

        type: Literal["convnet"] = "convnet"
        widths: Counts = (24, 48, 96, 96)
        strides: Counts = (2, 2, 2, 1)
        grid: Count = 4  # the last map is averaged to grid x grid cells, then flattened
        # Of whole channels; doubled before the last layer
        dropout: Annotated[float, pydantic.Field(ge=0, lt=0.5)] = 0.1

        @pydantic.model_validator(mode="after")
        def _check(self):
            if len(self.widths) != len(self.strides):
                raise ValueError(
                    f"{len(self.widths)} widths and {len(self.strides)} strides; expected one of each a layer"
                )
            return self

    def __init__(self, config: Config):
        super().__init__()
        layers: list[nn.Module] = []
        channels = STACKED_FRAMES
        for i, (width, stride) in enumerate(zip(config.widths, config.strides, strict=True)):
            kernel = 5 if i == 0 else 3
            layers += [
                nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False),
                BatchNorm2d(width),
                nn.SiLU(),
            ]
            if i < len(config.widths) - 1:
                layers.append(nn.Dropout2d(config.dropout * (2 if i == len(config.widths) - 2 else 1)))
            channels = width
        self.layers = nn.Sequential(*layers)
        self.grid = nn.AdaptiveAvgPool2d(config.grid)
        self.output_size = channels * config.grid**2

    def forward(self, video: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Args: video (B, T, H, W) normalised, lengths (B,). Returns: features (B, T, C), lengths (B,) unchanged."""
        mask = length_mask(lengths, video.shape[1])
        x = self.layers(stack_frames(video, mask).contiguous(memory_format=torch.channels_last))
        if x.shape[2:] != (self.grid.output_size, self.grid.output_size):  # else it would only cost time
            x = self.grid(x)
        return unpack_valid(x.flatten(1), mask), lengths
