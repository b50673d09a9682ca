import pytest

from msrs.text.coverage import measure_coverage
from msrs.text.tokenizer import train_tokenizer


def test_coverage(tmp_path):
    tokenizer = train_tokenizer(["one two", "three"], tmp_path, "word")
    coverage = measure_coverage(tokenizer, ["one ten", "ten eleven", "two"])
    assert coverage.num_units == 5
    assert coverage.unknown == {"TEN": 2, "ELEVEN": 1}
    assert coverage.unknown_share == pytest.approx(0.6)
    assert measure_coverage(tokenizer, []).unknown_share == 0.0
