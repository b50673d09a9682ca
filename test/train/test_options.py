"""Every option has its range: what lies outside is refused by name before any work, the ends themselves are not."""

from pathlib import Path

import pytest

from msrs.config import build, load, parse_document, to_yaml
from msrs.errors import ConfigError
from msrs.train.options import TrainConfig

RECIPES = sorted(Path(__file__).resolve().parents[2].glob("egs/*/conf/train*.yaml"))
NOT_NEGATIVE, COUNT = "greater than or equal to 0", "greater than or equal to 1"
POSITIVE, SHARE, BELOW_ONE = "greater than 0", "less than or equal to 1", "less than 1"
OUTSIDE = [
    ("train.max_epochs=0", COUNT),
    ("train.clip_norm=-1", POSITIVE),
    ("train.clip_norm=0", POSITIVE),
    ("train.accumulate=0", COUNT),
    ("train.show_utterances=-1", NOT_NEGATIVE),
    ("train.num_workers=-1", NOT_NEGATIVE),
    ("train.cache_megabytes=-1", NOT_NEGATIVE),
    ("model.ctc_weight=7", SHARE),
    ("model.ctc_weight=-0.1", NOT_NEGATIVE),
    ("model.label_smoothing=1.5", BELOW_ONE),
    ("model.fusion.hidden_size=0", COUNT),
    ("model.ctc.dropout=1.5", BELOW_ONE),
    *[(f"model.{part}.{key}=0", COUNT) for part in ("encoder", "decoder")
      for key in ("num_blocks", "size", "num_heads", "feed_forward_size")],
    *[(f"model.{part}.{key}=1.5", BELOW_ONE) for part in ("encoder", "decoder")
      for key in ("dropout", "attention_dropout", "drop_path")],
    *[(f"model.{part}.drop_path=-0.1", NOT_NEGATIVE) for part in ("encoder", "decoder")],
    *[(f"model.{part}.norm_eps=0", POSITIVE) for part in ("encoder", "decoder")],
    ("model.encoder.layer_scale=-0.1", NOT_NEGATIVE),
    ("model.encoder.kernel=-3", COUNT),
    *[(f"model.encoder.{key}=0", COUNT) for key in ("num_layers", "size", "hidden_size")],
    *[(f"model.video_frontend.widths={widths}", expected)
      for widths, expected in (("[]", "at least 1 item"), ("[4, 0]", COUNT))],
    ("model.video_frontend.blocks_per_stage=0", COUNT),
    ("model.video_frontend.strides=[2, 0]", COUNT),
    ("model.video_frontend.strides=[2]", "4 widths and 1 strides; expected one of each"),
    ("model.video_frontend.grid=0", COUNT),
    ("model.video_frontend.dropout=0.5", "less than 0.5"),  # twice as much before the last layer
    ("model.audio_frontend.widths=[4, 4, 4, 0]", COUNT),
    ("model.audio_frontend.num_mels=0", COUNT),
    ("model.audio_frontend.size=0", COUNT),
    ("augment.crop_px=0", "greater than or equal to 8"),
    ("augment.crop_px=97", "less than or equal to 96"),
    ("augment.shift_px=-3", NOT_NEGATIVE),
    ("augment.pool=0", COUNT),
    ("augment.pool=50", "crop_px 88 over pool 50 makes pictures 1 px wide; expected 8 px or more"),
    ("augment.flip=3", SHARE),
    ("augment.speed=1", BELOW_ONE),
    ("augment.speed=-0.1", NOT_NEGATIVE),
    ("augment.video_mask_frames=-1", NOT_NEGATIVE),
    ("augment.video_mask_every_frames=-1", NOT_NEGATIVE),
    ("augment.erase=1.5", SHARE),
    ("augment.erase_share=1.5", SHARE),
    ("augment.audio_mask_seconds=-0.5", NOT_NEGATIVE),
    ("augment.audio_mask_every_seconds=-0.5", NOT_NEGATIVE),
    ("augment.noise_snr_db=[0, 300]", "less than or equal to 100"),
    ("augment.spec_augment.frequency_share=1.5", SHARE),
    ("augment.drop_video=1.5", SHARE),
    ("augment.drop_audio=-0.1", NOT_NEGATIVE),
    ("augment={drop_video: 0.6, drop_audio: 0.6}", "drop_video 0.6 and drop_audio 0.6 are chances of one draw"),
    ("batching.max_frames=0", COUNT),
    ("batching.max_utterances=0", COUNT),
    ("batching.length_jitter=-3", NOT_NEGATIVE),
    ("optim.lr=-1", NOT_NEGATIVE),
    ("optim.betas=[1, 0.9]", BELOW_ONE),
    ("optim.betas=[0.9, -0.1]", NOT_NEGATIVE),
    ("optim.weight_decay=-0.1", NOT_NEGATIVE),
    ("optim.eps=0", POSITIVE),
    ("schedule.warmup_updates=-3", NOT_NEGATIVE),
    ("schedule.final_share=1.5", SHARE),
]  # fmt: skip
# The part that knows the key, where the default is another.
OWNERS = {
    "model.encoder.num_layers": "recurrent",
    "model.encoder.hidden_size": "recurrent",
    "model.video_frontend.strides": "convnet",
    "model.video_frontend.grid": "convnet",
    "model.video_frontend.dropout": "convnet",
    "model.audio_frontend.num_mels": "logmel",
    "model.audio_frontend.size": "logmel",
}
DEFAULTS = {"encoder": "conformer", "video_frontend": "resnet", "audio_frontend": "waveform"}
INSIDE = (
    "optim.lr=0",
    "optim.betas=[0, 0]",
    "schedule.warmup_updates=0",
    "schedule.final_share=1",
    "model.label_smoothing=0",
    "augment={drop_video: 0.25, drop_audio: 0.75}",
    "augment={flip: 1, erase: 1, erase_share: 1, speed: 0, shift_px: 0, crop_px: 96, pool: 12}",
    "augment={video_mask_frames: 0, audio_mask_every_seconds: 0}",
    "batching={max_frames: 1, max_utterances: 1, length_jitter: 0}",
    "train.num_workers=0",
)


@pytest.fixture
def empty(tmp_path):
    """A configuration in which nothing is said."""
    path = tmp_path / "train.yaml"
    path.write_text("", encoding="utf-8")
    return path


@pytest.mark.parametrize(("word", "expected"), OUTSIDE, ids=[word for word, _ in OUTSIDE])
def test_what_lies_outside_its_range_is_refused_by_name(empty, word, expected):
    key = word.partition("=")[0]
    part = key.split(".")[1] if key.startswith("model.") else ""
    words = [f"model.{part}.type={OWNERS.get(key, DEFAULTS[part])}"] if part in DEFAULTS else []
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, empty, [*words, word])
    message = str(caught.value)
    assert expected in message
    # A rule for two options is told of the group that both are in.
    assert f": {key}" in message or f": {key.rpartition('.')[0]}: " in message
    assert "\n" not in message


@pytest.mark.parametrize("word", INSIDE)
def test_the_ends_of_a_range_belong_to_it(empty, word):
    load(TrainConfig, empty, [word])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_the_recipes_keep_to_the_ranges(path):
    options = load(TrainConfig, path)
    assert build(TrainConfig, parse_document(to_yaml(options), "config.yaml")) == options
