"""Self-attention with relative positions (Dai et al., Transformer-XL, ACL 2019, in the symmetric form of ESPnet's "latest")."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def relative_position_table(num_frames: int, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Sinusoids of the offsets T-1, T-2, ..., -(T-1), offset = query index minus key index.

    Returns: (2T-1, D); even channels sine, odd channels cosine, wavelengths from 2*pi to 10000*2*pi.
    """
    offsets = torch.arange(num_frames - 1, -num_frames, -1, device=device, dtype=torch.float32)
    rates = torch.exp(torch.arange(0, size, 2, device=device, dtype=torch.float32) * (-math.log(10000.0) / size))
    angles = offsets[:, None] * rates[None]
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :size].to(dtype)


def relative_shift(scores: Tensor) -> Tensor:
    """Turn scores by offset into scores by key. Args: (B, h, T, 2T-1). Returns: (B, h, T, T)."""
    batch, heads, frames, width = scores.shape
    padded = F.pad(scores, (1, 0)).view(batch, heads, width + 1, frames)
    return padded[:, :, 1:].reshape(batch, heads, frames, width)[..., :frames]


class RelativeAttention(nn.Module):
    """Multi-head self-attention; score(i, j) = [(q_i + u) k_j + (q_i + v) p_{i-j}] / sqrt(D / h).

    The position term enters scaled-dot-product attention as an additive bias, so one fused kernel does the rest.
    """

    def __init__(self, size: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query, self.key, self.value, self.out = (nn.Linear(size, size) for _ in range(4))
        self.position = nn.Linear(size, size, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(num_heads, size // num_heads))
        self.position_bias = nn.Parameter(torch.zeros(num_heads, size // num_heads))
        nn.init.xavier_uniform_(self.content_bias)
        nn.init.xavier_uniform_(self.position_bias)

    def forward(self, values: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Args: values (B, T, D), mask (B, T) bool of valid keys, positions (2T-1, D). Returns: (B, T, D)."""
        batch, frames, _ = values.shape
        width = self.content_bias.shape[1]  # of a head; a narrowed model has fewer heads than size / width
        query, key, value = (
            layer(values).view(batch, frames, self.num_heads, -1) for layer in (self.query, self.key, self.value)
        )
        offsets = self.position(positions).view(-1, self.num_heads, width).permute(1, 2, 0)
        by_offset = (query + self.position_bias).transpose(1, 2) @ offsets
        bias = relative_shift(by_offset) / math.sqrt(width)
        bias = bias.masked_fill(~mask[:, None, None], torch.finfo(bias.dtype).min)
        mixed = F.scaled_dot_product_attention(
            (query + self.content_bias).transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=bias,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(mixed.transpose(1, 2).reshape(batch, frames, -1))
