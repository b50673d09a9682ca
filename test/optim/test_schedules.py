"""Learning rate and optimiser groups."""

import pytest
import torch

from msrs.errors import ConfigError
from msrs.optim.optimizers import OptimizerConfig, make_optimizer
from msrs.optim.schedules import ScheduleConfig, check_schedule, rate_share


def test_the_rate_rises_peaks_and_falls_to_its_end():
    options = ScheduleConfig(warmup_updates=10, final_share=0.1)
    shares = [rate_share(update, options, 110) for update in range(111)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[10] == 1.0
    assert shares[60] == pytest.approx(0.55)
    assert shares[110] == pytest.approx(0.1)
    assert all(a >= b for a, b in zip(shares[10:], shares[11:], strict=False))


def test_a_warm_up_as_long_as_the_run_is_refused():
    with pytest.raises(ConfigError, match="warmup_updates is 1000, but the run has 400 updates"):
        check_schedule(ScheduleConfig(warmup_updates=1000), 400)


def test_only_matrices_and_kernels_decay():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(2, 2))
    optimizer = make_optimizer(model, OptimizerConfig(weight_decay=0.5))
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(model[0].weight), id(model[2].weight)}
