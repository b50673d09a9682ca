"""The CTC head: loss against sums over all paths, lengths, best path."""

import itertools
import math

import pytest
import torch

from msrs.nets.ctc import CTCHead, best_path, frames_needed

V, D = 4, 6


def make_head(seed=0, dropout=0.0):
    torch.manual_seed(seed)
    return CTCHead(CTCHead.Config(dropout=dropout), V, D)


def read(path):
    """The tokens that a path of frames stands for."""
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


def sum_over_paths(log_probs, tokens):
    """log P(tokens) by adding up every path. Args: log_probs (T, V)."""
    paths = itertools.product(range(V), repeat=len(log_probs))
    return math.log(
        sum(math.exp(sum(log_probs[t, c].item() for t, c in enumerate(p))) for p in paths if read(p) == tuple(tokens))
    )


def test_loss_is_minus_the_log_of_the_sum_over_all_paths():
    head, memory = make_head(), torch.randn(3, 5, D)
    tokens = torch.tensor([[1, 2, 3], [2, 2, 0], [3, 0, 0]])
    token_lengths, memory_lengths = torch.tensor([3, 2, 1]), torch.tensor([5, 4, 2])
    loss = head.loss(memory, memory_lengths, tokens, token_lengths)
    for i, value in enumerate(loss.tolist()):
        log_probs = head.log_probs(memory[i, : memory_lengths[i]])
        assert value == pytest.approx(-sum_over_paths(log_probs, tokens[i, : token_lengths[i]].tolist()), abs=1e-4)


def test_padding_changes_neither_loss_nor_gradient():
    head, memory = make_head(), torch.randn(2, 6, D)
    tokens, token_lengths = torch.tensor([[1, 2, 3], [2, 0, 0]]), torch.tensor([3, 1])
    memory_lengths = torch.tensor([6, 4])
    memory.requires_grad_()
    loss = head.loss(memory, memory_lengths, tokens, token_lengths)
    loss.sum().backward()
    alone = memory[1:, :4].detach().requires_grad_()
    loss_alone = head.loss(alone, memory_lengths[1:], tokens[1:, :1], token_lengths[1:])
    loss_alone.sum().backward()
    torch.testing.assert_close(loss[1:], loss_alone)
    torch.testing.assert_close(memory.grad[1, :4], alone.grad[0])
    assert (memory.grad[1, 4:] == 0).all()


def test_an_utterance_that_is_too_short_counts_as_zero():
    head, memory = make_head(), torch.randn(2, 3, D, requires_grad=True)
    tokens, token_lengths = torch.tensor([[1, 1, 2], [1, 2, 3]]), torch.tensor([3, 3])
    loss = head.loss(memory, torch.tensor([3, 3]), tokens, token_lengths)
    assert frames_needed(tokens, token_lengths).tolist() == [4, 3]
    assert loss[0] == 0
    assert loss[1] > 0
    loss.sum().backward()
    assert (memory.grad[0] == 0).all()
    assert memory.grad[1].abs().sum() > 0


def test_loss_is_float32_under_low_precision():
    head, memory = make_head(), torch.randn(1, 5, D)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        log_probs = head.log_probs(memory)
        loss = head.loss(memory, torch.tensor([5]), torch.tensor([[1, 2]]), torch.tensor([2]))
    assert log_probs.dtype == loss.dtype == torch.float32
    assert loss.item() == pytest.approx(-sum_over_paths(log_probs[0], [1, 2]), abs=1e-4)


def test_every_parameter_gets_a_gradient():
    head = make_head(dropout=0.1)
    head.loss(torch.randn(1, 5, D), torch.tensor([5]), torch.tensor([[1]]), torch.tensor([1])).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())


def test_frames_needed_ignores_repeats_in_padding():
    tokens = torch.tensor([[5, 5, 5, 5], [5, 5, 5, 5], [5, 6, 5, 6]])
    assert frames_needed(tokens, torch.tensor([4, 1, 4])).tolist() == [7, 1, 4]


@pytest.mark.parametrize("seed", range(3))
def test_best_path_reads_the_likeliest_token_of_every_frame(seed):
    log_probs = torch.randn(4, 9, V, generator=torch.Generator().manual_seed(seed))
    lengths = torch.tensor([9, 7, 3, 1])
    expected = [list(read(row[:n].tolist())) for row, n in zip(log_probs.argmax(-1), lengths)]
    assert best_path(log_probs, lengths) == expected
