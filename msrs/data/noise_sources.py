"""Where noise comes from. Each source gives as many samples as are wanted, drawn by the generator that it is handed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from msrs.data.ark import ArkReader
from msrs.data.kaldi_table import Fault, read_table, values_of
from msrs.data.sound import stream_audio
from msrs.errors import DataError, MediaError, StageError
from msrs.log import LOGGER, progress

SUFFIXES = {
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff", ".au", ".sph"),
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
}
SAMPLE_RATE_HZ = 16000
KEPT_SECONDS = 8 * 3600  # of a folder in memory, 0.9 GB; every recording has the same share
LONGEST_SECONDS = 3600
SHORTEST_SECONDS = 10  # where a share would be less, some recordings are left out


def white(size: int, utt_id: str, rng: np.random.Generator) -> np.ndarray:
    """White noise. Returns: (size,) float32."""
    return rng.standard_normal(size, dtype=np.float32)


def is_silent(samples: np.ndarray) -> bool:
    """Whether nothing can be heard: all samples are equal, zero or not. Normalisation would make zeros of them."""
    return not len(samples) or bool(samples.min() == samples.max())


def cut(samples: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A stretch from a drawn place; shorter sounds are repeated. Only silence gives silence.

    Args: samples (S,). Returns: (size,) float32.
    """
    room = len(samples) - size
    start = int(rng.integers(room + 1 if room >= 0 else len(samples)))
    part = samples.take(np.arange(start, start + size), mode="wrap")
    if is_silent(part):  # a pause: begin where there is sound
        start = int((samples != np.roll(samples, -1)).argmax())
        part = samples.take(np.arange(start, start + size), mode="wrap")
    return part.astype(np.float32)


class Babble:
    """Several utterances at once, of equal power each and never of the speaker whose utterance gets the noise.

    Args: pool, the dump that the voices are out of; feats, the dump that gets the noise; num_voices, least and most.
    Where the pool has no other speaker it is other utterances of the same one, which a warning tells.
    Raises: StageError where a dump lacks sound or speakers; DataError where the pool has no other utterance.
    """

    def __init__(self, pool: Path, feats: Path, num_voices: tuple[int, int]):
        self.pool, self.num_voices = pool, num_voices
        self.speakers = read_speakers(feats)
        self.sound = _open_sound(pool)
        speakers = read_speakers(pool)
        self.utterances: dict[str, list[str]] = {}
        for utt_id in sorted(self.sound):
            self.utterances.setdefault(_speaker(pool, speakers, utt_id), []).append(utt_id)
        if len(self.utterances) == 1 and next(iter(self.utterances)) in self.speakers.values():
            if len(self.sound) == 1:
                raise DataError(f"{pool}: one utterance alone makes no babble; use another set's, or white noise.")
            LOGGER.warning(
                "%s has one speaker: the babble behind an utterance is that speaker's other utterances; another "
                "set's, or a folder of recordings, would be more natural",
                pool,
            )

    def voices(self, utt_id: str, rng: np.random.Generator) -> Iterator[str]:
        """Ids of what may sound behind an utterance, in drawn order: each speaker once, then each once more, ..."""
        own = _speaker(self.pool, self.speakers, utt_id)
        names = [name for name in self.utterances if name != own] or [own]
        # Lazy, for a corpus has thousands of speakers and a babble a few voices.
        queues: Iterable[Iterator[str]] = (self._drawn(names[i], utt_id, rng) for i in rng.permutation(len(names)))
        while True:
            left = []
            for queue in queues:
                voice = next(queue, None)
                if voice is not None:
                    left.append(queue)
                    yield voice
            if not left:
                return
            queues = left

    def _drawn(self, speaker: str, utt_id: str, rng: np.random.Generator) -> Iterator[str]:
        own = self.utterances[speaker]
        return (own[i] for i in rng.permutation(len(own)) if own[i] != utt_id)

    def __call__(self, size: int, utt_id: str, rng: np.random.Generator) -> np.ndarray:
        """Babble for an utterance. Returns: (size,) float32. Raises: DataError where all the voices are silent."""
        wanted = int(rng.integers(self.num_voices[0], self.num_voices[1] + 1))
        total, heard = np.zeros(size, np.float32), 0
        for voice in self.voices(utt_id, rng):
            samples = self.sound[voice]
            if not is_silent(samples):
                power = np.square(samples, dtype=np.float64).mean()
                total += cut(samples, size, rng) / np.float32(power**0.5)
                heard += 1
            if heard == wanted:
                break
        if not total.any():
            raise DataError(f"{self.pool}: behind {utt_id} all other utterances are silent; use white noise.")
        return total


class NoiseFolder:
    """Recordings of noise, read once; a process keeps up to eight hours of them, of each recording its beginning.

    Raises: DataError where the folder has none; MediaError where one cannot be read or is silent.
    """

    def __init__(self, folder: Path):
        paths = find_recordings(folder)
        most = KEPT_SECONDS // SHORTEST_SECONDS
        if len(paths) > most:
            LOGGER.warning("%s: %d recordings, of which every %.1fth is used", folder, len(paths), len(paths) / most)
            paths = [paths[i * len(paths) // most] for i in range(most)]
        seconds = min(LONGEST_SECONDS, KEPT_SECONDS // len(paths))
        self.recordings = [read_beginning(path, seconds) for path in progress(paths, len(paths), "read noise")]

    def __call__(self, size: int, utt_id: str, rng: np.random.Generator) -> np.ndarray:
        """A stretch of one of the recordings. Returns: (size,) float32."""
        return cut(self.recordings[int(rng.integers(len(self.recordings)))], size, rng)


def find_recordings(folder: Path) -> list[Path]:
    """Media files in a folder and below, sorted. Raises: DataError where there is none."""
    found = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        state = "holds no recordings such as noise.wav" if folder.is_dir() else "is no folder"
        raise DataError(f"{folder} {state}; expected a folder of noise (a relative path counts from {Path.cwd()}).")
    return [folder / name for name in found]


def read_beginning(path: Path, seconds: int) -> np.ndarray:
    """Up to so many seconds of a recording, without its mean, (S,) int16 at 16 kHz.

    Raises: MediaError where it cannot be read or is silent.
    """
    size, blocks = 0, []
    try:
        for block in stream_audio(path, SAMPLE_RATE_HZ):
            blocks.append((block * 32767.0).round().astype(np.int16))
            size += len(block)
            if size >= seconds * SAMPLE_RATE_HZ:
                break
    except MediaError as error:
        raise MediaError(f"{error} It cannot serve as noise: take it out of the folder, or mend it.") from None
    samples = np.concatenate(blocks)[: seconds * SAMPLE_RATE_HZ]
    if is_silent(samples):
        raise MediaError(f"{path}: silent, so it cannot serve as noise; take it out of the folder.")
    # A recorder's constant offset is no sound; counted as power, it would leave the noise weaker than its level says.
    return np.clip(samples - np.int32(samples.mean().round()), -32768, 32767).astype(np.int16)


def read_speakers(feats: Path) -> dict[str, str]:
    """Utterance -> speaker of a dump. Raises: StageError where the list is missing or wrong."""
    faults: list[Fault] = []
    speakers = values_of(read_table(feats / "utt2spk", faults, "speaker"))
    if faults:
        raise StageError(f"{faults[0]}; babble has to know who speaks. Rerun stage 2, which writes this list.")
    return speakers


def _speaker(feats: Path, speakers: dict[str, str], utt_id: str) -> str:
    if utt_id not in speakers:
        raise StageError(f"{feats}: {utt_id} has no speaker in utt2spk; rerun stage 2.")
    return speakers[utt_id]


def _open_sound(pool: Path) -> ArkReader:
    if not (pool / "audio.scp").exists():
        raise StageError(f"{pool}: no sound to make babble of; rerun stage 2 with a --modality that has it.")
    return ArkReader(pool / "audio.scp")
