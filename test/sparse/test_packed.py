"""Masks put by as bits come back as they were."""

import numpy as np
import torch

from msrs.sparse.packed import PackedMasks


def test_masks_come_back_and_take_an_eighth_of_a_byte_a_weight():
    generator = torch.Generator().manual_seed(0)
    masks = {str(shape): torch.rand(shape, generator=generator) < 0.4 for shape in ((3, 5), (7, 2, 1), (64, 64))}
    packed = PackedMasks(masks)
    for name, mask in masks.items():
        assert packed.unpack(name, torch.empty(mask.shape)).equal(mask)
    assert packed.bits["(64, 64)"][0].nbytes == 64 * 64 // 8
    masks["(3, 5)"].logical_not_()
    assert packed.unpack("(3, 5)", masks["(3, 5)"]).equal(~masks["(3, 5)"])  # nothing is shared


def test_a_row_that_stands_for_all_is_put_by_once():
    row = torch.tensor([True, False, True])
    packed = PackedMasks({"w": row.expand(40, 3)})
    assert packed.bits["w"][0].tolist() == np.packbits(row.numpy()).tolist()
    assert packed.unpack("w", torch.empty(40, 3)).equal(row.expand(40, 3))
