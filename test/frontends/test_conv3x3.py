"""Every way to compute a 3x3 convolution is the convolution: outputs, all gradients, in either type, on any map."""

import pytest
import torch
import torch.nn.functional as F

from msrs.frontends import conv3x3, small_maps, winograd
from msrs.frontends.conv3x3 import Conv3x3, SmallMaps, Winograd, by_products, by_winograd
from msrs.frontends.video import VideoResNet

SIZES = [(1, 1), (1, 4), (2, 3), (3, 3), (4, 3), (5, 7), (6, 6), (11, 13)]
WAYS = [(SmallMaps, 1), (SmallMaps, 2), (Winograd, 1)]


def draw(height, width, dtype=torch.float64, pictures=5, channels=6, outputs=4):
    torch.manual_seed(height + 10 * width)
    x = torch.randn(pictures, channels, height, width).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = (torch.randn(outputs, channels, 3, 3) / (9 * channels) ** 0.5).to(dtype)
    return x.requires_grad_(), weight.requires_grad_()


def with_gradients(convolve, x, weight, stride, gradient):
    """The output and the gradients of x and weight for a gradient of the output."""
    y = convolve(x, weight, stride)
    return [value.detach() for value in (y, *torch.autograd.grad(y, (x, weight), gradient))]


def plain(x, weight, stride):
    return F.conv2d(x, weight, None, stride, 1)


@pytest.mark.parametrize(("way", "stride"), WAYS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_outputs_and_gradients_are_those_of_the_plain_convolution(height, width, way, stride, monkeypatch):
    monkeypatch.setattr(winograd, "MAX_PICTURES", 2)  # of five: several rounds, the last one not full
    x, weight = draw(height, width)
    gradient = torch.randn_like(plain(x, weight, stride))
    wanted = with_gradients(plain, x, weight, stride, gradient)
    for got, expected in zip(with_gradients(way.apply, x, weight, stride, gradient), wanted, strict=True):
        assert got.shape == expected.shape
        assert torch.allclose(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 5e-3)])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (6, 2), (5, 2)])
def test_rounding_is_no_worse_than_the_plain_convolution_s(size, stride, dtype, tolerance):
    x, weight = draw(size, size, dtype, pictures=64, channels=256, outputs=256)
    assert by_products(x, weight, stride)
    gradient = torch.randn_like(plain(x, weight, stride))
    doubles = [value.detach().double().requires_grad_() for value in (x, weight)]
    exact = with_gradients(plain, *doubles, stride, gradient.double())
    errors = [
        [
            float((value.double() - true).norm() / true.norm())
            for value, true in zip(with_gradients(convolve, x, weight, stride, gradient), exact, strict=True)
        ]
        for convolve in (SmallMaps.apply, plain)
    ]
    for ours, theirs in zip(*errors, strict=True):
        assert ours < tolerance and ours < 2 * theirs


@pytest.mark.parametrize(("size", "most"), [(3, 2.5e-6), (6, 2.5e-6), (11, 2.5e-6)])
def test_winograds_rounding_stays_at_a_few_times_float32_s_own(size, most):
    x, weight = draw(size, size, torch.float32, pictures=16, channels=128, outputs=128)
    gradient = torch.randn_like(plain(x, weight, 1))
    doubles = [value.detach().double().requires_grad_() for value in (x, weight)]
    exact = with_gradients(plain, *doubles, 1, gradient.double())
    for value, true in zip(with_gradients(Winograd.apply, x, weight, 1, gradient), exact, strict=True):
        assert float((value.double() - true).norm() / true.norm()) < most


@pytest.mark.parametrize(("way", "stride"), WAYS)
def test_gradients_have_gradients(way, stride):
    x, weight = draw(3, 2, pictures=2, channels=2, outputs=2)
    assert torch.autograd.gradcheck(way.apply, (x, weight, stride))
    assert torch.autograd.gradgradcheck(way.apply, (x, weight, stride))


def test_a_gradient_that_nobody_wants_is_not_made(monkeypatch):
    x, weight = draw(3, 3)
    monkeypatch.setattr(small_maps, "to_input", None)
    SmallMaps.apply(x.detach(), weight, 1).sum().backward()
    assert weight.grad is not None
    monkeypatch.undo()
    monkeypatch.setattr(small_maps, "to_weight", None)
    SmallMaps.apply(x, weight.detach(), 1).sum().backward()
    assert x.grad is not None
    gradient = torch.ones(5, 3, 3, 4)
    x, weight = (value.detach().float() for value in (x.permute(0, 2, 3, 1), weight))
    assert [made is None for made in winograd.gradients(gradient, x, weight, (True, False))] == [False, True]
    assert [made is None for made in winograd.gradients(gradient, x, weight, (False, True))] == [True, False]


def test_small_maps_with_many_channels_are_chosen_and_nothing_else():
    def chosen(shape=(64, 256, 3, 3), width=256, stride=1, dtype=torch.float32, device="cpu"):
        weight = torch.empty(width, shape[1], 3, 3, dtype=dtype, device=device)
        return by_products(torch.empty(shape, dtype=dtype, device=device), weight, stride)

    assert chosen() and chosen(dtype=torch.bfloat16) and chosen((64, 256, 7, 8), stride=2)
    assert not chosen(device="meta")  # not a CPU
    assert not chosen(dtype=torch.float64) and not chosen(dtype=torch.float16)
    assert not chosen((63, 256, 3, 3)) and not chosen(width=255)
    assert not chosen((64, 256, 4, 5)) and not chosen((64, 256, 9, 8), stride=2)


def test_many_channels_in_float32_are_filtered_and_nothing_else():
    def chosen(channels=128, width=128, stride=1, dtype=torch.float32, device="cpu"):
        weight = torch.empty(width, channels, 3, 3, dtype=dtype, device=device)
        return by_winograd(torch.empty(1, channels, 11, 11, dtype=dtype, device=device), weight, stride)

    assert chosen() and chosen(512, 256)
    assert not chosen(device="meta") and not chosen(dtype=torch.bfloat16) and not chosen(dtype=torch.float64)
    assert not chosen(stride=2) and not chosen(127) and not chosen(width=127)


@pytest.fixture
def always(monkeypatch):
    """Products wherever they can be."""
    monkeypatch.setattr(conv3x3, "MIN_PICTURES", 1)
    monkeypatch.setattr(conv3x3, "MIN_CHANNEL_PAIRS", 1)


def calls(monkeypatch, way=SmallMaps):
    """Counts the convolutions of a way."""
    counted = []
    apply = way.apply
    monkeypatch.setattr(way, "apply", lambda *inputs: counted.append(inputs[0].dtype) or apply(*inputs))
    return counted


def test_winograds_way_is_for_training_alone_and_not_for_bfloat16(monkeypatch):
    monkeypatch.setattr(conv3x3, "MIN_CHANNELS", 1)
    layer, x, counted = Conv3x3(4, 4), torch.randn(3, 4, 6, 6), calls(monkeypatch, Winograd)
    trained = layer(x)
    assert counted == [torch.float32]
    assert torch.allclose(layer.eval()(x), trained, atol=1e-5) and len(counted) == 1
    with torch.autocast("cpu", torch.bfloat16):
        layer.train()(x)
    assert len(counted) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_layer_is_a_convolution_under_autocast_too(always, monkeypatch, dtype):
    torch.manual_seed(0)
    layer, x = Conv3x3(8, 16, 2), torch.randn(5, 8, 5, 7, requires_grad=True)
    results = []
    for maximum in (16, 0):
        monkeypatch.setattr(conv3x3, "MAX_PIXELS", maximum)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16), monkeypatch.context() as patch:
            counted = calls(patch)
            y = layer(x)
        assert counted == ([dtype] if maximum else [])
        assert y.dtype == dtype and y.shape == (5, 16, 3, 4)
        results.append((y, *torch.autograd.grad(y.float().square().sum(), (x, layer.weight))))
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        assert (ours - theirs).norm() <= (1e-6 if dtype == torch.float32 else 1e-2) * theirs.norm()


@pytest.mark.parametrize("size", [24, 37])
def test_the_front_end_s_answer_depends_neither_on_the_way_nor_on_padding(always, monkeypatch, size):
    torch.manual_seed(0)
    part = VideoResNet(VideoResNet.Config(widths=(4, 8, 8), blocks_per_stage=1))
    video, lengths = torch.randn(3, 9, size, size), torch.tensor([9, 6, 4])
    counted = calls(monkeypatch)
    part(video, lengths)  # gives batch normalisation something to remember
    assert counted
    part.eval()
    features, _ = part(video, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, _ = part(video[row : row + 1, :length], lengths[row : row + 1])
        assert torch.allclose(alone[0], features[row, :length], atol=1e-5)
    monkeypatch.setattr(conv3x3, "MAX_PIXELS", 0)
    assert torch.allclose(part(video, lengths)[0], features, atol=1e-5)
