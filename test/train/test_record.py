"""What a run says about its data."""

from msrs.train.record import longest_seconds, write_record


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
