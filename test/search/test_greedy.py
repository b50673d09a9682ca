import torch

from msrs.nets.ctc import CTCHead
from msrs.search.greedy import ctc_greedy


def test_reads_the_heads_best_path():
    head = CTCHead(CTCHead.Config(), 3, 3).eval()
    with torch.no_grad():
        head.output.weight.copy_(torch.eye(3))
        head.output.bias.zero_()
    frames = torch.tensor([[1, 1, 0, 1, 2], [2, 0, 1, 1, 1]])
    memory = torch.nn.functional.one_hot(frames).float()
    assert ctc_greedy(head, memory, torch.tensor([5, 2])) == [[1, 1, 2], [2]]
