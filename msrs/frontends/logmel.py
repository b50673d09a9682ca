"""Audio front-end on log-mel energies: four 10 ms frames make one 40 ms feature vector."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msrs.config import config
from msrs.frontends.blocks import MaskedNorm1d
from msrs.lengths import length_mask
from msrs.ranges import Count, ShareBelowOne

SAMPLES_PER_FRAME = 640


def mel_filterbank(num_mels: int, num_bins: int, sample_rate_hz: int) -> Tensor:
    """Triangular filters on the HTK mel scale from 0 Hz to half the rate, no area norm. Returns: (num_bins, num_mels).

    >>> mel_filterbank(80, 201, 16000).shape
    torch.Size([201, 80])
    """
    highest = 2595.0 * torch.log10(torch.tensor(1.0 + sample_rate_hz / 2 / 700.0, dtype=torch.float64))
    edges = 700.0 * (10.0 ** (torch.linspace(0, 1, num_mels + 2, dtype=torch.float64) * highest / 2595.0) - 1.0)
    bins = torch.linspace(0, sample_rate_hz / 2, num_bins, dtype=torch.float64)
    slopes = edges[None] - bins[:, None]
    rising = -slopes[:, :-2] / (edges[1:-1] - edges[:-2])
    falling = slopes[:, 2:] / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0.0).float()


def log_mel(audio: Tensor, window: Tensor, filters: Tensor) -> Tensor:
    """Log energies every 10 ms; frame k is centred on sample 160 k + 80.

    Zeros, not reflections, stand beyond both ends, so that padding a batch changes nothing.
    Args: audio (B, S), S a multiple of 160; window (400,); filters (201, M). Returns: (B, S / 160, M).
    """
    frames = F.pad(audio, (120, 120)).unfold(1, 400, 160)
    power = torch.fft.rfft(frames * window).abs().square()
    return (power @ filters + 1e-6).log()


def spectrum_mask(shares: Tensor, lengths: Tensor, size: int, num_mels: int) -> Tensor:
    """Which energies are hidden.

    Args: shares (B, K, 4), rectangles: lowest and highest band, start and end, as shares of the bands and of the
    utterance; lengths (B,) and size in frames of 10 ms. Returns: (B, size, num_mels) bool.
    """

    def is_inside(edges: Tensor, places: Tensor) -> Tensor:
        return (places >= edges[..., :1]) & (places < edges[..., 1:])

    bands = is_inside((shares[..., :2] * num_mels).round(), torch.arange(num_mels, device=shares.device))
    times = is_inside((shares[..., 2:] * lengths[:, None, None]).round(), torch.arange(size, device=shares.device))
    return (times[..., None] & bands[:, :, None]).any(1)


class LogMel(nn.Module):
    """Log-mel energies, normalised over the training batches, four in a row, then two convolutions over time."""

    frames_per_second = 25.0
    takes_masks = True

    @config
    class Config:
        """Sizes of the log-mel front-end."""

        type: Literal["logmel"] = "logmel"
        num_mels: Count = 80
        size: Count = 256
        dropout: ShareBelowOne = 0.1

    def __init__(self, config: Config):
        super().__init__()
        self.output_size = config.size
        self.register_buffer("window", torch.hann_window(400), persistent=False)
        self.register_buffer("filters", mel_filterbank(config.num_mels, 201, 16000), persistent=False)
        self.input_norm = MaskedNorm1d(4 * config.num_mels, affine=False)
        self.conv1 = nn.Conv1d(4 * config.num_mels, config.size, 3, padding=1, bias=False)
        self.norm1 = MaskedNorm1d(config.size)
        self.conv2 = nn.Conv1d(config.size, config.size, 3, padding=1, bias=False)
        self.norm2 = MaskedNorm1d(config.size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, audio: Tensor, lengths: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Args: audio (B, S) normalised, zero beyond a length; lengths (B,) samples; masks (B, K, 4), see `spectrum_mask`.

        Masked energies become the training mean; in evaluation none is masked.
        Returns: features (B, S // 640, C), lengths (B,) frames.
        """
        frame_lengths = lengths // SAMPLES_PER_FRAME
        num_frames = audio.shape[1] // SAMPLES_PER_FRAME
        valid = length_mask(frame_lengths * SAMPLES_PER_FRAME, num_frames * SAMPLES_PER_FRAME)
        with torch.autocast(audio.device.type, enabled=False):  # energies span more than bfloat16 resolves
            mels = log_mel(audio[:, : valid.shape[1]] * valid, self.window, self.filters)
        mask = length_mask(frame_lengths, num_frames)
        x = self.input_norm(mels.reshape(len(mels), num_frames, -1).transpose(1, 2), mask)
        if masks is not None and self.training:  # after the norm: its statistics are those of whole spectra
            hidden = spectrum_mask(masks, 4 * frame_lengths, 4 * num_frames, mels.shape[2])
            x = x.masked_fill(hidden.reshape(len(mels), num_frames, -1).transpose(1, 2), 0.0)
        x = self.dropout(F.silu(self.norm1(self.conv1(x), mask)))
        x = self.dropout(F.silu(self.norm2(self.conv2(x), mask)))
        return x.transpose(1, 2), frame_lengths
