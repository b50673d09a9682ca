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
from msrs.train.trainer import Trainer

TOKENS = ["<blank>", "<unk>", "A", "B", "<sos/eos>"]


@pytest.fixture
def make(dumps):
    """A function of modality, place of fusion, vocabulary and options that makes a model of its own random weights."""

    def make(modality, place="late", size=5, words=()):
        words = [f"model.fusion.place={place}", "model.fusion.hidden_size=24", *words]
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


NARROW = [
    "model.encoder.size=24",
    "model.encoder.feed_forward_size=40",
    "model.encoder.kernel=5",
    "model.decoder.size=24",
]
NARROW += ["model.decoder.feed_forward_size=40", "model.audio_frontend.size=12", "model.audio_frontend.num_mels=24"]


def test_a_model_of_another_size_is_refused_though_counters_and_biases_fit(make):
    old, new = make("audio", words=NARROW), make("audio")
    fitting = [name for name, value in old.state_dict().items() if value.shape == new.state_dict()[name].shape]
    assert {name.split(".")[0] for name in fitting} >= {"ctc", "decoder", "encoder"}
    with pytest.raises(
        TrainingError, match=r"--init a.pt: nothing in it fits this model; it is of another kind or size"
    ):
        initialise(new, [source(old)], TOKENS)


def test_next_to_nothing_is_refused(make):
    new = make("audio", words=["model.encoder.num_blocks=16"])
    state = new.state_dict()
    one = min((name for name, value in state.items() if value.dim() > 1), key=lambda name: state[name].numel())
    with pytest.raises(TrainingError, match=r"--init x.pt: next to nothing in it fits"):
        initialise(new, [Source("x.pt", {one: state[one].clone()}, TOKENS)], TOKENS)


def test_a_small_part_of_one_of_several_is_welcome(make, log):
    deep = ["model.encoder.num_blocks=4"]
    video, both = make("video", words=deep), make("audiovisual", place="early", words=deep)
    name = "audio_frontend.conv2.weight"
    audio = {name: source(make("audio")).weights[name]}
    initialise(both, [source(video), Source("b.pt", audio, TOKENS)], TOKENS)
    assert torch.equal(both.audio_frontend.conv2.weight, audio[name])
    assert "begins from b.pt: 0." in log.text
    assert "less than half" not in log.text


def test_less_than_half_is_a_warning_and_other_sizes_are_not_other_tokens(make, log):
    wide = ["model.encoder.feed_forward_size=200", "model.decoder.feed_forward_size=200"]
    old, new = make("audio", words=["model.decoder.size=24"]), make("audio", words=wide)
    initialise(new, [source(old)], TOKENS)
    assert "--init gives less than half of the weights (" in log.text
    assert "decoder.embedding ((5, 24) there, (5, 16) here)" in log.text
    assert "tokens are not those" not in log.text


def test_other_numbers_of_tokens_are_other_tokens_where_their_names_are_not_known(make, log):
    initialise(make("audio"), [source(make("audio", size=6), None)], TOKENS)
    assert "tokens are not those of --init" in log.text


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
    resume = max((tmp_path / "second/checkpoints").glob("resume_*.pt"))
    assert load(resume)["place"]["origin"] == [str(tmp_path / "first")]


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_from_the_same_weights(
    dumps, tmp_path, monkeypatch, log
):
    options = config.load(TrainConfig, dumps / "train.yaml", ["train.max_epochs=1", "schedule.warmup_updates=1"])

    def run(exp, *init):
        train(options, dumps / "train", dumps / "dev", dumps / "tokens", exp, "cpu", ["test"], init=init)

    def dies(*_):
        raise KeyboardInterrupt

    run(tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", dies)
        for init in ([tmp_path / "a"], []):
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "b", *init)
    log.clear()
    run(tmp_path / "b")
    assert f"began from the weights of {tmp_path / 'a'} and has no checkpoint yet" in log.text
    assert f"a new run from the weights of {tmp_path / 'a'}," in log.text
    assert load(max((tmp_path / "b/checkpoints").glob("resume_*.pt")))["place"]["origin"] == [str(tmp_path / "a")]


def test_a_folder_may_be_written_in_several_ways(dumps, tmp_path, monkeypatch):
    short = ["train.max_epochs=1", "schedule.warmup_updates=1"]
    options = config.load(TrainConfig, dumps / "train.yaml", short)

    def run(exp, *init):
        train(options, dumps / "train", dumps / "dev", dumps / "tokens", tmp_path / exp, "cpu", ["test"], init=init)

    monkeypatch.chdir(tmp_path)
    run("a")
    run("b", "a/")
    assert load(max((tmp_path / "b/checkpoints").glob("resume_*.pt")))["place"]["origin"] == ["a"]
    for path in ("a", "./a", "a//", tmp_path / "a"):
        run("b", path)
    with pytest.raises(TrainingError, match="--init b: the run in this folder began from the weights of a and goes on"):
        run("b", "b/")
