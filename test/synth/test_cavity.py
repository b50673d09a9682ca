import torch

from msrs.synth.cavity import cavity
from msrs.synth.visemes import REST, VISEMES, Mouth


def shown(head, *mouths):
    mouths = torch.tensor(mouths)
    return cavity(head.lips, head.lips.lines(mouths), mouths, head.mouth_box.pixels)


def test_it_covers_the_opening_and_no_more(head):
    _, coverage = shown(head, REST, VISEMES["I"], VISEMES["A:"])
    assert coverage.min() >= 0
    assert coverage.max() <= 1
    areas = coverage.sum((1, 2, 3))
    assert areas[0] < 0.3 * areas[1] < 0.3 * areas[2]
    edges = torch.cat([coverage[2, 0, 0], coverage[2, 0, -1], coverage[2, 0, :, 0], coverage[2, 0, :, -1]])
    assert edges.max() == 0


def test_teeth_are_bright_and_the_tongue_hides_them(head):
    dark, teeth, tongue = Mouth(0.4, 0.2), Mouth(0.4, 0.2, upper_teeth=1), Mouth(0.4, 0.2, upper_teeth=1, tongue=1)
    colour, coverage = shown(head, dark, teeth, tongue)
    green = (colour[:, 1] * coverage[:, 0]).sum((1, 2)) / coverage.sum((1, 2, 3))
    assert green[1] > 1.5 * green[0]
    assert green[0] < green[2] < green[1]
