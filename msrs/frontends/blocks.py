"""Residual blocks of the front-ends."""

import torch.nn.functional as F
from torch import Tensor, nn

from msrs.batch_norm import BatchNorm1d, BatchNorm2d
from msrs.frontends.conv3x3 import Conv3x3
from msrs.lengths import pack_valid, unpack_valid


class ResidualBlock2d(nn.Module):
    """Two 3x3 convolutions with batch norm; Swish after the first norm and after the sum (He et al., CVPR 2016)."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = Conv3x3(channels, width, stride)
        self.norm1 = BatchNorm2d(width)
        self.conv2 = Conv3x3(width, width)
        self.norm2 = BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (N, C, H, W). Returns: (N, width, H / stride, W / stride)."""
        y = F.silu(self.norm1(self.conv1(x)))
        # In place, for no backward pass asks for the norm's output: one map less to write and to keep.
        return F.silu(self.norm2(self.conv2(y)).add_(self.shortcut(x)))


class MaskedNorm1d(BatchNorm1d):
    """Batch norm of (B, C, S) over valid positions alone; what lies beyond them becomes zero."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Args: x (B, C, S), mask (B, S) bool. Returns: (B, C, S)."""
        return unpack_valid(super().forward(pack_valid(x.transpose(1, 2), mask)), mask).transpose(1, 2)


class ResidualBlock1d(nn.Module):
    """The one-dimensional block of the waveform front-end; every norm sees valid positions alone."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv1d(channels, width, 3, stride, 1, bias=False)
        self.norm1 = MaskedNorm1d(width)
        self.conv2 = nn.Conv1d(width, width, 3, 1, 1, bias=False)
        self.norm2 = MaskedNorm1d(width)
        self.shortcut: nn.Conv1d | None = None
        if stride != 1 or channels != width:
            self.shortcut = nn.Conv1d(channels, width, 1, stride, bias=False)
            self.shortcut_norm = MaskedNorm1d(width)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Args: x (B, C, S) zero beyond the mask, mask (B, S). Returns: (B, width, S / stride) and its mask."""
        mask = mask[:, :: self.stride]
        # Swish of zero is zero, so zeros beyond the mask stay zeros and look like the edge of the recording.
        y = F.silu(self.norm1(self.conv1(x), mask))
        skip = x if self.shortcut is None else self.shortcut_norm(self.shortcut(x), mask)
        return F.silu(self.norm2(self.conv2(y), mask) + skip), mask
