"""Stochastic depth and activation checkpointing of encoder, decoder and front-ends."""

import pytest
import torch
from torch import nn

from msrs.frontends.video import VideoResNet
from msrs.frontends.waveform import WaveformResNet
from msrs.nets.conformer import Conformer
from msrs.nets.drop_path import DropPath, drop_path_rates
from msrs.nets.transformer_decoder import TransformerDecoder
from msrs.recompute import run_block

V = 11
SIZES = {"num_blocks": 3, "size": 16, "num_heads": 2, "feed_forward_size": 32, "dropout": 0.1, "attention_dropout": 0.1}
FRAMES, TOKENS = torch.tensor([13, 6, 9, 13]), torch.tensor([5, 3, 2, 4])


class Encoder(nn.Module):
    """A Conformer over the drawn features."""

    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.part = Conformer(Conformer.Config(**SIZES, kernel=7, **options), 10)
        self.features = torch.randn(4, 13, 10)

    def forward(self):
        return self.part(self.features, FRAMES)


class Decoder(nn.Module):
    """A decoder over drawn tokens and memory."""

    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.part = TransformerDecoder(TransformerDecoder.Config(**SIZES, **options), V, 10)
        self.tokens, self.memory = torch.randint(1, V, (4, 5)), torch.randn(4, 13, 10)

    def forward(self):
        return self.part(self.tokens, TOKENS, self.memory, FRAMES)


class Video(nn.Module):
    """The visual ResNet over drawn pictures."""

    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.part = VideoResNet(VideoResNet.Config(widths=(16, 16), **options))
        self.pictures = torch.randn(4, 13, 24, 24)

    def forward(self):
        return self.part(self.pictures, FRAMES)[0]


class Audio(nn.Module):
    """The ResNet over drawn waveforms."""

    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.part = WaveformResNet(WaveformResNet.Config(widths=(4, 4, 8, 8), **options))
        self.waves = torch.randn(4, 13 * 640)

    def forward(self):
        return self.part(self.waves, FRAMES * 640)[0]


def train_steps(model: nn.Module) -> list[torch.Tensor]:
    """All that two steps of training leave behind, the random state included."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    torch.manual_seed(7)
    kept = []
    for _ in range(2):
        out = model()
        optimizer.zero_grad()
        out.square().sum().backward()
        kept += [out, *(parameter.grad.clone() for parameter in model.parameters())]
        optimizer.step()
    return [*kept, *model.parameters(), *model.buffers(), torch.get_rng_state()]


@pytest.mark.parametrize("part", [Encoder, Decoder, Video, Audio])
def test_checkpointing_changes_no_bit(part):
    depth = {"drop_path": 0.3} if part in (Encoder, Decoder) else {}
    plain, saving = train_steps(part(**depth)), train_steps(part(**depth, checkpoint=True))
    assert len(plain) == len(saving) > 50
    assert all(torch.equal(a, b) for a, b in zip(plain, saving))


def test_statistics_move_once_a_step():
    model = Encoder(checkpoint=True)
    model().sum().backward()
    norm = model.part.blocks[0].convolution.norm
    assert int(norm.num_batches_tracked) == 1
    names = [name for name, _ in model.named_buffers()]
    assert names == [name for name, _ in Encoder().named_buffers()]


@pytest.mark.parametrize("part", [Encoder, Decoder, Video, Audio])
def test_checkpointing_keeps_far_less(part):
    kept = []
    for is_recomputed in (False, True):
        seen: dict[int, int] = {}

        def keep(tensor, seen=seen):
            if not isinstance(tensor, nn.Parameter):
                seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        model = part(checkpoint=is_recomputed)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model()
        kept.append(sum(seen.values()))
    assert kept[1] < 0.4 * kept[0]


def test_a_block_that_fails_gets_its_buffers_back():
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)
            self.passes = 0

        def forward(self, x):
            self.passes += 1
            if self.passes == 2:
                raise RuntimeError("second pass")
            return self.norm(x)

    block = Failing()
    buffers = dict(block.norm.named_buffers())
    out = run_block(block, True, torch.randn(4, 3, requires_grad=True))
    with pytest.raises(RuntimeError, match="second pass"):
        out.square().sum().backward()
    assert all(block.norm.get_buffer(name) is buffer for name, buffer in buffers.items())


def test_a_dropped_utterance_is_zero_and_a_kept_one_larger():
    torch.manual_seed(0)
    values = torch.ones(4000, 2, 3)
    out = DropPath(0.25)(values)
    kept = out[:, 0, 0] > 0
    assert torch.equal(out[~kept], torch.zeros(int((~kept).sum()), 2, 3))
    assert torch.allclose(out[kept], torch.full((int(kept.sum()), 2, 3), 1 / 0.75))
    assert abs(float(kept.float().mean()) - 0.75) < 0.03


@pytest.mark.parametrize("part", [Encoder, Decoder])
def test_nothing_is_dropped_in_evaluation(part):
    plain, deep = part().eval(), part(drop_path=0.5).eval()
    assert torch.equal(plain(), deep())
    deep.train()
    torch.manual_seed(7)
    first = deep()
    assert not torch.equal(first, deep())


def test_a_block_that_is_passed_by_leaves_the_stream():
    model = Encoder(drop_path=0.5)
    block = model.part.blocks[-1]
    block.drop_path.rate = 1.0 - 1e-9
    x, mask, positions = torch.randn(4, 13, 16), torch.ones(4, 13, dtype=torch.bool), torch.randn(25, 16)
    assert torch.equal(block(x, mask, positions), block.norm_final(x))


@pytest.mark.parametrize("part", [Encoder, Decoder])
def test_later_blocks_are_dropped_more(part):
    blocks = part(drop_path=0.3).part.blocks
    assert [block.drop_path.rate for block in blocks] == pytest.approx([0.1, 0.2, 0.3])


def test_without_the_option_no_rate():
    assert drop_path_rates(0.0, 4) == [0.0] * 4
