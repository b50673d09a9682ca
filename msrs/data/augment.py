"""What is done to pixels and sound on their way into a batch; every draw is keyed by seed, epoch and utterance."""

import math
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from msrs.config import config
from msrs.data.noise import MOST_DB, NoiseConfig
from msrs.data.spectrum import SpecAugmentConfig
from msrs.log import LOGGER
from msrs.ranges import Count, Natural, NotNegative, Share, ShareBelowOne
from msrs.seeding import keyed_uniforms

Streams = Literal["video", "audio", "audiovisual"]

SAMPLES_PER_FRAME = 640
MOUTH_PX = 96  # side of the pictures that stage 1 makes
LEAST_PX = 8  # on a picture of fewer pixels a side no mouth can be seen


@config
class AugmentConfig:
    """Cropping and normalisation (always), and the random changes of training (augment only where a chance is given)."""

    # Side of the square cut from the 96-pixel mouth; centred outside training
    crop_px: Annotated[int, pydantic.Field(ge=LEAST_PX, le=MOUTH_PX)] = 88
    shift_px: Natural = 4  # training: the square moves by up to this much either way
    pool: Count = 1  # average over pool x pool pixels after cropping
    normalise: Literal["utterance", "corpus"] = "corpus"  # own mean and spread, or mean 0.421 and spread 0.165
    flip: Share = 0.0  # chance of mirroring
    speed: ShareBelowOne = 0.0  # both streams are played faster or slower by up to this share
    video_mask_frames: Natural = 10  # one time mask of up to so many frames ...
    video_mask_every_frames: Natural = 25  # ... per so many frames; 0: none
    erase: Share = 0.0  # chance of a grey square at one place throughout the clip
    erase_share: Share = 0.25  # its side as a share of the picture's
    audio_mask_seconds: NotNegative = 0.4  # one time mask of up to so long ...
    audio_mask_every_seconds: NotNegative = 1.0  # ... per so many seconds; 0: none
    # White noise at a level drawn from these; `noise` can do more
    noise_snr_db: tuple[Annotated[float, pydantic.Field(ge=-MOST_DB, le=MOST_DB)], ...] = ()
    noise: NoiseConfig | None = None  # white noise, babble or recordings; its draws change no others
    spec_augment: SpecAugmentConfig | None = None  # masks over log-mel energies; its draws change no others
    drop_video: Share = 0.0  # audio-visual: chance that an utterance comes without its video
    drop_audio: Share = 0.0  # audio-visual: chance that it comes without its sound

    @pydantic.model_validator(mode="after")
    def _check(self):
        if self.noise_snr_db and self.noise:
            raise ValueError("noise_snr_db and noise exclude each other; noise: {sources: [white]} is white noise too")
        if self.pool * LEAST_PX > self.crop_px:
            raise ValueError(
                f"crop_px {self.crop_px} over pool {self.pool} makes pictures {self.crop_px // self.pool} px wide; "
                f"expected {LEAST_PX} px or more"
            )
        if self.drop_video + self.drop_audio > 1.0:
            raise ValueError(
                f"drop_video {self.drop_video:g} and drop_audio {self.drop_audio:g} are chances of one draw; expected a "
                "sum of 1 at most"
            )
        return self


def change_speeds(options: AugmentConfig, keys: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Speed factors of an epoch, all 1.0 where none is asked for; known beforehand, since batches are planned by them.

    Args: keys (N,) uint64, of the utterances (`keyed_seed`). Returns: (N,) float64.
    """
    return 1.0 + options.speed * (2.0 * keyed_uniforms(keys, seed, "speed", epoch) - 1.0)


def played_frames(num_frames: ArrayLike, speed: ArrayLike) -> np.ndarray:
    """How many frames clips have at a speed, one at least.

    >>> played_frames([75, 75, 1], [1.0, 0.9, 1.2])
    array([75, 83,  1])
    """
    return np.maximum(1, np.rint(np.divide(num_frames, speed))).astype(np.int64)


def prepare_video(frames: np.ndarray, options: AugmentConfig, speed: float, rng: np.random.Generator | None) -> Tensor:
    """Crop, pool and normalise; in training (`rng` given) also shift, flip, mask and erase.

    Args: frames (T, 96, 96) uint8. Returns: (T', H, W) float32 with T' = `played_frames(T, speed)`.
    """
    video = torch.from_numpy(frames)
    if speed != 1.0:
        video = video[_resampled_frames(len(frames), speed)]
    top, left = (max((side - options.crop_px) // 2, 0) for side in video.shape[1:])
    if rng is not None and options.shift_px:
        room = min(options.shift_px, top, left)
        top, left = (int(start + rng.integers(-room, room + 1)) for start in (top, left))
    video = video[:, top : top + options.crop_px, left : left + options.crop_px].float()
    if options.pool > 1:
        video = F.avg_pool2d(video[:, None], options.pool)[:, 0]
    if options.normalise == "utterance":
        video = (video - video.mean()) / (video.std(correction=0) + 1e-3)
    else:
        video = (video / 255.0 - 0.421) / 0.165
    if rng is not None:
        video = _distort(video, options, rng)
    return video


def _resampled_frames(num_frames: int, speed: float) -> Tensor:
    """Which frame is shown at each frame of a clip played `speed` times as fast."""
    length = int(played_frames(num_frames, speed))
    return ((torch.arange(length) + 0.5) * speed).long().clamp(max=num_frames - 1)


def _distort(video: Tensor, options: AugmentConfig, rng: np.random.Generator) -> Tensor:
    # Zero is the mean after normalisation: a masked frame is grey, not black.
    if rng.random() < options.flip:
        video = video.flip(-1)
    video = video.contiguous()
    spans = adaptive_masks(len(video), options.video_mask_frames, options.video_mask_every_frames, rng)
    for start, length in spans:
        video[start : start + length] = 0.0
    if rng.random() < options.erase:
        height, width = video.shape[1:]
        side_y, side_x = round(height * options.erase_share), round(width * options.erase_share)
        top, left = rng.integers(0, height - side_y + 1), rng.integers(0, width - side_x + 1)
        video[:, top : top + side_y, left : left + side_x] = 0.0
    return video


def prepare_audio(
    samples: np.ndarray,
    options: AugmentConfig,
    speed: float,
    rng: np.random.Generator | None,
    add_noise: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Normalise to zero mean and unit spread; in training also change speed, mask in time and add noise.

    Args: samples (S,) int16 at 16 kHz; add_noise, what to do before normalising, in tests of noise too.
    Returns: (S',) float32, S' = 640 * `played_frames(S / 640, speed)`.
    """
    audio = torch.from_numpy(samples.astype(np.float32)) / 32768.0
    if speed != 1.0:
        length = int(played_frames(len(audio) // SAMPLES_PER_FRAME, speed)) * SAMPLES_PER_FRAME
        audio = F.interpolate(audio[None, None], size=length, mode="linear", align_corners=False)[0, 0]
    if rng is not None:
        window, stride = (
            round(16000 * seconds) for seconds in (options.audio_mask_seconds, options.audio_mask_every_seconds)
        )
        for start, length in adaptive_masks(len(audio), window, stride, rng):
            audio[start : start + length] = 0.0
        if options.noise_snr_db:
            audio = _add_noise(audio, float(rng.choice(options.noise_snr_db)), rng)
    if add_noise is not None:
        audio = add_noise(audio)
    return (audio - audio.mean()) / (audio.std(correction=0) + 1e-5)


def _add_noise(audio: Tensor, snr_db: float, rng: np.random.Generator) -> Tensor:
    noise = torch.from_numpy(rng.standard_normal(len(audio), dtype=np.float32))
    return audio + noise * audio.square().mean().sqrt() * 10.0 ** (-snr_db / 20.0)


def fill_streams(video: Tensor | None, audio: Tensor | None, options: AugmentConfig) -> tuple[Tensor, Tensor]:
    """Both streams for an audio-visual model; one that is left out is what `drop_video` and `drop_audio` make of it: zeros.

    Args: video (T, H, W) or audio (S,), normalised; one of them may be None. Returns: both, of equal time.
    """
    if video is None:
        side = options.crop_px // options.pool
        video = torch.zeros(len(audio) // SAMPLES_PER_FRAME, side, side)
    if audio is None:
        audio = torch.zeros(len(video) * SAMPLES_PER_FRAME)
    return video, audio


def warn_if_never_dropped(options: AugmentConfig, streams: Literal["video", "audio"]) -> None:
    """Say so where an audio-visual model is to do with `streams` alone and was never trained to.

    Args: options of its training.
    """
    left_out = "audio" if streams == "video" else "video"
    if not getattr(options, f"drop_{left_out}"):
        LOGGER.warning(
            "the model was trained with augment.drop_%s 0, so never without %s: from %s alone it may read badly",
            *(left_out, left_out, streams),
        )


def adaptive_masks(size: int, window: int, stride: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Time masks whose number grows with the length (Ma et al., ICASSP 2022): ceil(size / stride) of up to `window`.

    Returns: (start, length) of each; some are empty.
    """
    if not stride or not window:
        return []
    spans = []
    for _ in range(math.ceil(size / stride)):
        length = int(rng.integers(0, min(window, size)))
        spans.append((int(rng.integers(0, size - length + 1)), length))
    return spans
