"""The decoder: whole sentences, single steps, padding, gradients."""

import math

import pytest
import torch

from msrs.errors import ConfigError
from msrs.nets.transformer_decoder import TransformerDecoder, position_table

V, MEMORY = 11, 12


def make_decoder(seed=0, **options):
    torch.manual_seed(seed)
    config = TransformerDecoder.Config(num_blocks=2, size=16, num_heads=4, feed_forward_size=32, **options)
    return TransformerDecoder(config, V, MEMORY).eval()


def make_batch(lengths=(7, 4, 1), frames=(9, 5, 6), seed=1):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, V, (len(lengths), max(lengths)), generator=generator)
    tokens[:, 0] = V - 1
    memory = torch.randn(len(frames), max(frames), MEMORY, generator=generator)
    return tokens, torch.tensor(lengths), memory, torch.tensor(frames)


def test_forward_alone_equals_forward_in_a_padded_batch():
    decoder = make_decoder()
    tokens, token_lengths, memory, memory_lengths = make_batch()
    together = decoder(tokens, token_lengths, memory, memory_lengths)
    for i, (num_tokens, num_frames) in enumerate(zip(token_lengths.tolist(), memory_lengths.tolist())):
        alone = decoder(
            tokens[i : i + 1, :num_tokens],
            token_lengths[i : i + 1],
            memory[i : i + 1, :num_frames],
            memory_lengths[i : i + 1],
        )
        torch.testing.assert_close(together[i, :num_tokens], alone[0], atol=1e-5, rtol=0)
        assert (together[i, num_tokens:] == 0).all()


def test_what_padding_holds_makes_no_difference():
    decoder = make_decoder()
    tokens, token_lengths, memory, memory_lengths = make_batch()
    expected = decoder(tokens, token_lengths, memory, memory_lengths)
    for i, (num_tokens, num_frames) in enumerate(zip(token_lengths.tolist(), memory_lengths.tolist())):
        tokens[i, num_tokens:] = 3
        memory[i, num_frames:] = 1e4
    torch.testing.assert_close(decoder(tokens, token_lengths, memory, memory_lengths), expected)


def test_a_position_does_not_see_later_tokens():
    decoder = make_decoder()
    tokens, _, memory, memory_lengths = make_batch((7, 7, 7))
    lengths = torch.tensor([7, 7, 7])
    before = decoder(tokens, lengths, memory, memory_lengths)
    tokens[:, 4] = 2
    after = decoder(tokens, lengths, memory, memory_lengths)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().max() > 1e-3


def test_steps_with_reordered_beams_equal_the_forward_pass():
    decoder = make_decoder()
    _, _, memory, memory_lengths = make_batch()
    generator = torch.Generator().manual_seed(3)
    state = decoder.prepare(memory, memory_lengths)
    tokens = torch.full((3, 1, 1), V - 1)
    for num_slots in (1, 4, 4, 3):
        log_probs, state = decoder.step(tokens[..., -1], state)
        flat = tokens.flatten(0, 1)
        each = tokens.shape[1]
        logits = decoder(
            flat,
            torch.full((len(flat),), flat.shape[1]),
            memory.repeat_interleave(each, 0),
            memory_lengths.repeat_interleave(each),
        )
        expected = logits[:, -1].log_softmax(-1).view_as(log_probs)
        torch.testing.assert_close(log_probs, expected, atol=1e-5, rtol=0)
        parents = torch.randint(0, each, (3, num_slots), generator=generator)
        state = decoder.reorder(state, parents)
        picked = tokens.gather(1, parents[..., None].expand(-1, -1, tokens.shape[2]))
        tokens = torch.cat([picked, torch.randint(1, V, (3, num_slots, 1), generator=generator)], -1)


def test_select_keeps_the_named_utterances():
    decoder = make_decoder()
    _, _, memory, memory_lengths = make_batch()
    sos = torch.full((3, 1), V - 1)
    _, state = decoder.step(sos, decoder.prepare(memory, memory_lengths))
    expected, _ = decoder.step(torch.tensor([[1], [2], [3]]), state)
    log_probs, _ = decoder.step(torch.tensor([[3], [1]]), decoder.select(state, torch.tensor([2, 0])))
    torch.testing.assert_close(log_probs, expected[[2, 0]])


def test_a_step_leaves_the_state_before_it_as_it_was():
    decoder = make_decoder()
    _, _, memory, memory_lengths = make_batch()
    _, state = decoder.step(torch.full((3, 1), V - 1), decoder.prepare(memory, memory_lengths))
    first, _ = decoder.step(torch.full((3, 1), 2), state)
    decoder.step(torch.full((3, 1), 5), state)
    again, _ = decoder.step(torch.full((3, 1), 2), state)
    assert torch.equal(first, again)


@pytest.mark.parametrize("layer_scale", [None, 0.1])
def test_gradients_reach_every_parameter(layer_scale):
    decoder = make_decoder(layer_scale=layer_scale).train()
    decoder(*make_batch((7, 7, 7), (9, 9, 9))).square().sum().backward()
    missing = [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias of the keys shifts all scores of a query alike, which softmax forgets.
    assert all(name.endswith("key.bias") for name in missing)


def test_positions_are_the_sinusoids_of_the_transformer():
    table = position_table(4, 6, torch.device("cpu"))
    assert table[3, 0] == pytest.approx(math.sin(3.0), abs=1e-6)
    assert table[3, 3] == pytest.approx(math.cos(3.0 * 10000 ** (-2 / 6)), abs=1e-6)
    torch.testing.assert_close(position_table(1, 6, torch.device("cpu"), start=3), table[3:])


def test_size_of_the_published_model():
    with torch.device("meta"):
        config = TransformerDecoder.Config(num_blocks=6, size=768, num_heads=12, feed_forward_size=3072)
        decoder = TransformerDecoder(config, 5049, 768)
    assert sum(p.numel() for p in decoder.parameters()) == 64_472_505
    assert sum(p.numel() for p in decoder.blocks[0].parameters()) == 9_451_776


def test_heads_that_do_not_divide_the_size_are_refused():
    with pytest.raises(ConfigError, match="decoder.size 10 is not a multiple of decoder.num_heads 4"):
        TransformerDecoder(TransformerDecoder.Config(size=10, num_heads=4), V, MEMORY)
