"""A contract over all encoders, and what is special to the Conformer."""

import pytest
import torch

from msrs import config
from msrs.errors import ConfigError
from msrs.nets import ENCODERS
from msrs.nets.attention import RelativeAttention, relative_position_table, relative_shift
from msrs.nets.conformer import Conformer
from msrs.nets.masked_norm import MaskedBatchNorm

LENGTHS = [11, 4, 7]
SMALL = {
    "conformer": {
        "num_blocks": 2,
        "size": 16,
        "num_heads": 2,
        "feed_forward_size": 32,
        "kernel": 7,
        "layer_scale": 0.1,
    },
    "recurrent": {"num_layers": 2, "size": 12, "hidden_size": 8},
}


def make(name):
    torch.manual_seed(0)
    settings = ENCODERS[name].Config(**SMALL[name])
    features = torch.randn(len(LENGTHS), max(LENGTHS), 10)
    for row, length in zip(features, LENGTHS, strict=True):
        row[length:] = 0.0
    return ENCODERS.build(settings, 10), features, torch.tensor(LENGTHS), settings


@pytest.mark.parametrize("name", list(ENCODERS))
def test_alone_is_as_in_a_batch(name):
    encoder, features, lengths, _ = make(name)
    encoder(features, lengths)
    encoder.eval()
    memory = encoder(features, lengths)
    assert memory.shape == (len(LENGTHS), max(LENGTHS), encoder.output_size)
    for row, length in enumerate(LENGTHS):
        alone = encoder(features[row : row + 1, :length], lengths[row : row + 1])
        assert torch.allclose(alone[0], memory[row, :length], atol=1e-5)
        assert not memory[row, length:].any()


@pytest.mark.parametrize("name", list(ENCODERS))
def test_what_stands_in_the_padding_does_not_matter(name):
    encoder, features, lengths, _ = make(name)
    encoder.eval()
    dirty = features.clone()
    for row, length in zip(dirty, LENGTHS, strict=True):
        row[length:] = 100.0
    assert torch.allclose(encoder(features, lengths), encoder(dirty, lengths), atol=1e-5)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_gradients_reach_every_parameter(name):
    encoder, features, lengths, _ = make(name)
    memory = encoder(features, lengths)
    (memory * torch.randn_like(memory)).sum().backward()
    for parameter_name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", list(ENCODERS))
def test_weights_and_settings_survive(name):
    encoder, features, lengths, settings = make(name)
    again = ENCODERS.build(config.build(type(settings), config.parse_document(config.to_yaml(settings), "x")), 10)
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again.eval()(features, lengths), encoder.eval()(features, lengths))


def test_relative_shift_turns_offsets_into_keys():
    frames = 5
    offsets = torch.arange(frames - 1, -frames, -1.0).expand(1, 1, frames, 2 * frames - 1)
    wanted = torch.arange(frames)[:, None] - torch.arange(frames)[None]
    assert torch.equal(relative_shift(offsets)[0, 0], wanted.float())


def test_attention_equals_its_formula():
    torch.manual_seed(0)
    attention = RelativeAttention(8, 2, 0.0).eval()
    values, mask = torch.randn(1, 4, 8), torch.ones(1, 4, dtype=torch.bool)
    table = relative_position_table(4, 8, values.device, values.dtype)
    query, key, value = (layer(values)[0].view(4, 2, 4) for layer in (attention.query, attention.key, attention.value))
    positions = attention.position(table).view(7, 2, 4)
    out = torch.zeros(4, 2, 4)
    for head in range(2):
        scores = torch.zeros(4, 4)
        for i in range(4):
            for j in range(4):
                content = (query[i, head] + attention.content_bias[head]) @ key[j, head]
                place = (query[i, head] + attention.position_bias[head]) @ positions[3 - (i - j), head]
                scores[i, j] = (content + place) / 2.0
        out[:, head] = scores.softmax(-1) @ value[:, head]
    assert torch.allclose(attention(values, mask, table)[0], attention.out(out.flatten(1)), atol=1e-5)


def test_the_position_table_counts_offsets_from_the_future_down():
    table = relative_position_table(3, 4, torch.device("cpu"), torch.float32)
    assert table.shape == (5, 4)
    assert torch.equal(table[2], torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert torch.allclose(table[0, 0], torch.tensor(2.0).sin())


def test_masked_batch_norm_counts_valid_frames_alone():
    norm = MaskedBatchNorm(3)
    values, mask = torch.randn(2, 4, 3) + 5.0, torch.tensor([[True] * 4, [True, True, False, False]])
    normed = norm(values, mask)
    assert torch.allclose(normed[mask].mean(0), torch.zeros(3), atol=1e-5)
    assert not normed[~mask].any()


def test_an_auto_avsr_encoder_has_its_size():
    with torch.device("meta"):
        encoder = Conformer(Conformer.Config(), 512)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count == 170_451_456 + 393_984  # encoder and projection, counted on Auto-AVSR 182b628


@pytest.mark.parametrize(("key", "value"), [("num_heads", 3), ("kernel", 8)])
def test_sizes_that_do_not_fit_are_refused(key, value):
    with pytest.raises(ConfigError, match=key):
        Conformer(Conformer.Config(**(SMALL["conformer"] | {key: value})), 10)
