"""Utterances out of a dump: both forms of stored video, keyed augmentation, padding, resuming."""

import numpy as np
import pytest
import torch

from msrs.data.ark import ArkWriter
from msrs.data.augment import AugmentConfig
from msrs.data.dataset import UtteranceDataset, collate
from msrs.data.media import encode_video
from msrs.errors import StageError
from msrs.files import write_text

FRAMES = {"a-1": 12, "a-2": 7, "b-1": 9}


def smooth_frames(count, seed):
    """Pictures that survive lossy coding."""
    rows, columns = np.mgrid[0:96, 0:96]
    waves = [127 + 90 * np.sin((rows + seed) / 15 + t / 4) * np.cos(columns / 17) for t in range(count)]
    return np.stack(waves).round().astype(np.uint8)


def write_dump(folder, is_encoded):
    with ArkWriter(folder / "video.ark", folder / "video.scp") as ark:
        for seed, (name, count) in enumerate(FRAMES.items()):
            frames = smooth_frames(count, seed)
            ark.write(name, np.frombuffer(encode_video(frames), dtype=np.uint8) if is_encoded else frames)
    with ArkWriter(folder / "audio.ark", folder / "audio.scp") as ark:
        for seed, (name, count) in enumerate(FRAMES.items()):
            sound = np.random.default_rng(seed).integers(-9000, 9000, count * 640)
            ark.write(name, sound.astype(np.int16))
    write_text(folder / "text", "".join(f"{name} lay {name}\n" for name in FRAMES))
    write_text(folder / "utt2num_frames", "".join(f"{name} {count}\n" for name, count in FRAMES.items()))
    return folder


def open_dump(folder, modality="audiovisual", **augment):
    return UtteranceDataset(
        folder, lambda text: [len(text)], modality, AugmentConfig(**augment), seed=1, cache_bytes=1 << 20
    )


def test_encoded_and_raw_dumps_hold_the_same_pictures(tmp_path):
    encoded = open_dump(write_dump(tmp_path / "encoded", True))
    raw = open_dump(write_dump(tmp_path / "raw", False))
    for name, count in FRAMES.items():
        assert encoded.frames(name).shape == (count, 96, 96)
        assert np.abs(encoded.frames(name).astype(int) - raw.frames(name)).mean() < 3


def test_a_batch_pads_with_zeros(tmp_path):
    dataset = open_dump(write_dump(tmp_path, False))
    batch = collate([dataset[None, index] for index in range(3)])
    assert batch.utt_ids == ["a-1", "a-2", "b-1"]
    assert batch.video.shape == (3, 12, 88, 88)
    assert batch.video_lengths.tolist() == [12, 7, 9]
    assert batch.audio_lengths.tolist() == [7680, 4480, 5760]
    assert not batch.video[1, 7:].any()
    assert not batch.audio[1, 4480:].any()


def test_draws_depend_on_epoch_and_utterance_alone(tmp_path):
    folder = write_dump(tmp_path, False)
    first, second = open_dump(folder, speed=0.2, flip=0.5), open_dump(folder, speed=0.2, flip=0.5)
    second[0, 2], second[5, 1]  # another order of reading
    for key in ((0, 0), (0, 1), (7, 2)):
        assert torch.equal(first[key].video, second[key].video)
        assert torch.equal(first[key].audio, second[key].audio)
    assert not torch.equal(first[0, 0].audio, first[1, 0].audio)


@pytest.mark.parametrize(("key", "silent"), [("drop_video", "video"), ("drop_audio", "audio")])
def test_a_dropped_stream_is_zero_and_keeps_its_length(tmp_path, key, silent):
    dataset = open_dump(write_dump(tmp_path, False), **{key: 1.0})
    utterance = dataset[0, 0]
    other = "audio" if silent == "video" else "video"
    assert not getattr(utterance, silent).any()
    assert getattr(utterance, other).any()
    assert len(utterance.audio) == 640 * len(utterance.video)
    assert getattr(dataset[None, 0], silent).any()  # never in evaluation


def test_a_missing_stream_or_dump_names_the_stage(tmp_path):
    folder = write_dump(tmp_path, False)
    (folder / "audio.scp").unlink()
    assert open_dump(folder, "video")[None, 0].audio is None
    with pytest.raises(StageError, match=r"audio.scp is missing.*stage 2"):
        open_dump(folder, "audio")
    with pytest.raises(StageError, match="run stage 2"):
        open_dump(tmp_path / "nowhere")
