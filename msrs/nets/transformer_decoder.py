"""Transformer decoder (Vaswani et al., NeurIPS 2017), pre-norm, trained on whole sentences and run a token at a time."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msrs.config import Free, config
from msrs.errors import ConfigError
from msrs.lengths import length_mask
from msrs.nets.conformer import feed_forward
from msrs.nets.drop_path import DropPath, drop_path_rates
from msrs.nets.layer_scale import branch_scale
from msrs.ranges import Count, NotNegative, Positive, ShareBelowOne
from msrs.recompute import run_block


def position_table(num_positions: int, size: int, device: torch.device, start: int = 0) -> Tensor:
    """Sinusoids of the positions start, start + 1, ...: even channels sine, odd channels cosine.

    Returns: (num_positions, size) float32; a row depends on its position alone.
    """
    positions = torch.arange(start, start + num_positions, device=device, dtype=torch.float32)
    rates = torch.exp(torch.arange(0, size, 2, device=device, dtype=torch.float32) * (-math.log(10000.0) / size))
    angles = positions[:, None] * rates[None]
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :size]


@dataclass(frozen=True)
class DecoderState:
    """What the decoder remembers of B utterances with K hypotheses each, between two steps.

    Hypotheses of an utterance mostly share their past, so tokens are kept as the nodes of a tree: a node holds the keys
    and values of one token after one past, and a hypothesis is the set of nodes on its way. That is a tenth of what a
    copy of the past for each hypothesis takes, and one matrix product serves all hypotheses of an utterance.
    Fields: memory_keys and memory_values, one (B, h, T, d) a block, projected once an utterance; memory_mask
    (B, 1, 1, T) bool; nodes (B, M, blocks, 2, h, d); is_past (B, K, M) bool, whether node m lies on hypothesis k's way;
    length, tokens read so far.
    """

    memory_keys: tuple[Tensor, ...]
    memory_values: tuple[Tensor, ...]
    memory_mask: Tensor
    nodes: Tensor
    is_past: Tensor
    length: int


class Attention(nn.Module):
    """The four projections of multi-head attention; queries and memory may differ in width."""

    def __init__(self, size: int, memory_size: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query, self.key = nn.Linear(size, size), nn.Linear(memory_size, size)
        self.value, self.out = nn.Linear(memory_size, size), nn.Linear(size, size)

    def project(self, layer: nn.Linear, values: Tensor) -> Tensor:
        """One projection split into heads. Args: values (B, U, D). Returns: (B, h, U, d)."""
        return layer(values).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def mix(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool = False) -> Tensor:
        """Attend and join the heads. Args: (B, h, U, d), keys (B, h, T, d), mask of valid keys. Returns: (B, U, D)."""
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


class DecoderBlock(nn.Module):
    """Self-attention, attention to the memory, feed-forward; each pre-normalised and added to the stream."""

    def __init__(self, config: "TransformerDecoder.Config", memory_size: int, drop_path: float = 0.0):
        super().__init__()
        size, heads, dropout = config.size, config.num_heads, config.attention_dropout
        self.norm_self, self.norm_cross, self.norm_feed_forward = (
            nn.LayerNorm(size, eps=config.norm_eps) for _ in range(3)
        )
        self.self_attention = Attention(size, size, heads, dropout)
        self.cross_attention = Attention(size, memory_size, heads, dropout)
        self.feed_forward = feed_forward(size, config.feed_forward_size, config.dropout)
        self.scale_self, self.scale_cross, self.scale_feed_forward = (
            branch_scale(size, config.layer_scale) for _ in range(3)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Args: x (B, U, D), memory (B, T, D'), memory_mask (B, 1, 1, T). Returns: (B, U, D).

        Padding stands on the right, so the causal mask alone keeps it from every valid position.
        """
        attention, values = self.self_attention, self.norm_self(x)
        query, key, value = (attention.project(p, values) for p in (attention.query, attention.key, attention.value))
        x = x + self._dropped(self.scale_self(attention.mix(query, key, value, None, is_causal=True)))
        return self._finish(x, *self.project_memory(memory), memory_mask)

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the memory (B, T, D'), each (B, h, T, d)."""
        attention = self.cross_attention
        return attention.project(attention.key, memory), attention.project(attention.value, memory)

    def step(self, x: Tensor, nodes: Tensor, is_past: Tensor, memory: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """One position of every hypothesis.

        Args: x (B, K, D); nodes (B, M, 2, h, d), keys and values, the last K of which are those of `x`, written here;
        is_past (B, 1, K, M) bool; memory, its keys, values and mask. Returns: (B, K, D).
        """
        attention, values = self.self_attention, self.norm_self(x)
        query, key, value = (attention.project(p, values) for p in (attention.query, attention.key, attention.value))
        nodes[:, -x.shape[1] :, 0] = key.transpose(1, 2)
        nodes[:, -x.shape[1] :, 1] = value.transpose(1, 2)
        mixed = attention.mix(query, nodes[:, :, 0].transpose(1, 2), nodes[:, :, 1].transpose(1, 2), is_past)
        x = x + self._dropped(self.scale_self(mixed))
        return self._finish(x, *memory)

    def _finish(self, x: Tensor, memory_keys: Tensor, memory_values: Tensor, memory_mask: Tensor) -> Tensor:
        """Attention to the memory and feed-forward; the hypotheses of one utterance go through it as one row of queries."""
        attention = self.cross_attention
        query = attention.project(attention.query, self.norm_cross(x))
        mixed = attention.mix(query, memory_keys, memory_values, memory_mask)
        x = x + self._dropped(self.scale_cross(mixed))
        return x + self._dropped(self.scale_feed_forward(self.feed_forward(self.norm_feed_forward(x))))

    def _dropped(self, branch: Tensor) -> Tensor:
        return self.drop_path(self.dropout(branch))


class TransformerDecoder(nn.Module):
    """Next-token scores from the tokens before and the encoder's memory.

    Args: vocabulary_size V, whose last entry is <sos/eos>; memory_size D', width of the memory.
    """

    @config
    class Config:
        """Sizes and options of the decoder; Auto-AVSR's are 6 blocks, size 768, 12 heads, 3072, norm_eps 1e-12."""

        type: Literal["transformer"] = "transformer"
        num_blocks: Count = 3
        size: Count = 128  # D, width of the residual stream
        num_heads: Count = 4
        feed_forward_size: Count = 512
        dropout: ShareBelowOne = 0.1  # embedding, residual branches, inside the feed-forward
        attention_dropout: ShareBelowOne = 0.1  # on attention weights
        layer_scale: NotNegative | None = None  # start of LayerScale's gains, for example 0.1; null: none
        drop_path: ShareBelowOne = 0.0  # stochastic depth: chance to pass by a branch of the last block; before: less
        checkpoint: Free[bool] = False  # no activations are kept inside blocks: a third more time, far less memory
        norm_eps: Positive = 1e-5  # Auto-AVSR has 1e-12, unsafe in low precision

    def __init__(self, config: Config, vocabulary_size: int, memory_size: int):
        super().__init__()
        if config.size % config.num_heads:
            raise ConfigError(f"decoder.size {config.size} is not a multiple of decoder.num_heads {config.num_heads}.")
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.embedding = nn.Embedding(vocabulary_size, config.size)
        # Times sqrt(D) this has unit variance, the scale of the sinusoids; torch's default would drown them.
        nn.init.normal_(self.embedding.weight, std=config.size**-0.5)
        self.dropout = nn.Dropout(config.dropout)
        rates = drop_path_rates(config.drop_path, config.num_blocks)
        self.blocks = nn.ModuleList(DecoderBlock(config, memory_size, rate) for rate in rates)
        self.norm = nn.LayerNorm(config.size, eps=config.norm_eps)
        self.output = nn.Linear(config.size, vocabulary_size)

    def forward(self, tokens: Tensor, token_lengths: Tensor, memory: Tensor, memory_lengths: Tensor) -> Tensor:
        """Scores of the token after each position, for training.

        Args: tokens (B, U) int64 starting with <sos>, any valid id as padding; token_lengths (B,), <sos> counted;
        memory (B, T, D'); memory_lengths (B,) frames, at least 1. Returns: logits (B, U, V), zero beyond a length.
        """
        memory_mask = length_mask(memory_lengths, memory.shape[1])[:, None, None]
        x = self._embed(tokens, position_table(tokens.shape[1], self.config.size, tokens.device))
        for block in self.blocks:
            x = run_block(block, self.config.checkpoint, x, memory, memory_mask)
        mask = length_mask(token_lengths, tokens.shape[1])
        return self.output(self.norm(x)).masked_fill(~mask[..., None], 0.0)

    def prepare(self, memory: Tensor, memory_lengths: Tensor) -> DecoderState:
        """The state before the first token. Args: memory (B, T, D'), memory_lengths (B,). Returns: state with K = 1."""
        keys, values = zip(*(block.project_memory(memory) for block in self.blocks), strict=True)
        mask = length_mask(memory_lengths, memory.shape[1])[:, None, None]
        heads, width = self.config.num_heads, self.config.size // self.config.num_heads
        nodes = keys[0].new_zeros(len(memory), 0, len(self.blocks), 2, heads, width)
        is_past = torch.zeros(len(memory), 1, 0, dtype=torch.bool, device=memory.device)
        return DecoderState(keys, values, mask, nodes, is_past, 0)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one more token of every hypothesis. Args: tokens (B, K), at first <sos>.

        Returns: log-probabilities (B, K, V) of the next token, float32; the state that has read `tokens`.
        """
        num_slots = tokens.shape[1]
        nodes = F.pad(state.nodes, (0, 0) * 4 + (0, num_slots))
        own = torch.eye(num_slots, dtype=torch.bool, device=tokens.device).expand(len(tokens), -1, -1)
        is_past = torch.cat([state.is_past, own], -1)
        x = self._embed(tokens, position_table(1, self.config.size, tokens.device, start=state.length))
        for i, block in enumerate(self.blocks):
            memory = state.memory_keys[i], state.memory_values[i], state.memory_mask
            x = block.step(x, nodes[:, :, i], is_past[:, None], memory)
        log_probs = self.output(self.norm(x)).float().log_softmax(-1)
        return log_probs, replace(state, nodes=nodes, is_past=is_past, length=state.length + 1)

    def reorder(self, state: DecoderState, parents: Tensor) -> DecoderState:
        """Let slot k continue hypothesis parents[b, k]. Args: parents (B, K') int64 in 0..K-1. Returns: state of K' slots."""
        is_past = state.is_past.gather(1, parents[..., None].expand(-1, -1, state.is_past.shape[2]))
        is_live = is_past.any(1)  # the rest are dead ends; they make room
        order = is_live.sort(dim=-1, descending=True, stable=True).indices[:, : int(is_live.sum(-1).amax())]
        utterances = torch.arange(len(order), device=order.device)[:, None]
        is_past = is_past.gather(2, order[:, None].expand(-1, parents.shape[1], -1))
        return replace(state, nodes=state.nodes[utterances, order], is_past=is_past)

    def select(self, state: DecoderState, rows: Tensor) -> DecoderState:
        """Keep some utterances. Args: rows (B',) int64. Returns: state of these utterances, in this order."""
        keys = tuple(key[rows] for key in state.memory_keys)
        values = tuple(value[rows] for value in state.memory_values)
        mask, nodes, is_past = state.memory_mask[rows], state.nodes[rows], state.is_past[rows]
        return replace(state, memory_keys=keys, memory_values=values, memory_mask=mask, nodes=nodes, is_past=is_past)

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Args: tokens (B, U), positions (U, D), or (1, D) where all stand at the same. Returns: (B, U, D)."""
        return self.dropout(self.embedding(tokens) * math.sqrt(self.config.size) + positions)
