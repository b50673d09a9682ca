"""Beginning from other runs' weights: what is taken, what is told, and what is refused."""

import pytest
import torch

from msrs import config
from msrs.errors import StageError, TrainingError
from msrs.models.recogniser import Recogniser
from msrs.train.checkpoint import load, save
from msrs.train.experiment import train
from msrs.train.initialise import Source, initialise, read_source
from msrs.train.options import TrainConfig

TOKENS = ["<blank>", "<unk>", "A", "B", "<sos/eos>"]


@pytest.fixture
def make(dumps):
    """A function of modality, place of fusion and vocabulary that makes a model of its own random weights."""

    def make(modality, place="late", size=5):
        words = [f"model.fusion.place={place}", "model.fusion.hidden_size=24"]
        return Recogniser(config.load(TrainConfig, dumps / "train.yaml", words).model, modality, size)

    return make


def source(model, tokens=TOKENS):
    return Source("a.pt", {name: value.clone() for name, value in model.state_dict().items()}, tokens)


def test_an_audiovisual_model_begins_from_a_video_and_an_audio_run(make, log):
    video, audio, both = make("video"), make("audio"), make("audiovisual")
    fresh = both.fusion.expand.weight.clone()
    initialise(both, [source(video), source(audio)], TOKENS)
    assert torch.equal(both.video_frontend.layers[0].weight, video.video_frontend.layers[0].weight)
    assert torch.equal(both.audio_frontend.conv1.weight, audio.audio_frontend.conv1.weight)
    for name, value in both.video_encoder.state_dict().items():
        assert torch.equal(value, video.encoder.state_dict()[name])
    for name, value in both.audio_encoder.state_dict().items():
        assert torch.equal(value, audio.encoder.state_dict()[name])
    assert torch.equal(both.decoder.output.weight, video.decoder.output.weight)  # the first that has it
    assert torch.equal(both.fusion.expand.weight, fresh)
    assert "fusion.expand (absent)" in log.text


def test_a_video_model_takes_its_part_of_an_audiovisual_one(make):
    both, video = make("audiovisual"), make("video")
    initialise(video, [source(both)], TOKENS)
    for name, value in video.encoder.state_dict().items():
        assert torch.equal(value, both.video_encoder.state_dict()[name])


@pytest.mark.parametrize("tokens", [["<blank>", "<unk>", "B", "A", "<sos/eos>"], [*TOKENS, "C"]])
def test_heads_for_other_tokens_stay_fresh_whatever_their_number(make, log, tokens):
    old, new = make("audio", size=len(tokens)), make("audio")
    before = {name: value.clone() for name, value in new.state_dict().items()}
    initialise(new, [source(old, tokens)], TOKENS)
    for name in ("ctc.output.weight", "decoder.output.bias", "decoder.embedding.weight"):
        assert torch.equal(new.state_dict()[name], before[name])
    assert torch.equal(new.encoder.blocks[0].norm_final.weight, old.encoder.blocks[0].norm_final.weight)
    assert "tokens are not those of --init" in log.text


def test_nothing_that_fits_is_an_error(make):
    with pytest.raises(TrainingError, match="nothing in it fits"):
        initialise(make("audio"), [Source("x.pt", {"other": torch.ones(3)}, None)], TOKENS)


def test_a_folder_without_a_model_and_a_file_without_weights_are_told(tmp_path):
    with pytest.raises(StageError, match="average.pt"):
        read_source(tmp_path)
    save({"batches": []}, tmp_path / "bad_batch.pt")
    with pytest.raises(TrainingError, match="without a model"):
        read_source(tmp_path / "bad_batch.pt")
    with pytest.raises(StageError, match=r"--init .*/none.pt: there is no such file or folder"):
        read_source(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no tensors")
    with pytest.raises(
        TrainingError, match=r"--init .*/text.pt: not a whole checkpoint .*of another kind.*another file"
    ):
        read_source(tmp_path / "text.pt")


def test_the_run_says_what_it_does_and_keeps_to_it(dumps, tmp_path, log):
    short = ["train.max_epochs=1", "schedule.warmup_updates=1", "sparse.type=msrs", "sparse.calibration_steps=1"]

    def run(exp, *words, init=()):
        options = config.load(TrainConfig, dumps / "train.yaml", [*short, *words])
        train(options, dumps / "train", dumps / "dev", dumps / "tokens", exp, "cpu", ["test"], init=init)

    run(tmp_path / "first")
    assert "a new run from scratch" in log.text
    # At a rate of zero the second run ends with the weights that it began with.
    run(tmp_path / "second", "optim.lr=0", "sparse.type=none", init=[tmp_path / "first"])
    assert "a new run from the weights of" in log.text
    assert "100.0 % of the weights" in log.text
    first, second = (load(tmp_path / name / "checkpoints/average.pt")["model"] for name in ("first", "second"))
    assert all(
        torch.equal(value, second[name])
        for name, value in first.items()
        if "running" not in name and "num_" not in name
    )
    with pytest.raises(TrainingError, match="began from the weights"):
        run(tmp_path / "second", "optim.lr=0", "sparse.type=none", init=[tmp_path / "second"])
    with pytest.raises(TrainingError, match="began from scratch"):
        run(tmp_path / "first", init=[tmp_path / "second"])
    run(tmp_path / "second", "optim.lr=0", "sparse.type=none", init=[tmp_path / "first"])
    assert "resumed after update" in log.text
