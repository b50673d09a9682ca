"""Memory is kept without a change of numbers."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from msrs.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.manual_seed(0)
conv = torch.nn.Conv2d(3, 8, 3)
x = torch.randn(8, 3, 256, 256)
counts = []
for step in range(10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    loss = conv(x).relu().square().mean()
    conv.zero_grad()
    loss.backward()
    made = [torch.ones(12_000_000) for _ in range(2)]
    del made
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sum(counts[3:]), repr(conv.weight.grad.double().sum().item()))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_step_takes_no_new_pages_and_the_same_values():
    # Another test of this process may have asked for large pages, which would help the plain one as well.
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    faults, values = zip(
        *(
            subprocess.run(
                [sys.executable, "-c", FAULTS, word],
                capture_output=True,
                text=True,
                check=True,
                timeout=120,
                env=environment,
            ).stdout.split()
            for word in ("plain", "kept")
        )
    )
    assert values[0] == values[1]
    assert int(faults[1]) < 0.2 * int(faults[0])
