"""SpecAugment's rectangles: as wide as allowed, within the spectrum, drawn by key."""

import pytest
import torch

from msrs.config import Document, build
from msrs.data.spectrum import SpecAugmentConfig, draw_spectrum_masks
from msrs.errors import ConfigError
from msrs.seeding import keyed_rng


def test_masks_keep_to_their_widths():
    options = SpecAugmentConfig(frequency_masks=2, frequency_share=0.25, time_masks=3, time_seconds=0.4, time_share=0.2)
    for num_seconds, longest in ((10.0, 0.04), (1.0, 0.2)):
        masks = torch.stack([draw_spectrum_masks(options, num_seconds, keyed_rng(i)) for i in range(200)])
        assert masks.shape == (200, 5, 4)
        assert masks.min() >= 0 and masks.max() <= 1
        bands, times = masks[:, :2], masks[:, 2:]
        assert torch.equal(bands[..., 2:], torch.tensor([0.0, 1.0]).expand(200, 2, 2))
        assert torch.equal(times[..., :2], torch.tensor([0.0, 1.0]).expand(200, 3, 2))
        for spans, widest in ((bands[..., :2], 0.25), (times[..., 2:], longest)):
            widths = spans[..., 1] - spans[..., 0]
            assert widths.min() >= 0 and 0.98 * widest < widths.max() <= widest + 1e-6
            assert widths.mean() == pytest.approx(widest / 2, rel=0.1)
            assert spans[..., 0].min() < 0.02 and spans[..., 1].max() > 0.98


def test_the_key_decides():
    first, second, other = (draw_spectrum_masks(SpecAugmentConfig(), 3.0, keyed_rng(1, key)) for key in "aab")
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_no_masks_is_an_empty_list():
    assert draw_spectrum_masks(SpecAugmentConfig(frequency_masks=0), 3.0, keyed_rng(1)).shape == (0, 4)


@pytest.mark.parametrize("name", ["frequency_masks", "time_masks"])
def test_more_masks_than_can_be_drawn_in_time_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name}: Input should be less than or equal to 100"):
        build(SpecAugmentConfig, Document({name: 10**9}, {}, "x"))
