"""What the tests of the synthetic corpus share."""

import numpy as np
import pytest

from msrs.synth.head import Head
from msrs.synth.speakers import SPEAKERS


@pytest.fixture(scope="session")
def head() -> Head:
    """The head of the first speaker."""
    return Head(SPEAKERS["s01"].look)


@pytest.fixture
def upright():
    """Function: (T,2,3) poses of a head that does not move."""
    return lambda count: np.tile(np.array([[1.0, 0, 0], [0, 1, 0]]), (count, 1, 1))
