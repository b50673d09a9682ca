"""A tiny dump and a tiny run for the trainer's tests."""

import numpy as np
import pytest

from msrs.data.ark import ArkWriter
from msrs.files import write_text
from msrs.text.normalise import find_rules
from msrs.text.tokenizer import train_tokenizer

WORDS = ["bin", "lay", "place", "set"]
CONFIG = """
modality: audiovisual
model:
  video_frontend: {type: convnet, widths: [4, 8], strides: [2, 2], grid: 2}
  audio_frontend: {type: logmel, size: 8, num_mels: 20}
  fusion: {place: early}
  encoder: {type: conformer, num_blocks: 1, size: 16, num_heads: 2, feed_forward_size: 32, kernel: 7}
  decoder: {num_blocks: 1, size: 16, num_heads: 2, feed_forward_size: 32}
  ctc_weight: 0.5
augment: {crop_px: 32, pool: 2, speed: 0.1, flip: 0.5, erase: 0.5}
batching: {max_frames: 100}
schedule: {warmup_updates: 2}
train: {max_epochs: 3, save_every_updates: 2, average: 2, show_utterances: 1}
"""


def write_dump(folder, names):
    """Utterances of noise, 16 to 24 frames each."""
    texts, frames = {}, {}
    with (
        ArkWriter(folder / "video.ark", folder / "video.scp") as video,
        ArkWriter(folder / "audio.ark", folder / "audio.scp") as audio,
    ):
        for number, name in enumerate(sorted(names)):
            rng = np.random.default_rng(number)
            frames[name] = 16 + number % 9
            texts[name] = " ".join(rng.choice(WORDS, 2))
            video.write(name, rng.integers(0, 256, (frames[name], 96, 96), dtype=np.uint8))
            audio.write(name, rng.integers(-9000, 9000, frames[name] * 640).astype(np.int16))
    write_text(folder / "text", "".join(f"{name} {text}\n" for name, text in texts.items()))
    write_text(folder / "utt2num_frames", "".join(f"{name} {count}\n" for name, count in frames.items()))


@pytest.fixture(scope="session")
def dumps(tmp_path_factory):
    """Folders train, dev and tokens, and the file train.yaml."""
    root = tmp_path_factory.mktemp("dumps")
    write_dump(root / "train", [f"a-{i:02d}" for i in range(14)])
    write_dump(root / "dev", [f"b-{i:02d}" for i in range(5)])
    train_tokenizer([" ".join(WORDS)] * 5, root / "tokens", type="char", size=None, rules=find_rules("upper"))
    (root / "train.yaml").write_text(CONFIG, encoding="utf-8")
    return root
