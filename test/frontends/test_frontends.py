"""A contract over all front-ends: lengths as declared, alone as in a batch, gradients everywhere, settings survive."""

import pytest
import torch

from msrs import config
from msrs.frontends import AUDIO_FRONTENDS, VIDEO_FRONTENDS
from msrs.frontends.logmel import log_mel, mel_filterbank, spectrum_mask
from msrs.frontends.video import stack_frames
from msrs.lengths import length_mask

FRAMES = [13, 8, 5]
SMALL = {
    "resnet": {"widths": (4, 8, 8)},
    "convnet": {"widths": (4, 8), "strides": (2, 2), "grid": 2},
    "waveform": {"widths": (4, 4, 8, 8), "blocks_per_stage": 1},
    "logmel": {"size": 8, "num_mels": 20},
}
ALL = [(VIDEO_FRONTENDS, name) for name in VIDEO_FRONTENDS] + [(AUDIO_FRONTENDS, name) for name in AUDIO_FRONTENDS]


def make(table, name):
    """The front-end, padded input for it, and lengths in its own unit."""
    torch.manual_seed(0)
    part = table.build(table[name].Config(**SMALL[name]))
    if table is VIDEO_FRONTENDS:
        values, lengths = torch.randn(len(FRAMES), max(FRAMES), 24, 24), torch.tensor(FRAMES)
    else:
        values, lengths = torch.randn(len(FRAMES), max(FRAMES) * 640), torch.tensor(FRAMES) * 640
    mask = length_mask(lengths, values.shape[1])
    return part, values * mask.view(*mask.shape, *(1,) * (values.dim() - 2)), lengths


@pytest.mark.parametrize(("table", "name"), ALL)
def test_lengths_are_those_of_25_frames_a_second(table, name):
    part, values, lengths = make(table, name)
    features, out_lengths = part(values, lengths)
    assert out_lengths.tolist() == FRAMES
    assert features.shape == (len(FRAMES), max(FRAMES), part.output_size)
    assert not features[~length_mask(out_lengths, features.shape[1])].any()


@pytest.mark.parametrize(("table", "name"), ALL)
def test_alone_is_as_in_a_batch(table, name):
    part, values, lengths = make(table, name)
    part(values, lengths)  # gives batch normalisation something to remember
    part.eval()
    features, _ = part(values, lengths)
    for row, length, frames in zip(range(len(FRAMES)), lengths.tolist(), FRAMES, strict=True):
        alone, _ = part(values[row : row + 1, :length], torch.tensor([length]))
        assert torch.allclose(alone[0], features[row, :frames], atol=1e-5)


@pytest.mark.parametrize(("table", "name"), ALL)
def test_padding_leaves_no_trace_in_training(table, name):
    part, values, lengths = make(table, name)
    shape = list(values.shape)
    shape[1] = 40 * 640 if table is AUDIO_FRONTENDS else 40
    longer = values.new_zeros(shape)
    longer[:, : values.shape[1]] = values
    states = []
    for module in part.modules():  # whose draws depend on the shape
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d):
            module.p = 0.0
    for padded in (values, longer):
        part.load_state_dict(make(table, name)[0].state_dict())
        part(padded, lengths)
        states.append({key: value.clone() for key, value in part.state_dict().items()})
    for key, value in states[0].items():
        assert torch.allclose(value.float(), states[1][key].float(), atol=1e-5), key


@pytest.mark.parametrize(("table", "name"), ALL)
def test_gradients_reach_every_parameter(table, name):
    part, values, lengths = make(table, name)
    features, _ = part(values, lengths)
    (features * torch.randn_like(features)).sum().backward()
    for parameter_name, parameter in part.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize(("table", "name"), ALL)
def test_weights_and_settings_survive(table, name):
    part, values, lengths = make(table, name)
    settings = table[name].Config(**SMALL[name])
    again = table.build(config.build(table[name].Config, config.parse_document(config.to_yaml(settings), "x")))
    again.load_state_dict(part.state_dict())
    assert torch.equal(again.eval()(values, lengths)[0], part.eval()(values, lengths)[0])


def test_stacked_frames_are_a_3d_convolution():
    video, weight = torch.randn(2, 6, 9, 9), torch.randn(3, 1, 5, 7, 7)
    mask = length_mask(torch.tensor([6, 6]), 6)
    wanted = torch.nn.functional.conv3d(video[:, None], weight, stride=(1, 2, 2), padding=(2, 3, 3))
    got = torch.nn.functional.conv2d(stack_frames(video, mask), weight[:, 0], stride=2, padding=3)
    assert torch.allclose(wanted.transpose(1, 2).flatten(0, 1), got, atol=1e-4)


def test_the_full_visual_front_end_has_auto_avsr_s_size():
    count = sum(
        parameter.numel() for parameter in VIDEO_FRONTENDS["resnet"](VIDEO_FRONTENDS["resnet"].Config()).parameters()
    )
    assert count == 11_182_784  # counted on Auto-AVSR 182b628


def test_the_full_waveform_front_end_has_auto_avsr_s_size():
    part = AUDIO_FRONTENDS["waveform"](AUDIO_FRONTENDS["waveform"].Config())
    assert sum(parameter.numel() for parameter in part.parameters()) == 3_848_576  # counted on Auto-AVSR 182b628


def test_a_tone_lands_in_its_mel_band():
    time = torch.arange(1600) / 16000
    filters = mel_filterbank(40, 201, 16000)
    energies = log_mel(torch.sin(2 * torch.pi * 1000 * time)[None], torch.hann_window(400), filters)[0]
    assert energies.shape == (10, 40)
    assert int(energies[5].argmax()) == int(filters[25].argmax())  # bin 25 is 1,000 Hz


def test_log_mel_equals_torchaudio_s():
    torchaudio = pytest.importorskip(
        "torchaudio", reason="torchaudio is not installed", exc_type=(ImportError, OSError)
    )
    filters = torchaudio.functional.melscale_fbanks(201, 0.0, 8000.0, 80, 16000, norm=None, mel_scale="htk")
    assert torch.allclose(filters, mel_filterbank(80, 201, 16000), atol=1e-5)


SHARES = torch.tensor([[0.1, 0.5, 0.0, 1.0], [0.0, 1.0, 0.25, 0.5], [0.9, 0.9, 0.0, 1.0]])


def test_rectangles_become_exactly_their_bands_and_frames():
    mask = spectrum_mask(SHARES.expand(2, 3, 4), torch.tensor([40, 8]), 40, 20)
    for row, length in ((0, 40), (1, 8)):
        expected = torch.zeros(40, 20, dtype=torch.bool)
        expected[:length, 2:10] = True
        expected[length // 4 : length // 2] = True
        assert torch.equal(mask[row], expected)


def masked_inputs(part, values, lengths, masks):
    """What the first convolution of the log-mel front-end sees, as (B, frames of 10 ms, bands)."""
    seen = []
    handle = part.conv1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    part(values, lengths, *masks)
    handle.remove()
    return seen[0].transpose(1, 2).reshape(len(values), -1, SMALL["logmel"]["num_mels"])


def test_masked_energies_are_the_mean_and_all_others_as_they_were():
    part, values, lengths = make(AUDIO_FRONTENDS, "logmel")
    masks = SHARES.expand(len(FRAMES), 3, 4)
    plain, masked = (masked_inputs(part, values, lengths, more) for more in ((), (masks,)))
    hidden = spectrum_mask(masks, 4 * torch.tensor(FRAMES), 4 * max(FRAMES), 20)
    assert not masked[hidden].any() and plain[hidden].all()
    assert torch.equal(masked[~hidden], plain[~hidden])


def test_evaluation_is_never_masked():
    part, values, lengths = make(AUDIO_FRONTENDS, "logmel")
    part(values, lengths)
    part.eval()
    masks = SHARES.expand(len(FRAMES), 3, 4)
    assert torch.equal(part(values, lengths, masks)[0], part(values, lengths)[0])


def test_masks_leave_no_trace_in_the_statistics_of_the_energies():
    parts = [make(AUDIO_FRONTENDS, "logmel")[0] for _ in range(2)]
    _, values, lengths = make(AUDIO_FRONTENDS, "logmel")
    parts[0](values, lengths)
    parts[1](values, lengths, SHARES.expand(len(FRAMES), 3, 4))
    assert torch.equal(parts[0].input_norm.running_mean, parts[1].input_norm.running_mean)
    assert not torch.equal(parts[0].norm1.running_mean, parts[1].norm1.running_mean)
