"""A small model, and a loop that trains it with a sparse method as the trainer does."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from msrs.seeding import keyed_seed
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.base import SparseMethod
from msrs.sparse.mask_file import save_masks

STEPS_PER_EPOCH = 6


class Block(nn.Module):
    """Pre-normalised feed-forward and pointwise convolution, each added to the stream."""

    def __init__(self, size: int):
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.feed_forward = nn.Sequential(nn.Linear(size, 2 * size), nn.SiLU(), nn.Linear(2 * size, size))
        self.pointwise = nn.Conv1d(size, size, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.feed_forward(self.norm(x))
        return x + self.pointwise(x.transpose(1, 2)).transpose(1, 2)


class Tagger(nn.Module):
    """A small encoder and a head, under the names that the recogniser gives them; every frame gets a label."""

    def __init__(self, size: int = 8):
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.blocks = nn.ModuleList(Block(size) for _ in range(2))
        self.ctc = nn.Module()
        self.ctc.output = nn.Linear(size, 5)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = values.to(self.encoder.blocks[0].norm.weight.dtype)
        for block in self.encoder.blocks:
            values = block(values)
        return self.ctc.output(values.float())

    def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        values, labels = batch
        return nn.functional.cross_entropy(self(values).flatten(0, 1), labels.flatten())


def make_tagger(seed: int = 0) -> Tagger:
    torch.manual_seed(seed)
    return Tagger()


def make_batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames whose label is which of five fixed directions is strongest; the batch depends on the step alone."""
    generator = torch.Generator().manual_seed(keyed_seed("batch", step))
    values = torch.randn(4, 6, 8, generator=generator)
    return values, values[..., :5].argmax(-1)


def make_adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.1)


def run_steps(
    model: nn.Module,
    method: SparseMethod,
    optimizer: torch.optim.Optimizer,
    first: int,
    last: int,
    each: Callable[[int], None] = lambda step: None,
) -> list[float]:
    """Steps first..last - 1 in the trainer's order of calls, two micro-batches each. Returns: the losses."""
    losses = []
    for step in range(first, last):
        if step == 0 and method.num_prepare_batches:
            method.prepare((make_batch(-1 - i) for i in range(method.num_prepare_batches)), model.loss)
        method.before_forward(step)
        optimizer.zero_grad()
        losses.append(0.0)
        for part in range(2):
            loss = model.loss(make_batch(2 * step + part)) / 2
            loss.backward()
            losses[-1] += float(loss.detach())
        method.after_backward(step)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        method.after_step(step, optimizer)
        if (step + 1) % STEPS_PER_EPOCH == 0:
            method.end_epoch((step + 1) // STEPS_PER_EPOCH, optimizer)
        each(step)
    return losses


@pytest.fixture(scope="session")
def mask_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mask file for the tagger, density about .3."""
    path = tmp_path_factory.mktemp("masks") / "masks.npz"
    generator = torch.Generator().manual_seed(3)
    method = SPARSE_METHODS.build(SPARSE_METHODS["static"].Config())
    method.attach(make_tagger(), 1, 1, 0)
    save_masks({name: torch.rand(p.shape, generator=generator) < 0.3 for name, p in method.params.items()}, path)
    return path


@pytest.fixture(name="make_tagger")
def make_tagger_fixture() -> Callable[..., Tagger]:
    return make_tagger


@pytest.fixture(name="make_batch")
def make_batch_fixture() -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    return make_batch


@pytest.fixture(name="make_adamw")
def make_adamw_fixture() -> Callable[[nn.Module], torch.optim.Optimizer]:
    return make_adamw


@pytest.fixture(name="run_steps")
def run_steps_fixture() -> Callable[..., list[float]]:
    return run_steps


@pytest.fixture
def make_method(mask_path: Path) -> Callable[..., SparseMethod]:
    """A method attached to a model; what has no default and what is too large for a small run is filled in.

    MSRS masks single weights here, the case that the reference's numbers are of; whole units are asked for by name.
    """

    def make(
        name: str, model: nn.Module, total_steps: int = 100, num_epochs: float = math.inf, **keys: object
    ) -> SparseMethod:
        given: dict[str, object] = {"masks": str(mask_path)} if name == "control_mask" else {}
        given |= {"num_batches": 2} if name in ("snip", "grasp") else {}
        given |= {"granularity": "weight", "strength": "quantile"} if name == "msrs" else {}
        method = SPARSE_METHODS.build(SPARSE_METHODS[name].Config(**(given | keys)))
        method.attach(model, total_steps, STEPS_PER_EPOCH, seed=7, num_epochs=num_epochs)
        return method

    return make
