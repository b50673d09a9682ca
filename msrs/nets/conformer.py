"""Conformer encoder (Gulati et al., Interspeech 2020) in the form of Auto-AVSR, with padding that leaves no trace."""

import math
from typing import Literal

from torch import Tensor, nn

from msrs.config import Free, config
from msrs.errors import ConfigError
from msrs.lengths import length_mask
from msrs.nets.attention import RelativeAttention, relative_position_table
from msrs.nets.drop_path import DropPath, drop_path_rates
from msrs.nets.layer_scale import branch_scale
from msrs.nets.masked_norm import MaskedBatchNorm
from msrs.ranges import Count, NotNegative, Positive, ShareBelowOne
from msrs.recompute import run_block


def feed_forward(size: int, hidden_size: int, dropout: float) -> nn.Sequential:
    """Linear, ReLU, dropout, linear: (..., D) -> (..., D). ReLU, not Swish, as Auto-AVSR's checkpoints have it."""
    return nn.Sequential(nn.Linear(size, hidden_size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden_size, size))


class ConvolutionModule(nn.Module):
    """Pointwise, GLU, depthwise over time, masked batch norm, Swish, pointwise.

    Padded frames are zeroed between GLU and the depthwise kernel: the pointwise bias refills them, and a kernel of 31
    frames would otherwise read what the neighbours in the batch happen to pad.
    """

    def __init__(self, size: int, kernel: int):
        super().__init__()
        self.expand = nn.Linear(size, 2 * size)
        self.depthwise = nn.Conv1d(size, size, kernel, padding=kernel // 2, groups=size)
        self.norm = MaskedBatchNorm(size)
        self.contract = nn.Linear(size, size)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Args: values (B, T, D), mask (B, T). Returns: (B, T, D)."""
        gated = nn.functional.glu(self.expand(values), dim=-1).masked_fill(~mask[..., None], 0.0)
        mixed = self.depthwise(gated.transpose(1, 2)).transpose(1, 2)
        return self.contract(nn.functional.silu(self.norm(mixed, mask)))


class ConformerBlock(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, each pre-normalised, then a final norm."""

    def __init__(self, config: "Conformer.Config", drop_path: float = 0.0):
        super().__init__()
        size, eps = config.size, config.norm_eps
        self.norm_macaron, self.norm_attention, self.norm_convolution, self.norm_feed_forward = (
            nn.LayerNorm(size, eps=eps) for _ in range(4)
        )
        self.macaron = feed_forward(size, config.feed_forward_size, config.dropout)
        self.attention = RelativeAttention(size, config.num_heads, config.attention_dropout)
        self.convolution = ConvolutionModule(size, config.kernel)
        self.feed_forward = feed_forward(size, config.feed_forward_size, config.dropout)
        self.norm_final = nn.LayerNorm(size, eps=eps) if config.final_norm else nn.Identity()
        self.scale_macaron, self.scale_attention, self.scale_convolution, self.scale_feed_forward = (
            branch_scale(size, config.layer_scale) for _ in range(4)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Args: x (B, T, D), mask (B, T), positions (2T-1, D). Returns: (B, T, D)."""
        x = x + 0.5 * self._dropped(self.scale_macaron(self.macaron(self.norm_macaron(x))))
        attended = self.attention(self.norm_attention(x), mask, positions)
        x = x + self._dropped(self.scale_attention(attended))
        x = x + self._dropped(self.scale_convolution(self.convolution(self.norm_convolution(x), mask)))
        x = x + 0.5 * self._dropped(self.scale_feed_forward(self.feed_forward(self.norm_feed_forward(x))))
        return self.norm_final(x)

    def _dropped(self, branch: Tensor) -> Tensor:
        return self.drop_path(self.dropout(branch))


class Conformer(nn.Module):
    """A stack of Conformer blocks over features of any width; the defaults are Auto-AVSR's."""

    @config
    class Config:
        """Sizes and options of the Conformer."""

        type: Literal["conformer"] = "conformer"
        num_blocks: Count = 12
        size: Count = 768  # D, width of the residual stream
        num_heads: Count = 12
        feed_forward_size: Count = 3072
        kernel: Count = 31  # frames seen by the depthwise convolution; odd
        dropout: ShareBelowOne = 0.1  # residual branches, inside the feed-forward, input
        attention_dropout: ShareBelowOne = 0.0
        layer_scale: NotNegative | None = None  # start of LayerScale's gains, for example 0.1; null: none
        drop_path: ShareBelowOne = 0.0  # stochastic depth: chance to pass by a branch of the last block; before: less
        checkpoint: Free[bool] = False  # no activations are kept inside blocks: a third more time, far less memory
        scale_input: bool = True  # multiply the input by sqrt(D): block 1's gradient shrinks by as much
        final_norm: bool = True  # a LayerNorm at the end of every block
        norm_eps: Positive = 1e-12  # Auto-AVSR's; 1e-5 is safer in low precision

    def __init__(self, config: Config, input_size: int):
        super().__init__()
        if config.size % config.num_heads:
            raise ConfigError(f"encoder.size {config.size} is not a multiple of encoder.num_heads {config.num_heads}.")
        if config.kernel % 2 == 0:
            raise ConfigError(f"encoder.kernel is {config.kernel}; an odd number keeps the frames in place.")
        self.output_size = config.size
        self.project = nn.Linear(input_size, config.size)
        self.input_scale = math.sqrt(config.size) if config.scale_input else 1.0
        self.dropout = nn.Dropout(config.dropout)
        rates = drop_path_rates(config.drop_path, config.num_blocks)
        self.blocks = nn.ModuleList(ConformerBlock(config, rate) for rate in rates)
        self.checkpoint = config.checkpoint
        self.norm = nn.LayerNorm(config.size, eps=config.norm_eps)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Args: features (B, T, C), lengths (B,) frames. Returns: (B, T, D); what is beyond a length is zero."""
        mask = length_mask(lengths, features.shape[1])
        x = self.dropout(self.project(features) * self.input_scale)
        positions = relative_position_table(x.shape[1], x.shape[2], x.device, x.dtype)
        positions = self.dropout(positions)
        for block in self.blocks:
            x = run_block(block, self.checkpoint, x, mask, positions)
        return self.norm(x).masked_fill(~mask[..., None], 0.0)
