"""Utterances out of a dump, and batches of them."""

import dataclasses
import functools
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from msrs.data.ark import ArkReader
from msrs.data.augment import (
    AugmentConfig,
    Streams,
    change_speeds,
    fill_streams,
    played_frames,
    prepare_audio,
    prepare_video,
)
from msrs.data.media import read_video_array
from msrs.data.noise import NoiseMixer, open_noise
from msrs.data.noise_sources import SAMPLE_RATE_HZ
from msrs.data.spectrum import draw_spectrum_masks
from msrs.errors import DataError, StageError
from msrs.files import read_lines
from msrs.seeding import keyed_rng, keyed_seed


@dataclasses.dataclass
class Batch:
    """Padded utterances; what lies beyond a length is zero."""

    utt_ids: list[str]
    texts: list[str]
    tokens: Tensor  # (B, U) int64, zero beyond a length
    token_lengths: Tensor  # (B,)
    video: Tensor | None = None  # (B, T, H, W) float32
    video_lengths: Tensor | None = None  # (B,) frames
    audio: Tensor | None = None  # (B, S) float32
    audio_lengths: Tensor | None = None  # (B,) samples
    spectrum_masks: Tensor | None = None  # (B, K, 4) shares, see draw_spectrum_masks; in training alone

    def to(self, device: torch.device | str) -> "Batch":
        """The batch with its tensors on `device`."""
        moved = {key: value.to(device) for key, value in vars(self).items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **moved)

    def __len__(self) -> int:
        return len(self.utt_ids)


@dataclasses.dataclass
class Utterance:
    """One utterance ready for a batch."""

    utt_id: str
    text: str
    tokens: list[int]
    video: Tensor | None  # (T, H, W)
    audio: Tensor | None  # (S,)
    spectrum_masks: Tensor | None = None  # (K, 4)


def read_table(path: str | Path) -> dict[str, str]:
    """A Kaldi table `key rest-of-line` as a dictionary in the order of the file."""
    return {key: rest for key, _, rest in (line.partition(" ") for line in read_lines(path))}


def read_num_frames(path: str | Path) -> dict[str, int]:
    """Frames of each utterance of a dump, from its `utt2num_frames`. Raises: DataError on a line that is another."""
    num_frames = {}
    for number, line in enumerate(read_lines(path), 1):
        utt_id, _, count = line.rstrip().partition(" ")
        if not utt_id or not (count.isascii() and count.isdigit() and int(count)):
            raise DataError(
                f"{path}:{number}: expected `utterance frames`, given {line!r}; delete the file and rerun stage 2, which "
                "makes the dump anew."
            )
        num_frames[utt_id] = int(count)
    return num_frames


class UtteranceDataset(Dataset):
    """Utterances of a dump folder, by (epoch, index); epoch None means evaluation, without random changes.

    Args: folder of stage 2; encode, from text to token ids; modality video | audio | audiovisual; augment; seed;
    cache_bytes, how much decoded video may stay in memory; test_noise, added to the sound in evaluation; streams, what is
    read for an audiovisual model, left out: both. The other stream is zero, and the dump need not have it.
    Raises: StageError where the dump lacks a stream that is read; DataError where its lists are not whole.
    """

    def __init__(
        self,
        folder: str | Path,
        encode: Callable[[str], list[int]],
        modality: str,
        augment: AugmentConfig,
        seed: int = 0,
        cache_bytes: int = 0,
        test_noise: NoiseMixer | None = None,
        streams: Streams | None = None,
    ):
        self.folder = Path(folder)
        if not (self.folder / "utt2num_frames").exists():
            raise StageError(f"{self.folder}: no dumped utterances here; run stage 2 (--stage 2 --stop-stage 2) first.")
        num_frames = read_num_frames(self.folder / "utt2num_frames")
        self.texts = read_table(self.folder / "text")
        self.utt_ids = sorted(num_frames)
        self.check_list("text", self.texts)
        self.num_frames = [num_frames[utt_id] for utt_id in self.utt_ids]
        self.encode, self.augment, self.seed = encode, augment, seed
        self.takes_both = modality == "audiovisual"
        self.video = self._reader("video") if "audio" not in (modality, streams) else None
        self.audio = self._reader("audio") if "video" not in (modality, streams) else None
        self.test_noise = test_noise
        self._cache: dict[str, np.ndarray] = {}
        self._cache_left = cache_bytes

    def _reader(self, stream: str) -> ArkReader:
        path = self.folder / f"{stream}.scp"
        if not path.exists():
            other = "audio" if stream == "video" else "video"
            hint = f" At the test --streams {other} does without it." if self.takes_both else ""
            raise StageError(
                f"{path} is missing: the dump has no {stream}. Rerun stage 2 with a --modality that has it.{hint}"
            )
        reader = ArkReader(path)
        self.check_list(path.name, reader)
        return reader

    def check_list(self, name: str, entries: Container[str]) -> None:
        """Raises: DataError where a list of the dump, called `name`, lacks one of the utterances."""
        if missing := [utt_id for utt_id in self.utt_ids if utt_id not in entries]:
            raise DataError(
                f"{self.folder}/{name} lacks {missing[0]} of utt2num_frames ({len(missing)} in all); delete the file and "
                "rerun stage 2, which makes the dump anew."
            )

    def __len__(self) -> int:
        return len(self.utt_ids)

    def frames(self, utt_id: str) -> np.ndarray:
        """Mouth crops of an utterance, (T, 96, 96) uint8, decoded once while the cache has room."""
        if utt_id in self._cache:
            return self._cache[utt_id]
        stored = self.video[utt_id]
        frames = stored if stored.ndim == 3 else read_video_array(stored.tobytes())
        if frames.nbytes <= self._cache_left:
            self._cache[utt_id] = frames
            self._cache_left -= frames.nbytes
        return frames

    def keep(self, indices: Sequence[int]) -> None:
        """Leave out all other utterances."""
        self.utt_ids = [self.utt_ids[index] for index in indices]
        self.num_frames = [self.num_frames[index] for index in indices]
        self.__dict__.pop("_keys", None)

    @functools.cached_property
    def _keys(self) -> np.ndarray:
        return np.array([keyed_seed(utt_id) for utt_id in self.utt_ids], dtype=np.uint64)

    def lengths(self, epoch: int) -> np.ndarray:
        """Frames of each utterance as an epoch of training plays it, (N,) int64."""
        return played_frames(self.num_frames, change_speeds(self.augment, self._keys, self.seed, epoch))

    @property
    def longest(self) -> str:
        """Id of the longest utterance."""
        return self.utt_ids[int(np.argmax(self.num_frames))]

    @property
    def most_frames(self) -> int:
        """Frames of the longest utterance at the slowest that training may play it."""
        return int(played_frames(max(self.num_frames), 1.0 - self.augment.speed))

    @functools.cached_property
    def training_noise(self) -> NoiseMixer | None:
        """The noise that `augment` asks for, opened at first need. Ask early: what is wrong with it is told here."""
        return open_noise(self.augment.noise, self.folder) if self.augment.noise and self.audio else None

    def _add_noise(self, epoch: int | None, utt_id: str) -> Callable[[Tensor], Tensor] | None:
        noise = self.test_noise if epoch is None else self.training_noise
        # A test's noise is that of the utterance alone: every model, seed and level hears the same.
        key = ("test noise", utt_id) if epoch is None else (self.seed, "noise", epoch, utt_id)
        return functools.partial(noise.add, utt_id=utt_id, rng=keyed_rng(*key)) if noise else None

    def __getitem__(self, key: tuple[int | None, int]) -> Utterance:
        epoch, index = key
        utt_id = self.utt_ids[index]
        rng, speed = None, 1.0
        if epoch is not None:
            rng = keyed_rng(self.seed, "augment", epoch, utt_id)
            speed = float(change_speeds(self.augment, self._keys[index : index + 1], self.seed, epoch)[0])
        video = prepare_video(self.frames(utt_id), self.augment, speed, rng) if self.video else None
        audio = masks = None
        if self.audio:
            add_noise = self._add_noise(epoch, utt_id)
            audio = prepare_audio(self.audio[utt_id], self.augment, speed, rng, add_noise)
            if epoch is not None and self.augment.spec_augment:
                own = keyed_rng(self.seed, "spectrum", epoch, utt_id)
                masks = draw_spectrum_masks(self.augment.spec_augment, len(audio) / SAMPLE_RATE_HZ, own)
        if rng is not None and video is not None and audio is not None:
            draw = rng.random()
            if draw < self.augment.drop_video:
                video = torch.zeros_like(video)
            elif draw < self.augment.drop_video + self.augment.drop_audio:
                audio = torch.zeros_like(audio)
        if self.takes_both:
            video, audio = fill_streams(video, audio, self.augment)
        return Utterance(utt_id, self.texts[utt_id], self.encode(self.texts[utt_id]), video, audio, masks)


def collate(utterances: Sequence[Utterance]) -> Batch:
    """Pad utterances to one batch."""
    pad = torch.nn.utils.rnn.pad_sequence
    tokens = [torch.tensor(utterance.tokens, dtype=torch.int64) for utterance in utterances]
    batch = Batch(
        utt_ids=[utterance.utt_id for utterance in utterances],
        texts=[utterance.text for utterance in utterances],
        tokens=pad(tokens, batch_first=True),
        token_lengths=torch.tensor([len(row) for row in tokens]),
    )
    for stream in ("video", "audio"):
        rows = [getattr(utterance, stream) for utterance in utterances]
        if rows[0] is not None:
            setattr(batch, stream, pad(rows, batch_first=True))
            setattr(batch, f"{stream}_lengths", torch.tensor([len(row) for row in rows]))
    if utterances[0].spectrum_masks is not None:
        batch.spectrum_masks = torch.stack([utterance.spectrum_masks for utterance in utterances])
    return batch
