"""The optimiser: what decays, and where it is fused."""

from torch import nn

from msrs.optim.optimizers import OptimizerConfig, make_optimizer, restore


def test_matrices_alone_decay():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    decaying, others = make_optimizer(model, OptimizerConfig(weight_decay=0.1)).param_groups
    assert [p.dim() for p in decaying["params"]] == [2]
    assert decaying["weight_decay"] == 0.1
    assert len(others["params"]) == 3
    assert others["weight_decay"] == 0.0


def test_on_a_cpu_it_is_never_fused():
    groups = make_optimizer(nn.Linear(3, 4), OptimizerConfig(fused=True)).param_groups
    assert not any(group["fused"] for group in groups)
    assert make_optimizer(nn.Linear(3, 4, device="meta"), OptimizerConfig(fused=False)).param_groups[0]["fused"] is None


def test_a_restored_state_leaves_fused_as_it_was_made():
    layer = nn.Linear(3, 4)
    state = make_optimizer(layer, OptimizerConfig()).state_dict()
    for group in state["param_groups"]:
        group["fused"] = True  # saved on a GPU
    optimizer = make_optimizer(layer, OptimizerConfig())
    restore(optimizer, state)
    assert [group["fused"] for group in optimizer.param_groups] == [None, None]
    assert state["param_groups"][0]["fused"]
