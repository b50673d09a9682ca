import torch

from msrs.synth.warp import Box, lattice, look_up, spread_mesh, thin_plate


def test_a_spline_through_an_affine_move_is_that_move_everywhere():
    control = lattice(0, 0, 100, 80, 4, 3)[None]
    matrix = torch.tensor([[0.1, -0.2], [0.05, 0.3]], dtype=torch.float64)
    displacement = control @ matrix + torch.tensor([3.0, -1.0], dtype=torch.float64)
    query = torch.tensor([[17.0, 33.0], [150.0, -20.0]], dtype=torch.float64)

    found = thin_plate(control, displacement, query)

    torch.testing.assert_close(
        found[0].double(), query @ matrix + torch.tensor([3.0, -1.0]).double(), atol=1e-2, rtol=0
    )


def test_a_spline_follows_its_points_and_each_row_alone():
    control = lattice(0, 0, 200, 200, 5, 5).expand(2, -1, -1)
    displacement = torch.zeros_like(control)
    displacement[0, 12] = torch.tensor([6.0, 2.0])

    found = thin_plate(control, displacement, control[0])

    torch.testing.assert_close(found[0], displacement[0].float(), atol=0.05, rtol=0)
    assert found[1].abs().max() < 1e-3


def test_looking_up_at_pixel_centres_gives_the_pixels():
    picture = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(1))
    box = Box(2, 1, 5, 4)
    torch.testing.assert_close(look_up(picture, box.pixels[None]), picture[box.index])


def test_a_mesh_of_a_linear_field_spreads_to_the_same_field():
    box = Box(3, 2, 30, 20)
    torch.testing.assert_close(spread_mesh(box.mesh(7).float()[None], 7, box)[0], box.pixels, atol=1e-4, rtol=0)


def test_a_box_is_cut_at_the_picture_and_fades_to_its_edges():
    box = Box.around(-3.5, 10.2, 20.1, 999, 64)
    assert (box.left, box.top, box.width, box.height) == (0, 10, 21, 54)
    fade = box.fade(margin_px=5)
    assert fade[27, 10] == 1
    assert fade[0].max() < 0.05
    assert fade[:, 0].max() < 0.05
