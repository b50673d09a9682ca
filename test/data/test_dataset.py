"""Utterances out of a dump: both forms of stored video, keyed augmentation, padding, resuming."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from msrs.data.ark import ArkWriter
from msrs.data.augment import AugmentConfig
from msrs.data.dataset import UtteranceDataset, collate
from msrs.data.media import encode_video
from msrs.data.noise import NoiseConfig, fixed_noise, open_noise
from msrs.data.spectrum import SpecAugmentConfig
from msrs.errors import DataError, StageError
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
    write_text(folder / "utt2spk", "".join(f"{name} {name[0]}\n" for name in FRAMES))
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


def test_the_lengths_of_an_epoch_are_known_beforehand(tmp_path):
    dataset = open_dump(write_dump(tmp_path, False), speed=0.4)
    for epoch in range(4):
        made = [len(dataset[epoch, index].video) for index in range(3)]
        assert dataset.lengths(epoch).tolist() == made
        assert max(made) <= dataset.most_frames == 20
    dataset.keep([2, 0])
    assert dataset.lengths(3).tolist() == [made[2], made[0]] == [len(dataset[3, index].video) for index in range(2)]


@pytest.mark.parametrize(("key", "silent"), [("drop_video", "video"), ("drop_audio", "audio")])
def test_a_dropped_stream_is_zero_and_keeps_its_length(tmp_path, key, silent):
    dataset = open_dump(write_dump(tmp_path, False), **{key: 1.0})
    utterance = dataset[0, 0]
    other = "audio" if silent == "video" else "video"
    assert not getattr(utterance, silent).any()
    assert getattr(utterance, other).any()
    assert len(utterance.audio) == 640 * len(utterance.video)
    assert getattr(dataset[None, 0], silent).any()  # never in evaluation


@pytest.mark.parametrize("streams", ["video", "audio"])
@pytest.mark.parametrize("has_both", [True, False])
def test_a_stream_that_is_left_out_is_what_training_makes_of_it(tmp_path, streams, has_both):
    folder = write_dump(tmp_path, False)
    left_out = "audio" if streams == "video" else "video"
    options = AugmentConfig(
        crop_px=64, pool=3, normalise="utterance", audio_mask_seconds=0, video_mask_frames=0, shift_px=0,
        **{f"drop_{left_out}": 1.0},
    )  # fmt: skip
    trained = UtteranceDataset(folder, lambda text: [], "audiovisual", options)
    expected = [trained[0, index] for index in range(3)]
    if not has_both:
        (folder / f"{left_out}.scp").unlink()
    tested = UtteranceDataset(folder, lambda text: [], "audiovisual", options, streams=streams)
    for index, one in enumerate(expected):
        assert torch.equal(tested[None, index].video, one.video)
        assert torch.equal(tested[None, index].audio, one.audio)
    batch = collate([tested[None, index] for index in range(3)])
    assert batch.video.shape == (3, 12, 21, 21) and batch.video_lengths.tolist() == list(FRAMES.values())
    assert batch.audio_lengths.tolist() == [640 * count for count in FRAMES.values()]
    assert getattr(batch, streams).any() and not getattr(batch, left_out).any()


def test_a_missing_stream_or_dump_names_the_stage(tmp_path):
    folder = write_dump(tmp_path, False)
    (folder / "audio.scp").unlink()
    assert open_dump(folder, "video")[None, 0].audio is None
    with pytest.raises(StageError, match=r"audio.scp is missing.*stage 2"):
        open_dump(folder, "audio")
    with pytest.raises(StageError, match="run stage 2"):
        open_dump(tmp_path / "nowhere")


def test_an_utterance_without_its_text_is_named(tmp_path):
    folder = write_dump(tmp_path, False)
    write_text(folder / "text", "a-1 lay\nb-1 lay\n")
    with pytest.raises(DataError, match=r"text lacks a-2 of utt2num_frames \(1 in all\); delete.*rerun stage 2"):
        open_dump(folder)


@pytest.mark.parametrize("stream", ["audio", "video"])
def test_an_utterance_that_a_stream_lacks_is_named_when_the_dump_is_opened(tmp_path, stream):
    folder = write_dump(tmp_path, False)
    path = folder / f"{stream}.scp"
    write_text(path, "".join(f"{line}\n" for line in path.read_text().splitlines() if not line.startswith("a-2")))
    with pytest.raises(DataError, match=rf"{stream}.scp lacks a-2 of utt2num_frames \(1 in all\).*rerun stage 2"):
        open_dump(folder)
    open_dump(folder, {"audio": "video", "video": "audio"}[stream])  # which has no need of it


@pytest.mark.parametrize("line", ["a-2 seven", "a-2", "a-2 0", "a-2 -7", "a-2 7.5", " 7", ""])
def test_a_number_of_frames_that_is_none_is_told_with_its_line(tmp_path, line):
    folder = write_dump(tmp_path, False)
    write_text(folder / "utt2num_frames", f"a-1 12\n{line}\nb-1 9\n")
    expected = rf"utt2num_frames:2: expected `utterance frames`, given '{line}'; delete the file and rerun stage 2"
    with pytest.raises(DataError, match=expected):
        open_dump(folder)


NOISE = NoiseConfig(sources=("white", "babble"), snr_db=(-5, 0, 10, "clean"), babble_voices=(1, 2))
MASKS = SpecAugmentConfig(time_masks=2)


def test_noise_and_masks_change_no_other_draw(tmp_path):
    folder = write_dump(tmp_path, False)
    plain, noisy = (open_dump(folder, speed=0.2, flip=0.5, drop_video=0.5, **more) for more in ({}, {"noise": NOISE}))
    masked = open_dump(folder, speed=0.2, flip=0.5, drop_video=0.5, spec_augment=MASKS)
    differences = 0
    for epoch in range(3):
        for index in range(3):
            expected = plain[epoch, index]
            assert torch.equal(noisy[epoch, index].video, expected.video)
            assert torch.equal(masked[epoch, index].video, expected.video)
            assert torch.equal(masked[epoch, index].audio, expected.audio)
            assert expected.spectrum_masks is None and masked[epoch, index].spectrum_masks.shape == (4, 4)
            differences += not torch.equal(noisy[epoch, index].audio, expected.audio)
    assert differences > 3


def test_workers_order_and_batches_change_no_draw(tmp_path):
    folder = write_dump(tmp_path, False)
    plan = [[(2, 1), (2, 0)], [(2, 2)], [(3, 1)]]
    rows = []
    for workers, batches in ((0, plan), (2, plan), (0, [[key] for batch in plan[::-1] for key in batch])):
        dataset = open_dump(folder, speed=0.2, noise=NOISE, spec_augment=MASKS)
        found = {}
        for keys, batch in zip(
            batches, DataLoader(dataset, batch_sampler=batches, collate_fn=collate, num_workers=workers)
        ):
            for row, key in enumerate(keys):
                length = int(batch.audio_lengths[row])
                found[key] = (batch.audio[row, :length], batch.spectrum_masks[row], batch.video[row, : length // 640])
        rows.append(found)
    for found in rows[1:]:
        assert found.keys() == rows[0].keys()
        for key, values in rows[0].items():
            assert all(torch.equal(a, b) for a, b in zip(values, found[key], strict=True)), key
    assert not torch.equal(rows[0][2, 1][0][:640], rows[0][3, 1][0][:640])


def test_evaluation_has_neither_noise_nor_masks(tmp_path):
    folder = write_dump(tmp_path, False)
    plain, strong = open_dump(folder), open_dump(folder, noise=NOISE, spec_augment=MASKS)
    batch = collate([strong[None, index] for index in range(3)])
    assert batch.spectrum_masks is None
    assert torch.equal(batch.audio, collate([plain[None, index] for index in range(3)]).audio)


def test_noise_of_a_test_belongs_to_the_utterance_alone(tmp_path):
    folder = write_dump(tmp_path, False)
    noise = open_noise(fixed_noise("babble", "0"), folder)
    arguments = (folder, lambda text: [1], "audio")
    sets = [
        UtteranceDataset(*arguments, AugmentConfig(noise=own), seed, test_noise=noise)
        for seed, own in ((1, None), (2, NOISE))
    ]
    plain = UtteranceDataset(*arguments, AugmentConfig())
    for index in range(3):
        assert torch.equal(sets[0][None, index].audio, sets[1][None, index].audio)
        # Two signals of equal power that have nothing to do with each other: the correlation is 1 / sqrt(2).
        correlation = (sets[0][None, index].audio * plain[None, index].audio).mean()
        assert float(correlation) == pytest.approx(2**-0.5, abs=0.03)


def test_a_model_that_cannot_hear_needs_no_noise(tmp_path):
    folder = write_dump(tmp_path, False)
    noise = NoiseConfig(sources=("folder",), folder=str(tmp_path / "nowhere"))
    assert open_dump(folder, "video", noise=noise).training_noise is None
