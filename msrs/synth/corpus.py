"""The files of the corpus, made by several processes; what is there already is kept."""

import functools
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

import torch

from msrs.data.datadir import DataDir, write_datadir
from msrs.data.media import write_video
from msrs.errors import DataError
from msrs.files import remove_half_written, sha256, write_text
from msrs.log import LOGGER, progress
from msrs.seeding import keyed_rng
from msrs.synth.clip import FPS, make_clip, speech_request
from msrs.synth.head import Head
from msrs.synth.plan import ClipPlan, CorpusOptions, plan_corpus
from msrs.synth.speakers import SPEAKERS
from msrs.synth.speech import SAMPLE_RATE_HZ, Speech, speak

_BATCH = 64  # clips whose speech waits in memory


def make_corpus(out: Path, options: CorpusOptions, num_jobs: int = 1) -> None:
    """Write `out/<set>/` and the clips under `out/synth/`; clips that are there are whole, and passed over.

    The result depends on the options alone, neither on the number of processes nor on interruptions.
    Raises: ConfigError on impossible options; DependencyError without espeak-ng; DataError where it cannot be written.
    """
    plan = plan_corpus(options)
    folder = out / "synth"
    _drop_outdated(folder, plan, options)
    missing = sum(not clip.media(folder).exists() for clip in plan)
    LOGGER.info("%d of %d clips are there already, %d to make", len(plan) - missing, len(plan), missing)
    if missing:
        for _ in progress(_make_missing(plan, folder, options.seed, num_jobs), missing, "synthetic clips"):
            pass
    for set_name in options.sizes:
        _write_set(out / set_name, [clip for clip in plan if clip.set_name == set_name], folder)


def _write_set(path: Path, clips: list[ClipPlan], folder: Path) -> None:
    media = {clip.utt_id: str(clip.media(folder)) for clip in clips}
    text = {clip.utt_id: clip.text for clip in clips}
    utt2spk = {clip.utt_id: clip.speaker for clip in clips}
    write_datadir(DataDir(path, text, utt2spk, video=media, audio=media))
    LOGGER.info("%s: %d utterances of %d speakers", path, len(clips), len(set(utt2spk.values())))


def _drop_outdated(folder: Path, plan: list[ClipPlan], options: CorpusOptions) -> None:
    """Remove what a killed run left half-written, and all clips where the plan or this room has changed since."""
    remove_half_written(folder)
    room = Path(__file__).parent
    sources = sorted([*room.glob("*.py"), *(room / "assets").iterdir()])
    record = {
        "options": asdict(options),
        "made_by": {path.name: sha256(path) for path in sources},
        "clips": [[clip.set_name, clip.utt_id, clip.speaker, clip.text] for clip in plan],
    }
    path = folder / "plan.json"
    new = json.dumps(record, indent=1) + "\n"
    old = path.read_text(encoding="utf-8") if path.exists() else None
    if old == new:
        return
    if old is not None:
        LOGGER.info("%s: made with other options or by another version; all clips are made anew", folder)
        for fields in json.loads(old)["clips"]:
            ClipPlan(*fields).media(folder).unlink(missing_ok=True)
    write_text(path, new)


def _make_missing(plan: list[ClipPlan], folder: Path, seed: int, num_jobs: int) -> Iterator[Path]:
    """Make the clips without a file; yields each file when it is whole.

    All clips are spoken, in the order of the plan and by one fresh process, because espeak-ng's sound depends on what
    it said before (2 ms a clip). Faces are then drawn by `num_jobs` processes, each clip on its own.
    """
    workers = {"mp_context": multiprocessing.get_context("spawn"), "initializer": _start_worker}
    try:
        with ProcessPoolExecutor(1, **workers) as voices, ProcessPoolExecutor(num_jobs, **workers) as painters:
            for start in range(0, len(plan), _BATCH):
                batch = plan[start : start + _BATCH]
                speeches = voices.submit(_speak, batch, seed).result()
                tasks = [(clip, speech, clip.media(folder), seed) for clip, speech in zip(batch, speeches, strict=True)]
                yield from painters.map(_make_one, [task for task in tasks if not task[2].exists()])
    except BrokenProcessPool:
        raise DataError(
            f"{folder}: a process was killed, out of memory perhaps; try again with a lower --nj."
        ) from None


def _start_worker() -> None:
    """One thread a process; the parent deals with Ctrl-C; a worker whose parent is killed ends too."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _speak(batch: list[ClipPlan], seed: int) -> list[Speech]:
    requests = []
    for clip in batch:
        rng = keyed_rng(seed, clip.utt_id, "voice")
        requests.append(speech_request(SPEAKERS[clip.speaker].voice, clip.text, rng))
    return speak(requests)


def _make_one(task: tuple[ClipPlan, Speech, Path, int]) -> Path:
    plan, speech, path, seed = task
    clip = make_clip(SPEAKERS[plan.speaker].stance, _head(plan.speaker), speech, keyed_rng(seed, plan.utt_id, "clip"))
    write_video(path, clip.frames, FPS, clip.samples, SAMPLE_RATE_HZ, preset="veryfast")
    return path


@functools.cache
def _head(speaker: str) -> Head:
    return Head(SPEAKERS[speaker].look)
