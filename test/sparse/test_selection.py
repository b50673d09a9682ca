"""Which parameters are masked by default, by option, by pattern; what is never masked."""

import pytest
import torch
from torch import nn

from msrs.errors import ConfigError
from msrs.models.recogniser import Recogniser, RecogniserConfig
from msrs.nets.conformer import Conformer
from msrs.nets.transformer_decoder import TransformerDecoder
from msrs.sparse.selection import BLOCKS, choose_parameters, kind_of, layer_of


def make_recogniser(**keys: object) -> Recogniser:
    config = RecogniserConfig(
        encoder=Conformer.Config(num_blocks=2, size=16, num_heads=2, feed_forward_size=32, layer_scale=0.1),
        decoder=TransformerDecoder.Config(num_blocks=1, size=16, num_heads=2, feed_forward_size=32),
        **keys,
    )
    return Recogniser(config, "video", 7)


def test_the_default_takes_the_matrices_of_the_blocks_and_nothing_else():
    model = make_recogniser()
    chosen = choose_parameters(model, BLOCKS)
    encoder = [n.removeprefix("encoder.blocks.0.") for n in chosen if n.startswith("encoder.blocks.0.")]
    assert sorted(encoder) == sorted(
        [
            *(f"attention.{n}.weight" for n in ("query", "key", "value", "out", "position")),
            *(f"{m}.{i}.weight" for m in ("macaron", "feed_forward") for i in (0, 3)),
            "convolution.expand.weight",
            "convolution.contract.weight",
        ]
    )
    decoder = [n for n in chosen if n.startswith("decoder.")]
    assert len(decoder) == 10
    assert all(n.startswith("decoder.blocks.0.") for n in decoder)
    assert len(chosen) == 2 * len(encoder) + len(decoder)


def test_front_ends_by_option_and_patterns():
    model = make_recogniser()
    plain = choose_parameters(model, BLOCKS)
    wide = choose_parameters(model, BLOCKS, frontends=True)
    extra = set(wide) - set(plain)
    assert extra
    assert all(n.startswith("video_frontend.") for n in extra)
    assert all(wide[n].dim() >= 2 for n in extra)
    one = choose_parameters(model, ["encoder.blocks.1.*"], ["*attention*"])
    assert one
    assert not any("attention" in n or ".0." in n[:17] for n in one)


def test_recurrent_matrices_kernel_one_convolutions_and_tied_weights():
    model = nn.Module()
    model.encoder = nn.Module()
    model.encoder.layers = nn.GRU(4, 3, 1, bidirectional=True)
    assert len(choose_parameters(model, BLOCKS)) == 4
    model.encoder.blocks = nn.ModuleList(
        [nn.Conv1d(4, 4, 1), nn.Conv1d(4, 4, 3), nn.Conv1d(4, 4, 1, groups=4), nn.Embedding(4, 4), nn.Linear(4, 4)]
    )
    model.encoder.blocks.append(nn.Linear(4, 4))
    model.encoder.blocks[5].weight = model.encoder.blocks[4].weight
    model.encoder.blocks.append(nn.Linear(4, 4).requires_grad_(False))
    chosen = choose_parameters(model, ["encoder.blocks.*"])
    assert list(chosen) == ["encoder.blocks.0.weight", "encoder.blocks.4.weight"]


def test_patterns_that_name_nothing_are_told():
    model = make_recogniser()
    with pytest.raises(ConfigError, match=r"'encoder.block.\*' names no matrix.*video_frontend"):
        choose_parameters(model, ["encoder.block.*"])
    with pytest.raises(ConfigError, match="'nothing' names no matrix"):
        choose_parameters(model, BLOCKS, ["nothing"])
    with pytest.raises(ConfigError, match="no matrix is chosen"):
        choose_parameters(nn.Linear(2, 2), BLOCKS)


def test_blocks_and_types_of_names():
    assert layer_of("video_frontend.trunk.3.conv.weight") == "video_frontend.trunk.3"
    assert kind_of("encoder.layers.weight_ih_l0") == "weight_ih_l0"
    assert layer_of("encoder.layers.weight_ih_l0") == "encoder.layers"
    assert torch.is_tensor(make_recogniser().get_parameter("encoder.blocks.0.macaron.0.weight"))
