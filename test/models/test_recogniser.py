"""The whole recogniser: sizes, padding, gradients, what it refuses."""

import dataclasses

import pytest
import torch

from msrs import config
from msrs.data.dataset import Batch
from msrs.errors import ConfigError, DataError
from msrs.models.losses import Counts, decoder_tokens, smoothed_cross_entropy
from msrs.models.recogniser import Recogniser, RecogniserConfig

FRAMES = [17, 9, 12]
SMALL = """
video_frontend: {type: convnet, widths: [4, 8], strides: [2, 2], grid: 2}
audio_frontend: {type: logmel, size: 8, num_mels: 20}
encoder: {type: conformer, num_blocks: 1, size: 16, num_heads: 2, feed_forward_size: 32, kernel: 7}
fusion: {place: PLACE, hidden_size: 24}
decoder: {num_blocks: 1, size: 16, num_heads: 2, feed_forward_size: 32}
ctc_weight: 0.3
"""
KINDS = [("video", "early"), ("audio", "early"), ("audiovisual", "early"), ("audiovisual", "late")]


def make_batch(rows=(0, 1, 2)) -> Batch:
    """The utterances of `rows`, padded to the longest of them."""
    size = max(FRAMES[row] for row in rows)
    video, audio = torch.zeros(len(rows), size, 16, 16), torch.zeros(len(rows), size * 640)
    for place, row in enumerate(rows):
        generator = torch.Generator().manual_seed(row)
        video[place, : FRAMES[row]] = torch.randn(FRAMES[row], 16, 16, generator=generator)
        audio[place, : FRAMES[row] * 640] = torch.randn(FRAMES[row] * 640, generator=generator)
    lengths = torch.tensor([FRAMES[row] for row in rows])
    tokens = torch.tensor([[3, 3, 4], [5, 6, 0], [7, 0, 0]])[list(rows)]
    token_lengths = torch.tensor([3, 2, 1])[list(rows)]
    names = [f"s-{row}" for row in rows]
    return Batch(names, names, tokens, token_lengths, video, lengths, audio, lengths * 640)


def make_model(modality: str, place: str) -> Recogniser:
    torch.manual_seed(0)
    options = config.build(RecogniserConfig, config.parse_document(SMALL.replace("PLACE", place), "x"))
    return Recogniser(options, modality, 9)


@pytest.mark.parametrize(("modality", "place"), KINDS)
def test_memory_of_an_utterance_alone_is_that_in_a_batch(modality, place):
    model = make_model(modality, place)
    model(make_batch())
    model.eval()
    memory, lengths = model.encode(make_batch())
    assert lengths.tolist() == FRAMES
    for row, frames in enumerate(FRAMES):
        alone, _ = model.encode(make_batch([row]))
        assert torch.allclose(alone[0], memory[row, :frames], atol=1e-5)


@pytest.mark.parametrize(("modality", "place"), KINDS)
def test_gradients_reach_every_parameter(modality, place):
    model = make_model(modality, place)
    model(make_batch()).total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("stream", ["video", "audio"])
def test_a_stream_that_a_whole_batch_lacks_teaches_its_front_end_nothing(stream):
    """Norms over zeros alone multiply a gradient by 1 / sqrt(eps) each: behind a ResNet's it would overflow."""
    options = SMALL.replace("PLACE", "late").replace("widths: [4, 8], strides: [2, 2]", "widths: [4, 8, 8, 8]")
    options = options.replace("{type: logmel, size: 8, num_mels: 20}", "{type: waveform}")
    torch.manual_seed(0)
    model = Recogniser(config.build(RecogniserConfig, config.parse_document(options, "x")), "audiovisual", 9)

    def gradients(batch, whole=None):
        model.zero_grad()
        model(batch, whole).total.backward()
        return {name: parameter.grad for name, parameter in model.named_parameters()}

    batch = make_batch()
    setattr(batch, stream, torch.zeros_like(getattr(batch, stream)))
    for name, gradient in gradients(batch).items():
        assert gradient.norm() < 100.0 and not (name.startswith(f"{stream}_frontend.") and gradient.any()), name
    # Of a batch that others have parts of, it is the whole that counts.
    there = gradients(batch, Counts(6, 3, 38, has_video=True, has_audio=True))
    assert any(gradient.any() for name, gradient in there.items() if name.startswith(f"{stream}_frontend."))
    getattr(batch, stream)[0] = getattr(make_batch(), stream)[0]
    assert all(gradient.any() for gradient in gradients(batch).values())


@pytest.mark.parametrize(("modality", "place"), KINDS)
def test_the_loss_is_a_mean_over_tokens(modality, place):
    model = make_model(modality, place).eval()
    whole = model(make_batch())
    parts = [model(make_batch([row])) for row in range(3)]
    wanted = sum(part.ctc * part.num_tokens for part in parts) / sum(part.num_tokens for part in parts)
    assert torch.allclose(whole.ctc, wanted, atol=1e-5)


def test_a_missing_or_unequal_stream_is_told():
    model = make_model("audiovisual", "early")
    with pytest.raises(DataError, match="s-0: the model is audiovisual and needs audio"):
        model(dataclasses.replace(make_batch(), audio=None))
    batch = make_batch()
    with pytest.raises(DataError, match="s-1: video and audio differ in length"):
        model(dataclasses.replace(batch, audio_lengths=batch.audio_lengths - torch.tensor([0, 640, 0])))


def test_attention_without_a_decoder_is_refused():
    with pytest.raises(ConfigError, match="without a decoder"):
        Recogniser(RecogniserConfig(decoder=None), "video", 9)


def test_decoder_tokens_start_and_end_the_sentence():
    inputs, targets = decoder_tokens(torch.tensor([[3, 4], [5, 0]]), torch.tensor([2, 1]), 8)
    assert inputs.tolist() == [[8, 3, 4], [8, 5, 0]]
    assert targets.tolist() == [[3, 4, 8], [5, 8, -1]]


def test_smoothed_cross_entropy_equals_kullback_leibler():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 5), torch.tensor([[1, 2, -1], [4, -1, -1]])
    wanted = []
    for row, column in ((0, 0), (0, 1), (1, 0)):
        smooth = torch.full((5,), 0.1 / 4)
        smooth[targets[row, column]] = 0.9
        wanted.append(torch.nn.functional.kl_div(logits[row, column].log_softmax(-1), smooth, reduction="sum"))
    assert torch.allclose(smoothed_cross_entropy(logits, targets, 0.1)[0], torch.stack(wanted).mean(), atol=1e-6)
    plain = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
    assert torch.allclose(smoothed_cross_entropy(logits, targets, 0.0)[0], plain, atol=1e-6)


@pytest.mark.parametrize(("modality", "millions"), [("video", 250), ("audio", 243), ("audiovisual", 444)])
def test_the_defaults_have_the_size_of_auto_avsr(modality, millions):
    from msrs.nets.transformer_decoder import TransformerDecoder

    decoder = TransformerDecoder.Config(num_blocks=6, size=768, num_heads=12, feed_forward_size=3072)
    with torch.device("meta"):
        model = Recogniser(RecogniserConfig(decoder=decoder), modality, 5049)
    counts = {250: 250_383_410, 243: 243_049_202, 444: 443_977_138}  # counted on Auto-AVSR 182b628 and v1.0.0
    assert sum(parameter.numel() for parameter in model.parameters()) == counts[millions]
