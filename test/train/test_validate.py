"""What is measured on the development set does not depend on how it is cut into batches."""

import dataclasses

import pytest
import torch

from msrs import config
from msrs.data.dataset import UtteranceDataset, collate
from msrs.models.recogniser import Recogniser
from msrs.text.tokenizer import Tokenizer
from msrs.train.options import TrainConfig
from msrs.train.validate import permute_videos, validate


def test_batches_change_no_number(dumps):
    options = config.load(TrainConfig, dumps / "train.yaml", ["modality=video", "model.ctc_weight=0.3"])
    tokenizer = Tokenizer.load(dumps / "tokens")
    data = UtteranceDataset(dumps / "train", tokenizer.encode, "video", options.augment)
    torch.manual_seed(0)
    model = Recogniser(options.model, "video", tokenizer.size)
    rows = [data[None, index] for index in range(6)]
    with torch.no_grad():
        logits = model.eval().ctc.output(model.encode(collate(rows))[0])
        model.ctc.output.bias[0] += (logits[..., 1:].amax(-1) - logits[..., 0]).median()  # some frames are blank
    assert len({len(row.tokens) for row in rows}) > 1
    alone, some, together = (
        validate(model, [collate(rows[i : i + size]) for i in range(0, 6, size)], tokenizer.decode, 0)[0]
        for size in (1, 4, 6)
    )
    for metrics in (alone, some):
        for name in ("loss", "ctc", "attention", "accuracy", "blank_share", "wer", "cer"):
            assert metrics[name] == pytest.approx(together[name], rel=1e-5), name
    assert 0.02 < together["blank_share"] < 0.98
    assert together["loss"] == pytest.approx(0.3 * together["ctc"] + 0.7 * together["attention"], rel=1e-5)


def test_the_vision_gap_is_the_loss_with_other_videos_less_the_loss(dumps):
    options = config.load(TrainConfig, dumps / "train.yaml", ["modality=video"])
    tokenizer = Tokenizer.load(dumps / "tokens")
    data = UtteranceDataset(dumps / "train", tokenizer.encode, "video", options.augment)
    torch.manual_seed(0)
    model = Recogniser(options.model, "video", tokenizer.size)
    batches = [collate([data[None, index] for index in few]) for few in ((0, 1, 2), (3, 4, 5, 6))]
    # Of one token an utterance: the ends, which the decoder alone says, are half of its targets.
    one = torch.ones_like(batches[0].token_lengths)
    batches[0] = dataclasses.replace(batches[0], tokens=batches[0].tokens[:, :1], token_lengths=one)
    metrics, exchanged = (
        validate(model, some, tokenizer.decode, 0)[0] for some in (batches, [permute_videos(b) for b in batches])
    )
    assert abs(metrics["vision_gap"]) > 1e-5
    assert metrics["vision_gap"] == pytest.approx(exchanged["loss"] - metrics["loss"], rel=1e-3)
