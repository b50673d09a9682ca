"""SNIP and GraSP: worked scores, floors, a model left as it was."""

import pytest
import torch
from torch import nn

from msrs.errors import TrainingError
from msrs.sparse import SPARSE_METHODS
from msrs.sparse.foresight import mean_gradients, quiet
from msrs.sparse.snip import Grasp, Snip


class Matrix(nn.Module):
    """One masked matrix."""

    def __init__(self, values: torch.Tensor):
        super().__init__()
        self.encoder = nn.Module()
        layer = nn.Linear(values.shape[1], values.shape[0], bias=False, dtype=values.dtype)
        layer.weight.data = values
        self.encoder.blocks = nn.ModuleList([layer])

    @property
    def weight(self) -> nn.Parameter:
        return self.encoder.blocks[0].weight


def test_snip_scores_of_the_worked_example():
    model = Matrix(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
    method = SPARSE_METHODS.build(Snip.Config(target_density=0.5, num_batches=1))
    method.attach(model, 10, 10, 0)
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0])

    def loss(_):
        return 0.5 * (model.weight @ x - y).square().sum()

    assert loss(None).item() == 19.625
    scores = method.scores([None], loss)["encoder.blocks.0.weight"]
    assert scores.tolist() == [[3, 12], [2.75, 33]]
    method.prepare([None], loss)
    method.before_forward(0)
    assert method.masks()["encoder.blocks.0.weight"].tolist() == [[False, True], [False, True]]
    assert model.weight.tolist() == [[0, -2], [0, 3]]


@pytest.mark.parametrize(
    ("matrix", "theta", "score"),
    [
        (torch.diag(torch.tensor([1.0, 2.0, 3.0])), (2.0, 1.0, 0.5), (-4.0, -4.0, -2.25)),
        (torch.tensor([[2.0, 1.0], [1.0, 3.0]]), (1.0, -1.0), (0.0, -5.0)),
    ],
)
def test_grasp_scores_of_the_worked_examples(matrix, theta, score):
    model = Matrix(torch.tensor([theta], dtype=torch.float64))
    method = SPARSE_METHODS.build(Grasp.Config(num_batches=1))
    method.attach(model, 10, 10, 0)
    kept = method.scores([None], lambda _: 0.5 * model.weight[0] @ matrix.double() @ model.weight[0])
    got = -next(iter(kept.values()))[0]  # S = -theta * Hg; the largest S goes first
    assert got.tolist() == pytest.approx(score, abs=1e-6)
    assert model.weight[0].tolist() == list(theta)


@pytest.mark.parametrize("name", ["snip", "grasp"])
def test_preparing_leaves_the_model_as_it_was(name, make_tagger, make_method, make_batch):
    model = make_tagger()
    model.extra = nn.Sequential(nn.BatchNorm1d(5), nn.Dropout(0.5))
    forward = model.forward
    model.forward = lambda values: model.extra(forward(values).transpose(1, 2)).transpose(1, 2)
    before = {n: v.clone() for n, v in model.state_dict().items()}
    model.extra[1].eval()
    method = make_method(name, model, target_density=0.2)
    state = torch.get_rng_state()
    method.prepare([make_batch(0), make_batch(1)], model.loss)
    assert torch.get_rng_state().equal(state)
    assert all(v.equal(before[n]) for n, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.training
    assert model.extra[0].training
    assert not model.extra[1].training
    method.before_forward(0)
    total = sum(p.numel() for p in method.params.values())
    assert sum(int(m.sum()) for m in method.masks().values()) == round(0.2 * total)


def test_a_global_rank_can_empty_a_tensor_and_a_floor_or_erk_prevents_it(make_tagger, make_method, make_batch):
    shares = {}
    for label, keys in {"global": {}, "floor": {"min_density": 0.05}, "erk": {"distribution": "erk"}}.items():
        model = make_tagger()
        with torch.no_grad():
            model.encoder.blocks[0].pointwise.weight.mul_(1e-6)
        method = make_method("snip", model, target_density=0.3, **keys)
        method.prepare([make_batch(0)], model.loss)
        method.before_forward(0)
        shares[label] = float(method.masks()["encoder.blocks.0.pointwise.weight"].float().mean())
    assert shares["global"] == 0
    assert shares["floor"] == pytest.approx(4 / 64)
    assert shares["erk"] > 0.3


def test_gradients_are_signed_means_and_batches_are_needed(make_tagger, make_batch):
    model = make_tagger()
    params = dict(model.named_parameters())
    one, two, both = (
        mean_gradients(params, batches, model.loss)
        for batches in ([make_batch(0)], [make_batch(1)], [make_batch(0), make_batch(1)])
    )
    assert all(torch.allclose(both[n], (one[n] + two[n]) / 2, atol=1e-6) for n in params)
    with pytest.raises(TrainingError, match="none came"):
        mean_gradients(params, [], model.loss)


def test_a_step_without_prepare_is_refused(make_tagger, make_method):
    method = make_method("snip", make_tagger())
    assert method.num_prepare_batches == 2
    with pytest.raises(TrainingError, match="snip must see batches"):
        method.before_forward(0)


def test_quiet_silences_recurrent_dropout_and_gives_it_back():
    model = nn.GRU(3, 3, 2, dropout=0.5)
    values = torch.randn(4, 1, 3)
    with quiet(model):
        assert model.training
        assert model(values)[0].equal(model(values)[0])
    assert model.dropout == 0.5
