"""The longest utterance that fits: the worked examples of the bench."""

import doctest
import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_examples_of_the_fit_hold(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools/bench"))
    for name in ("lengths", "side", "train"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    result = doctest.testmod(importlib.import_module("lengths"))
    assert result.attempted and not result.failed
