"""Norms that span processes give what one process with the whole batch has: outputs, gradients, statistics."""

import json

import pytest
import torch
from torch import nn

from msrs.batch_norm import BatchNorm1d, BatchNorm2d, joined

# The parts of three processes, the last of which has nothing and passes a stand-in.
PROGRAM = """
import json, os, sys
import torch, torch.distributed as dist
from msrs.batch_norm import BatchNorm1d, BatchNorm2d, joined
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
found = {}
for norm, shape in ((BatchNorm1d(4), (9, 4)), (BatchNorm2d(4, momentum=0.3), (9, 4, 2, 3))):
    whole, slopes = 5.0 + 2.0 * torch.randn(shape), torch.randn(shape)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0)
        norm.bias.uniform_(-1.0, 1.0)
    rows = [slice(0, 2), slice(2, 9), slice(0, 3)][rank]
    part = whole[rows].clone().requires_grad_()
    is_counted = rank < 2
    with joined(norm, dist.group.WORLD, is_counted):
        output = norm(part)
        (output * slopes[rows] * is_counted).sum().backward()
    for gradient in (norm.weight.grad, norm.bias.grad):
        dist.all_reduce(gradient)
    found[str(whole.dim())] = {
        "output": output.tolist(), "slope": part.grad.tolist(), "weight": norm.weight.grad.tolist(),
        "bias": norm.bias.grad.tolist(), "mean": norm.running_mean.tolist(), "var": norm.running_var.tolist(),
    }
print(json.dumps(found))
dist.barrier()
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def alone():
    """What one process makes of the same numbers with torch's own layers."""
    torch.manual_seed(0)
    found = {}
    for norm, shape in ((nn.BatchNorm1d(4), (9, 4)), (nn.BatchNorm2d(4, momentum=0.3), (9, 4, 2, 3))):
        whole, slopes = 5.0 + 2.0 * torch.randn(shape), torch.randn(shape)
        with torch.no_grad():
            norm.weight.uniform_(0.5, 2.0)
            norm.bias.uniform_(-1.0, 1.0)
        whole.requires_grad_()
        output = norm(whole)
        (output * slopes).sum().backward()
        found[str(whole.dim())] = {
            "output": output.detach(), "slope": whole.grad, "weight": norm.weight.grad, "bias": norm.bias.grad,
            "mean": norm.running_mean, "var": norm.running_var,
        }  # fmt: skip
    return found


def test_three_processes_normalise_as_one(run_processes, alone):
    parts = [json.loads(text.splitlines()[-1]) for text in run_processes(PROGRAM, 3)]
    for dim, whole in alone.items():
        for name, value in whole.items():
            found = [torch.tensor(part[dim][name]) for part in parts]
            if name in ("output", "slope"):
                torch.testing.assert_close(torch.cat(found[:2]), value, rtol=1e-5, atol=1e-6)
            else:
                for other in found:
                    torch.testing.assert_close(other, value, rtol=1e-5, atol=1e-6)
        assert not torch.tensor(parts[2][dim]["slope"]).any()


@pytest.mark.parametrize(("own", "torchs", "shape"), [
    (BatchNorm1d, nn.BatchNorm1d, (6, 3)),
    (BatchNorm2d, nn.BatchNorm2d, (6, 3, 2, 2)),
])  # fmt: skip
def test_alone_they_are_torchs_own(own, torchs, shape):
    values = torch.randn(shape)
    first, second = own(3), torchs(3)
    for _ in range(2):
        assert torch.equal(first(values), second(values))
    assert torch.equal(first.running_var, second.running_var)
    assert first.state_dict().keys() == second.state_dict().keys()


def test_outside_of_the_context_and_in_evaluation_nothing_is_joined():
    norm = BatchNorm1d(3)
    with joined(norm, object()):
        norm.eval()
        norm(torch.randn(4, 3))  # would ask the group, which is none
    assert norm.group is None and norm.is_counted


@pytest.mark.parametrize(("norm", "shape"), [(BatchNorm1d(3), (1, 3)), (BatchNorm2d(3, affine=False), (1, 3, 1, 1))])
def test_one_value_a_channel_is_its_own_mean_and_harms_no_statistic(norm, shape):
    """An utterance of one frame may be alone: as the last of a set, or where a batch is looked at in parts."""
    values = (torch.randn(shape) + 5.0).requires_grad_()
    if norm.affine:
        nn.init.constant_(norm.bias, 0.5)
    output = norm(values)
    # Rounding is divided by the root of eps.
    assert torch.allclose(output.flatten(), torch.full((3,), 0.5 if norm.affine else 0.0), atol=1e-3)
    output.sum().backward()
    assert torch.allclose(values.grad, torch.zeros(shape), atol=1e-3)
    assert torch.allclose(norm.running_mean, 0.1 * values.detach().flatten())
    assert torch.allclose(norm.running_var, torch.full((3,), 0.9)) and norm.num_batches_tracked == 1
