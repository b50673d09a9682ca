import numpy as np
import pytest
import torch

from msrs import config
from msrs.data.ark import ArkWriter
from msrs.files import write_text
from msrs.models.recogniser import Recogniser
from msrs.text.tokenizer import train_tokenizer
from msrs.train.checkpoint import save
from msrs.train.options import TrainConfig

TINY_MODEL = """
modality: MODALITY
model:
  video_frontend: {type: convnet, widths: [4, 8], strides: [4, 4], grid: 2}
  audio_frontend: {type: logmel, size: 8, num_mels: 20}
  encoder: {type: conformer, num_blocks: 1, size: 16, num_heads: 2, feed_forward_size: 32, kernel: 7}
  decoder: {num_blocks: 1, size: 16, num_heads: 2, feed_forward_size: 32}
  ctc_weight: 0.3
"""


@pytest.fixture
def make_experiment(tmp_path):
    """A function of the modality that leaves an experiment with an untrained tiny model and returns its folder."""

    def make(modality: str):
        torch.manual_seed(0)
        exp = tmp_path / f"exp/{modality}"
        tokenizer = train_tokenizer(["BIN BLUE AT F TWO NOW", "LAY RED"], exp / "tokens", "char")
        options = config.build(
            TrainConfig, config.parse_document(TINY_MODEL.replace("MODALITY", modality), "tiny.yaml")
        )
        model = Recogniser(options.model, modality, tokenizer.size)
        write_text(exp / "config.yaml", config.to_yaml(options))
        save({"model": model.state_dict()}, exp / "checkpoints/average.pt")
        return exp

    return make


@pytest.fixture
def make_feats(tmp_path):
    """A function of streams and numbers of frames that leaves a dump of random pictures and sound."""

    def make(streams=("video", "audio"), num_frames=(12, 5, 9)):
        folder = tmp_path / "dump/feats/test"
        rng = np.random.default_rng(0)
        counts = {f"s1-{i}": frames for i, frames in enumerate(num_frames)}
        for stream in streams:
            with ArkWriter(folder / f"{stream}.ark", folder / f"{stream}.scp") as ark:
                for utt_id, frames in counts.items():
                    sound = rng.integers(-9000, 9000, frames * 640, dtype=np.int16)
                    pictures = rng.integers(0, 255, (frames, 96, 96), dtype=np.uint8)
                    ark.write(utt_id, pictures if stream == "video" else sound)
        write_text(folder / "utt2num_frames", "".join(f"{utt_id} {frames}\n" for utt_id, frames in counts.items()))
        write_text(folder / "utt2spk", "".join(f"{utt_id} s1\n" for utt_id in counts))
        write_text(folder / "text", "".join(f"{utt_id} BIN BLUE\n" for utt_id in counts))
        return folder

    return make
