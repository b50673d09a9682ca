"""Speech with the times of its phonemes, by espeak-ng's library (package espeakng-loader, no binary, no network)."""

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msrs.errors import DataError, DependencyError
from msrs.synth.visemes import Phoneme

SAMPLE_RATE_HZ = 16000
_INSTALL = "Install it with: pip install espeakng-loader"
_LONGEST_PATH = 140  # of its data that the library can take; beyond 160 or so it looks elsewhere

# Values of espeak-ng's speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS, _DO_NOT_EXIT = 2, 0x0001, 0x8000
_RATE, _PITCH = 1, 3
_PHONEME, _END_OF_LIST = 7, 0
_UTF8 = 1
_STRESS_MARKS = "',%=|"


class _Name(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class SpeechRequest:
    """What to say and how: the text, an espeak-ng voice such as `en-us+f2`, words a minute, pitch in 0..99."""

    text: str
    voice: str
    words_per_minute: int
    pitch: int


@dataclass(frozen=True)
class Speech:
    """Sound (S,) float32 in -1..1 at 16 kHz and its phonemes."""

    samples: np.ndarray
    phonemes: tuple[Phoneme, ...]


def speak(requests: Sequence[SpeechRequest]) -> list[Speech]:
    """Say all requests in their order.

    The library keeps a random state that only a new process resets, so what is said depends on what this process said
    before: for the same sound every time, say the same list in a fresh process.
    Raises: DependencyError without the library; DataError for a voice that it does not have.
    """
    return [_espeak().say(request) for request in requests]


def _espeak() -> "_Espeak":
    if _Espeak.instance is None:
        _Espeak.instance = _Espeak()
    return _Espeak.instance


class _Espeak:
    """The library, which exists once in a process."""

    instance: "_Espeak | None" = None

    def __init__(self):
        try:
            import espeakng_loader

            path, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
            self.engine = ctypes.CDLL(str(path))
        except (ImportError, OSError, RuntimeError) as error:
            raise DependencyError(f"The synthetic corpus needs espeak-ng's library ({error}). {_INSTALL}") from None
        flags = _PHONEME_EVENTS | _DO_NOT_EXIT
        self.sample_rate_hz = self.engine.espeak_Initialize(_SYNCHRONOUS, 0, _short_path(str(data)).encode(), flags)
        if self.sample_rate_hz <= 0:
            remedy = (
                f"{_INSTALL}, in a folder whose name is shorter if this one is longer than {_LONGEST_PATH} characters"
            )
            raise DependencyError(f"{path}: espeak-ng does not start with its data in {data}. {remedy}.")
        self.chunks: list[np.ndarray] = []
        self.starts: list[tuple[int, str]] = []
        # The library keeps a bare pointer: without this reference python frees the callback under its feet.
        self.callback = _Callback(self._receive)
        self.engine.espeak_SetSynthCallback(self.callback)

    def _receive(self, wave, count: int, events) -> int:
        if wave and count > 0:
            self.chunks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while events[index].type != _END_OF_LIST:
            if events[index].type == _PHONEME:
                self.starts.append((events[index].sample, events[index].id.string.decode("utf-8", "replace")))
            index += 1
        return 0

    def say(self, request: SpeechRequest) -> Speech:
        self.chunks, self.starts = [], []
        # An unknown name is not refused by later calls: they go on in the default voice.
        if self.engine.espeak_SetVoiceByName(request.voice.encode()) != 0:
            raise DataError(f"espeak-ng has no voice {request.voice!r}; `espeak-ng --voices=en` lists those it has.")
        self.engine.espeak_SetParameter(_RATE, request.words_per_minute, 0)
        self.engine.espeak_SetParameter(_PITCH, request.pitch, 0)
        self.engine.espeak_ng_SetRandSeed(ctypes.c_long(1))
        text = request.text.encode()
        self.engine.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, _UTF8, None, None)
        self.engine.espeak_Synchronize()
        wave = np.concatenate(self.chunks).astype(np.float32) / 32768
        return Speech(resample(wave, self.sample_rate_hz, SAMPLE_RATE_HZ), self._phonemes(len(wave)))

    def _phonemes(self, num_samples: int) -> tuple[Phoneme, ...]:
        ends = [start for start, _ in self.starts[1:]] + [num_samples]
        return tuple(
            Phoneme(start / self.sample_rate_hz, end / self.sample_rate_hz, name.strip(_STRESS_MARKS))
            for (start, name), end in zip(self.starts, ends, strict=True)
        )


def _short_path(folder: str) -> str:
    """A name for a folder that is short enough for the library, where the system has one."""
    descriptors = "/proc/self/fd"
    if len(folder) <= _LONGEST_PATH or not os.path.isdir(descriptors):
        return folder
    return f"{descriptors}/{os.open(folder, os.O_RDONLY)}"  # left open: voices are read as they are asked for


def resample(wave: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Change the sampling rate by cutting or padding the spectrum: exact for sound that begins and ends in silence."""
    length = round(len(wave) * to_hz / from_hz)
    spectrum = np.fft.rfft(wave)
    kept = np.zeros(length // 2 + 1, dtype=spectrum.dtype)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    return (np.fft.irfft(kept, length) * (length / len(wave))).astype(np.float32)
