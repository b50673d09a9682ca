"""Bidirectional GRU encoder: small, quick on a CPU, soon off the plateau on few hours of data."""

from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from msrs.config import config
from msrs.ranges import Count, ShareBelowOne


class RecurrentEncoder(nn.Module):
    """Linear projection, then bidirectional GRU layers (Cho et al., EMNLP 2014) over packed sequences."""

    @config
    class Config:
        """Sizes of the recurrent encoder."""

        type: Literal["recurrent"] = "recurrent"
        num_layers: Count = 2
        size: Count = 192  # width of the projected input
        hidden_size: Count = 160  # of each direction; the output is twice as wide
        dropout: ShareBelowOne = 0.4  # after the projection, between the layers, on the output

    def __init__(self, config: Config, input_size: int):
        super().__init__()
        self.output_size = 2 * config.hidden_size
        self.project = nn.Linear(input_size, config.size)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.GRU(
            config.size,
            config.hidden_size,
            config.num_layers,
            batch_first=True,
            bidirectional=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
        )

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Args: features (B, T, C), lengths (B,) frames. Returns: (B, T, 2 * hidden_size); zero beyond a length."""
        x = self.dropout(self.project(features))
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        x, _ = pad_packed_sequence(self.layers(packed)[0], batch_first=True, total_length=features.shape[1])
        return self.dropout(x)
