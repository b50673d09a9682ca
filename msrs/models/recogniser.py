"""The hybrid CTC/attention recogniser for video, audio or both (Watanabe et al., JSTSP 2017; Ma et al., ICASSP 2023)."""

from typing import Literal

import torch
from torch import Tensor, nn

from msrs.config import config
from msrs.data.dataset import Batch
from msrs.errors import ConfigError, DataError
from msrs.frontends import AUDIO_FRONTENDS, VIDEO_FRONTENDS
from msrs.frontends.video import VideoResNet
from msrs.frontends.waveform import WaveformResNet
from msrs.lengths import length_mask
from msrs.models.fusion import EarlyFusion, FusionConfig, LateFusion
from msrs.models.losses import Counts, Losses, blank_share, decoder_tokens, smoothed_cross_entropy
from msrs.nets import ENCODERS
from msrs.nets.conformer import Conformer
from msrs.nets.ctc import CTCHead
from msrs.nets.transformer_decoder import TransformerDecoder
from msrs.ranges import Share, ShareBelowOne

Modality = Literal["video", "audio", "audiovisual"]


@config
class RecogniserConfig:
    """The parts of a recogniser; a part of the other modality is left unused."""

    video_frontend: VIDEO_FRONTENDS.config_type() = VideoResNet.Config()
    audio_frontend: AUDIO_FRONTENDS.config_type() = WaveformResNet.Config()
    encoder: ENCODERS.config_type() = Conformer.Config()  # with late fusion, one for either stream
    fusion: FusionConfig = FusionConfig()
    decoder: TransformerDecoder.Config | None = TransformerDecoder.Config()  # null: CTC alone
    ctc: CTCHead.Config = CTCHead.Config()
    ctc_weight: Share = 0.1  # share of the CTC loss; 1 where there is no decoder
    label_smoothing: ShareBelowOne = 0.1


class Recogniser(nn.Module):
    """Pixels or sound, or both, to token scores.

    Args: config; modality; vocabulary_size V, blank 0 first and <sos/eos> last.
    Raises: ConfigError where the parts do not fit together.
    """

    def __init__(self, config: RecogniserConfig, modality: Modality, vocabulary_size: int):
        super().__init__()
        if config.decoder is None and config.ctc_weight != 1.0:
            raise ConfigError(f"model.ctc_weight is {config.ctc_weight}; without a decoder it has to be 1.")
        self.config, self.modality, self.vocabulary_size = config, modality, vocabulary_size
        self.sos_eos_id = vocabulary_size - 1
        sizes = []
        if modality != "audio":
            self.video_frontend = VIDEO_FRONTENDS.build(config.video_frontend)
            sizes.append(self.video_frontend.output_size)
        if modality != "video":
            self.audio_frontend = AUDIO_FRONTENDS.build(config.audio_frontend)
            sizes.append(self.audio_frontend.output_size)
        self.fusion: LateFusion | EarlyFusion | None = None
        self.is_late = modality == "audiovisual" and config.fusion.place == "late"
        if self.is_late:
            self.video_encoder, self.audio_encoder = (ENCODERS.build(config.encoder, size) for size in sizes)
            size = self.video_encoder.output_size
            self.fusion = LateFusion(config.fusion, size, size, size)
        else:
            if modality == "audiovisual":
                self.fusion = EarlyFusion(config.fusion, *sizes)
            self.encoder = ENCODERS.build(config.encoder, self.fusion.output_size if self.fusion else sizes[0])
            size = self.encoder.output_size
        self.ctc = CTCHead(config.ctc, vocabulary_size, size)
        self.decoder = TransformerDecoder(config.decoder, vocabulary_size, size) if config.decoder else None

    def encode(self, batch: Batch, whole: Counts | None = None) -> tuple[Tensor, Tensor]:
        """Args: batch with the streams of the modality; whole, see `forward`. Returns: memory (B, T, D), its lengths (B,).

        A stream that the whole batch lacks, all zeros, teaches its front-end nothing.
        Raises: DataError where a stream is missing, or the two differ in frames.
        """
        streams = []
        lengths = None
        for name in ("video", "audio"):
            if self.modality not in (name, "audiovisual"):
                continue
            values = getattr(batch, name)
            if values is None:
                raise DataError(
                    f"{batch.utt_ids[0]}: the model is {self.modality} and needs {name}, but the batch has none."
                )
            masks = (batch.spectrum_masks,) if name == "audio" and batch.spectrum_masks is not None else ()
            features, own = getattr(self, f"{name}_frontend")(values, getattr(batch, f"{name}_lengths"), *masks)
            if torch.is_grad_enabled():
                # Each norm over zeros alone would multiply the gradient by 1 / sqrt(eps): it overflows behind a ResNet's.
                # The backward pass is made all the same, for processes that share a batch have to make it together.
                is_there = torch.tensor(getattr(whole, f"has_{name}")) if whole else values.any()
                features = torch.where(is_there.to(features.device), features, features.detach())
            if lengths is not None and not torch.equal(lengths, own):
                wrong = batch.utt_ids[int((lengths != own).nonzero()[0])]
                raise DataError(f"{wrong}: video and audio differ in length; rerun stage 2, which cuts both alike.")
            lengths = own
            streams.append(features)
        if not self.is_late:
            features = self.fusion(*streams) if self.fusion else streams[0]
            return self.encoder(features, lengths), lengths
        encoded = [self.video_encoder(streams[0], lengths), self.audio_encoder(streams[1], lengths)]
        joined = torch.cat(encoded, dim=-1)
        return self.fusion(joined, length_mask(lengths, joined.shape[1])), lengths

    def forward(self, batch: Batch, whole: Counts | None = None) -> Losses:
        """The training objective over a batch, in nats a token (<eos> counts for the decoder alone).

        Args: whole, what the batch that this one is a part of holds. The losses of all its parts then sum up to
        its own.
        """
        return self.losses(batch, *self.encode(batch, whole), whole)

    def losses(self, batch: Batch, memory: Tensor, lengths: Tensor, whole: Counts | None = None) -> Losses:
        """As `forward`, for who has encoded the batch already. Args: memory (B, T, D), lengths (B,)."""
        num_tokens = int(batch.token_lengths.sum())
        ctc = self.ctc.loss(memory, lengths, batch.tokens, batch.token_lengths).sum()
        ctc = ctc / max(1, whole.num_tokens if whole else num_tokens)
        with torch.no_grad():
            blanks = blank_share(self.ctc.log_probs(memory), lengths)
            if whole:
                blanks = blanks * (int(lengths.sum()) / whole.num_frames)
        if self.decoder is None:
            return Losses(ctc, ctc.detach(), None, None, blanks, num_tokens)
        inputs, targets = decoder_tokens(batch.tokens, batch.token_lengths, self.sos_eos_id)
        logits = self.decoder(inputs, batch.token_lengths + 1, memory, lengths)
        attention, accuracy = smoothed_cross_entropy(logits, targets, self.config.label_smoothing)
        if whole:
            share = (num_tokens + len(batch)) / (whole.num_tokens + whole.num_utterances)
            attention, accuracy = share * attention, share * accuracy
        weight = self.config.ctc_weight
        total = weight * ctc + (1.0 - weight) * attention
        return Losses(total, ctc.detach(), attention.detach(), accuracy.detach(), blanks, num_tokens)
