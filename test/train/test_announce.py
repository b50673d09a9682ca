"""What a run says before it begins: warnings where the plan of its batches is a bad one, and silence where it is not."""

import types

import pytest
import torch

from msrs import config
from msrs.data.batching import padding_share, plan_batches, plan_in_order
from msrs.train.announce import announce
from msrs.train.distributed import World
from msrs.train.options import TrainConfig


@pytest.fixture
def say(dumps, log):
    """Announce a run over utterances of these lengths. Returns: what was said."""

    def run(lengths, *overrides, dev=(20, 20), model=None):
        options = config.load(TrainConfig, dumps / "train.yaml", overrides)
        feed = types.SimpleNamespace(
            world=World(),
            plan=lambda epoch: plan_batches(lengths, options.batching, options.seed, epoch),
            dev_plan=lambda: plan_in_order(dev, options.batching),
            train_set=types.SimpleNamespace(
                lengths=lambda epoch: lengths, num_frames=lengths, most_frames=max(lengths)
            ),
            dev_set=type("DevSet", (list,), {"num_frames": list(dev)})(dev),
        )
        log.clear()
        announce(options, model or torch.nn.Linear(2, 2), feed, 10)
        return log.text, options

    return run


def test_a_good_plan_is_not_remarked_on(say):
    text, _ = say([20] * 40)
    assert "padding 0.0 %" in text
    assert "WARNING" not in text


def test_much_padding_is_told_with_what_would_leave_less(say):
    lengths = [10, 15, 20, 30] * 9
    text, options = say(lengths, "batching={max_frames: 160, length_jitter: 0.5}")
    batches = plan_batches(lengths, options.batching, options.seed, 0)
    assert f"Padding is {100 * padding_share(batches, lengths):.1f} % of what" in text
    assert "batching.length_jitter=0 leaves" in text and "batching.max_frames=80 with twice" in text


def test_nothing_is_advised_that_would_not_fit_or_not_help(say):
    text, _ = say([10, 20, 45], "batching={max_frames: 50, length_jitter: 0}")
    assert "Padding is" in text
    assert "would leave less" in text and "leaves" not in text


def test_more_batches_an_update_than_an_epoch_has_are_told(say):
    lengths = [20] * 40
    assert "an epoch has 8 batches" in say(lengths, "train.accumulate=9")[0]
    assert "WARNING" not in say(lengths, "train.accumulate=8")[0]


@pytest.mark.parametrize(
    ("words", "dev", "told"),
    [
        (["modality=video"], (60, 70), True),
        (["modality=video"], (40, 45, 90), False),
        (["modality=video", "batching.max_utterances=1"], (20, 20), True),
        (["modality=audio"], (60, 70), False),
    ],
)
def test_a_vision_gap_that_cannot_be_measured_is_told(say, words, dev, told):
    text, _ = say([20] * 40, *words, dev=dev)
    assert ("cannot be measured" in text) is told


def test_a_large_model_with_a_small_effective_batch_is_told_what_makes_up_for_it(say):
    large, lengths = torch.nn.Linear(20_000, 6_000, device="meta"), [100] * 600
    words = ["batching.max_frames=1600", "train.accumulate"]
    text, _ = say(lengths, words[0], f"{words[1]}=4", model=large)
    assert "An update has 6000 frames" in text and "train.accumulate=33 " in text
    assert "WARNING" not in say(lengths, words[0], f"{words[1]}=33", model=large)[0]
    assert "WARNING" not in say(lengths, words[0], f"{words[1]}=4")[0]
    assert "WARNING" not in say(lengths, words[0], f"{words[1]}=4", "modality=audio", model=large)[0]
    # Where the corpus has not so many batches no accumulation helps.
    text, _ = say([100] * 100, words[0], f"{words[1]}=1", model=large)
    assert "An update has 1429 frames" in text and "a smaller model" in text and "train.accumulate=" not in text
