"""What a run says about its data."""

import pytest

from msrs.errors import TrainingError
from msrs.train.record import longest_seconds, recorded_origin, write_record


class Frames(list):
    """A set of utterances of so many frames."""

    folder = "dump/feats/train"

    @property
    def num_frames(self):
        return self


def test_the_longest_utterance_is_that_of_the_training_set(tmp_path):
    assert longest_seconds(tmp_path) is None
    write_record(tmp_path, Frames([25, 75]), Frames([500]))
    assert longest_seconds(tmp_path) == 3.0


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_damaged_record_is_named_with_what_to_do(tmp_path, text):
    (tmp_path / "data.json").write_text(text, encoding="utf-8")
    for read in (recorded_origin, longest_seconds):
        with pytest.raises(TrainingError, match=r"data\.json is damaged; delete it"):
            read(tmp_path)
