import math

import pytest
import torch

from msrs.search.top import top_indices


@pytest.mark.parametrize("count", [1, 5, 40])
def test_equals_a_stable_sort(count):
    scores = torch.randint(0, 6, (3, 4, 40), generator=torch.Generator().manual_seed(0)).float()
    scores[1] = -math.inf
    scores[2, :, 3:] = -math.inf
    expected = scores.sort(dim=-1, descending=True, stable=True).indices[..., :count]
    assert torch.equal(top_indices(scores, count), expected)


def test_no_more_than_there_are():
    assert top_indices(torch.tensor([[1.0, 2.0]]), 5).tolist() == [[1, 0]]
