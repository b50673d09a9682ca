"""Whole units: what is found in the networks, what one costs, and an export of the same outputs."""

import pytest
import torch
from torch import nn

from msrs.errors import ConfigError
from msrs.log import LOGGER
from msrs.nets.conformer import Conformer
from msrs.nets.transformer_decoder import TransformerDecoder
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.export import fit_to_state, narrow
from msrs.sparse.units import find_units


class Reader(nn.Module):
    """Conformer and Transformer decoder under the recogniser's names."""

    def __init__(self, size: int = 16, hidden: int = 24, heads: int = 4, blocks: int = 2):
        super().__init__()
        self.encoder = Conformer(
            Conformer.Config(num_blocks=blocks, size=size, num_heads=heads, feed_forward_size=hidden, kernel=5), 6
        )
        self.decoder = TransformerDecoder(
            TransformerDecoder.Config(num_blocks=1, size=size, num_heads=heads, feed_forward_size=hidden), 9, size
        )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        lengths = torch.full((len(values),), values.shape[1])
        memory = self.encoder(values, lengths)
        tokens = torch.arange(len(values) * 3).view(-1, 3) % 9
        return self.decoder(tokens, torch.full((len(values),), 3), memory, lengths)


def make_reader() -> Reader:
    torch.manual_seed(0)
    return Reader()


def test_units_of_conformer_and_decoder():
    groups = {group.module: group for group in find_units(make_reader())}
    assert list(groups) == [
        *(f"encoder.blocks.{i}.{m}" for i in range(2) for m in ("macaron", "attention", "convolution", "feed_forward")),
        "decoder.blocks.0.cross_attention",  # self-attention keeps its heads: its cache is the same in every block
        "decoder.blocks.0.feed_forward",
    ]
    assert [groups[f"encoder.blocks.0.{m}"].count for m in ("macaron", "attention", "convolution")] == [24, 4, 16]


def test_costs_at_the_papers_size():
    model = nn.Module()
    model.encoder = Conformer(Conformer.Config(num_blocks=1), 8)
    costs = {group.kind: group.cost(model) for group in find_units(model)}
    head = 64 * (4 * 768 + 3) + 64 * 768 + 128
    assert costs == {"feed_forward": 768 + 1 + 768, "heads": head, "channels": 2340}


def test_the_worked_example_of_three_units():
    model = nn.Module()
    model.feed_forward = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    bias = model.feed_forward[2].bias.clone()
    with torch.no_grad():
        model.feed_forward[2].weight[:, 1] = 0
        values = torch.randn(5, 2)
        before = model.feed_forward(values)
        assert narrow(model) == {"feed_forward": (2, 3)}
        assert torch.equal(model.feed_forward(values), before)
    assert model.feed_forward[0].weight.shape == (2, 2)
    assert torch.equal(model.feed_forward[2].bias, bias)


def train(model: Reader, **keys: object) -> object:
    """Thirty steps with neuron masks, finished sparse."""
    config = SPARSE_METHODS["msrs"].Config(granularity="neuron", finish="sparse", steps=20, **keys)
    method = SPARSE_METHODS.build(config)
    method.attach(model, 30, 10, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for step in range(30):
        method.before_forward(step)
        optimizer.zero_grad()
        out = model(torch.randn(3, 8, 6, generator=generator))
        nn.functional.cross_entropy(out.flatten(0, 1), torch.arange(9) % 4).backward()
        method.after_backward(step)
        optimizer.step()
        method.after_step(step, optimizer)
    return method


def test_an_exported_model_is_narrower_and_gives_the_same_outputs():
    model = make_reader()
    method = train(model, strength="steered", target_density=0.4)
    assert method.density() == pytest.approx(0.4, abs=0.15)
    model.eval()
    values = torch.randn(4, 9, 6)
    with torch.no_grad():
        before = model(values)
        size = sum(p.numel() for p in model.parameters())
        report = narrow(model)
        after = model(values)
    assert torch.allclose(after, before, atol=1e-5)
    assert len(report) >= 7
    assert any("attention" in name for name in report)
    assert any("convolution" in name for name in report)
    assert sum(p.numel() for p in model.parameters()) < 0.8 * size
    assert narrow(model) == {}
    model.train()
    model(values).sum().backward()  # the narrow model trains on
    assert all(p.grad is not None for p in model.parameters())

    again = make_reader()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    fit_to_state(again, state)
    again.load_state_dict(state)
    model.eval()
    with torch.no_grad():
        assert torch.equal(again.eval()(values), model(values))
        assert len(again.decoder.prepare(torch.randn(2, 5, 16), torch.tensor([5, 4])).memory_keys) == 1


def test_a_model_of_full_width_is_left_alone():
    model = make_reader()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert narrow(model) == {}
    fit_to_state(model, before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_one_unit_stays_where_all_are_dead():
    model = make_reader()
    with torch.no_grad():
        model.encoder.blocks[0].macaron[3].weight.zero_()
        model.encoder.blocks[0].attention.out.weight.zero_()
        model.eval()
        values = torch.randn(2, 7, 6)
        before = model(values)
        report = narrow(model)
        assert report["encoder.blocks.0.macaron"] == (1, 24)
        assert report["encoder.blocks.0.attention"] == (1, 4)
        assert torch.allclose(model(values), before, atol=1e-6)


def test_the_unit_mask_is_that_of_the_unit_and_its_gradient_the_sum():
    model = make_reader()
    method = SPARSE_METHODS.build(SPARSE_METHODS["msrs"].Config(granularity="neuron", steps=50, rescale=False))
    method.attach(model, 100, 10, 0)
    gate = method.logits.gates["encoder.blocks.1.attention.out.weight"]
    assert gate.phi.shape == (4,)
    gate.phi.data = torch.tensor([-2.0, 0.5, 1.0, -1.0])
    theta = torch.randn(16, 16, dtype=torch.float64)
    free = gate.phi.detach().double().requires_grad_()
    weights = torch.sigmoid(2.0 * free).repeat_interleave(4)[None] * theta
    (weights**3).sum().backward()
    gradient = 3 * gate.write(theta, 2.0, 1.0) ** 2
    gate.read(gradient, theta, 2.0, 1.0, torch.tensor(0.0), True)
    assert torch.allclose(gate.phi.grad.double(), free.grad, rtol=1e-4)
    gate.read(gradient, theta, 2.0, 1.0, torch.tensor(0.5), True)
    assert torch.allclose(gate.phi.grad.double(), free.grad + 0.5 * gate.cost, rtol=1e-4)
    mean = sum(g.cost * g.phi.numel() for g in method.logits.gates.values())
    assert mean / sum(g.phi.numel() for g in method.logits.gates.values()) == pytest.approx(1)
    assert gate.binary().all(0).int().tolist() == [0] * 4 + [1] * 8 + [0] * 4


@pytest.mark.parametrize("penalty", ["linear", "sigmoid"])
def test_lambda_of_units_is_a_quantile_of_their_forces_over_their_costs(penalty):
    model = make_reader()
    config = SPARSE_METHODS["msrs"].Config(
        granularity="neuron", steps=10, calibration_steps=1, target_density=0.25, penalty=penalty
    )
    method = SPARSE_METHODS.build(config)
    method.attach(model, 100, 10, 0)
    method.before_forward(0)
    for name, p in method.params.items():
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name)))
    method.after_backward(0)
    gates = method.logits.gates
    assert len({gate.cost for gate in gates.values()}) > 1
    helped = {name: gate.phi.grad.clone() for name, gate in gates.items()}
    method.after_step(0, None)
    (strength,) = {float(value) for value in method.logits.strength.current.values()}
    slope = 1.0 if penalty == "linear" else 5 * torch.sigmoid(torch.tensor(0.5)) * torch.sigmoid(torch.tensor(-0.5))
    # A unit stays if its force is above what the penalty adds to its gradient: half of those that help should.
    falls = torch.cat([helped[n].abs() <= 1.0001 * strength * gate.cost * slope for n, gate in gates.items()])
    assert float(falls.float().mean()) == pytest.approx(0.5, abs=0.01)


def test_a_model_without_units_is_told():
    model = nn.Module()
    model.encoder = nn.Module()
    model.encoder.layers = nn.GRU(4, 4)
    method = SPARSE_METHODS.build(SPARSE_METHODS["msrs"].Config(granularity="neuron"))
    with pytest.raises(ConfigError, match="no feed-forward units"):
        method.attach(model, 10, 10, 0)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, None),  # that the decoder's self-attention keeps its heads is how units are meant
        ({"include": ("encoder.blocks.*",)}, None),
        ({"include": ("*.blocks.*",)}, "4 of the 32 chosen matrices belong to none (decoder.blocks.0.self_attention."),
        ({"include": ("encoder.*.macaron.0.weight", "encoder.*.out.weight")}, "2 of the 4 "),
        ({"frontends": True}, "1 of the 33 chosen matrices belong to none (video_frontend.weight): they stay dense"),
    ],
)
def test_matrices_that_belong_to_no_unit_are_told(keys, told, monkeypatch):
    lines = []
    monkeypatch.setattr(LOGGER, "warning", lambda message, *values: lines.append(message % values))
    model = make_reader()
    model.video_frontend = nn.Linear(3, 3)
    method = SPARSE_METHODS.build(SPARSE_METHODS["msrs"].Config(granularity="neuron", **keys))
    method.attach(model, 30, 10, 0)
    assert len(lines) == (told is not None)
    assert all(told in line and "sparse.granularity: weight" in line for line in lines)
