"""Stage 2: from mouth crops and sound to archives with one entry an utterance."""

import collections
import contextlib
import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import yaml

from msrs.data.ark import ArkWriter
from msrs.data.cut import FPS, SAMPLE_RATE_HZ, Cut, CutJob, cut_recording, to_frames
from msrs.data.datadir import DataDir, raise_faults, read_datadir
from msrs.data.kaldi_table import Fault, read_table, values_of, write_reasons, write_table
from msrs.data.parallel import ordered_map
from msrs.errors import DataError, StageError
from msrs.files import read_lines, remove_half_written, write_text
from msrs.log import LOGGER, counted, progress
from msrs.stage_mark import StageMark

Modality = Literal["video", "audio", "audiovisual"]
LAYOUT = 1  # raised when the same inputs give other bytes, so that older dumps are made anew
ARCHIVES = ("video.ark", "video.scp", "audio.ark", "audio.scp")


@dataclasses.dataclass(frozen=True)
class DumpOptions:
    """What goes into a dump and how."""

    modality: Modality = "audiovisual"
    video_format: Literal["encoded", "raw"] = "encoded"  # bytes of an mp4, or (T, H, W) uint8: some 40 times as much


def dump_set(
    data: str | Path,
    crop: str | Path | None,
    out: str | Path,
    options: DumpOptions = DumpOptions(),  # noqa: B008 - frozen
    num_jobs: int = 1,
    max_skipped: float = 0.05,
) -> None:
    """Make the dump of one set, or pass over one that is current.

    Args: data, data directory; crop, folder of stage 1 (None for sound alone); out, folder of the dump; num_jobs,
    processes (they change nothing but the time); max_skipped, share of utterances that may be put aside before the set
    is refused (`skipped.tsv` is left to read, no dump).
    Raises: StageError where stage 1 has not been run; DataError on a wrong directory, a full disk, too many skipped.
    """
    out = Path(out)
    directory = read_datadir(data)
    _check_modality(directory, crop, options)
    crops, without_crop = _read_crops(directory, crop) if options.modality != "audio" else ({}, {})
    mark = _mark(directory, crop, out, options, crops)
    reason = mark.reason_to_run()
    expected = [out / name for name in _names(options)]
    if reason is None and all(path.exists() for path in expected):
        LOGGER.info("%s: current, its %d utterances are passed over", out, len(read_lines(out / "utt2num_frames")))
        return
    if reason not in (None, "not done before"):
        LOGGER.info("%s: made anew (%s)", out, reason)
    mark.clear()
    remove_half_written(out)
    (out / "utt2num_frames").unlink(missing_ok=True)  # without it nobody takes the folder for a dump
    jobs = _jobs(directory, crops, options)
    cut = ordered_map(cut_recording, jobs, num_jobs, name=lambda job: job.recording)
    done = progress(cut, len(jobs), f"dump {out.name}")
    _write(directory, out, options, without_crop, (cut for cuts in done for cut in cuts), max_skipped)
    mark.write()


def _check_modality(directory: DataDir, crop: str | Path | None, options: DumpOptions) -> None:
    if options.modality != "video" and not directory.audio:
        raise DataError(f"{directory.path} has no wav.scp, so no sound; add it, or use --modality video.")
    if options.modality != "audio" and crop is None:
        raise StageError(f"--modality {options.modality} needs --crop, the folder that stage 1 made for the set.")


def _read_crops(directory: DataDir, crop: str | Path) -> tuple[dict[str, str], dict[str, str]]:
    """Recording -> its crop, and recording -> why it has none."""
    crop = Path(crop)
    if not (crop / "crop.scp").exists():
        raise StageError(f"{crop}/crop.scp is missing; run stage 1 first (--stage 1 --stop-stage 1).")
    faults: list[Fault] = []
    crops = values_of(read_table(crop / "crop.scp", faults, "path"))
    raise_faults(crop, faults)
    skipped = {}
    if (crop / "skipped.tsv").exists():
        rows = [line.partition("\t") for line in read_lines(crop / "skipped.tsv")[1:]]
        skipped = {recording: reason for recording, _, reason in rows}
    recordings = directory.recordings
    lost = [rec for rec in recordings if rec not in skipped and not Path(crops.get(rec, "")).is_file()]
    if lost:
        raise StageError(
            f"{crop} lacks {len(lost)} of {len(recordings)} recordings, first {lost[0]}; run stage 1 again."
        )
    crops = {rec: path for rec, path in crops.items() if rec in recordings and rec not in skipped}
    return crops, {rec: reason for rec, reason in skipped.items() if rec in recordings}


def _mark(
    directory: DataDir, crop: str | Path | None, out: Path, options: DumpOptions, crops: dict[str, str]
) -> StageMark:
    """Lists and configurations by content, media by size: reading them all would take as long as the work."""
    names = [directory.path / name for name in ("text", "utt2spk", "segments")]
    media = dict(crops)
    if options.modality != "audio":
        names += [Path(crop) / name for name in ("crop.scp", "skipped.tsv", "crop.yaml", "quality.tsv")]
    if options.modality != "video":
        names.append(directory.path / "wav.scp")
        media |= {f"{rec} sound": path for rec, path in directory.audio.items()}
    digest = hashlib.sha256()
    for key, path in sorted(media.items()):
        with contextlib.suppress(OSError):  # a missing sound file is put aside later, with its reason
            digest.update(f"{key} {Path(path).stat().st_size}\n".encode())
    given = dataclasses.asdict(options) | {"layout": LAYOUT, "sizes of media": digest.hexdigest()}
    return StageMark(out, "dump", [name for name in names if name.exists()], given)


def _names(options: DumpOptions) -> list[str]:
    streams = ["video", "audio"] if options.modality == "audiovisual" else [options.modality]
    arks = [f"{stream}.{kind}" for stream in streams for kind in ("ark", "scp")]
    return [*arks, "text", "utt2spk", "feats.yaml", "skipped.tsv", "utt2num_frames"]


def _jobs(directory: DataDir, crops: dict[str, str], options: DumpOptions) -> list[CutJob]:
    jobs = []
    for recording, utts in directory.recordings.items():
        if options.modality != "audio" and recording not in crops:
            continue
        segments = [(utt, directory.segment(utt)) for utt in utts]
        ranges = [
            (utt, to_frames(s.start_seconds), None if s.end_seconds is None else to_frames(s.end_seconds))
            for utt, s in segments
        ]
        sound = directory.audio[recording] if options.modality != "video" else None
        jobs.append(CutJob(recording, ranges, crops.get(recording), sound, options.video_format == "encoded"))
    return jobs


def _write(
    directory: DataDir,
    out: Path,
    options: DumpOptions,
    without_crop: dict[str, str],
    cuts: Iterable[Cut],
    max_skipped: float,
) -> None:
    recordings = directory.recordings
    skipped = {utt: f"no crop: {why}" for rec, why in without_crop.items() for utt in recordings[rec]}
    counts: dict[str, int] = {}
    noted: dict[str, list[str]] = {}
    size = None
    with contextlib.ExitStack() as stack:
        arks = {
            name.removesuffix(".ark"): stack.enter_context(ArkWriter(out / name, (out / name).with_suffix(".scp")))
            for name in _names(options)
            if name.endswith(".ark")
        }
        for cut in cuts:
            size = size or cut.size_px
            if not cut.reason and cut.size_px != size:
                cut.reason = f"other size: {_by(cut.size_px)} pixels, the first of the set has {_by(size)}"
            if cut.reason:
                skipped[cut.utt] = cut.reason
                continue
            for stream, ark in arks.items():
                ark.write(cut.utt, getattr(cut, stream))
            counts[cut.utt] = cut.num_frames
            if cut.notes:
                noted[cut.utt] = cut.notes
        write_reasons(out / "skipped.tsv", skipped)
        _tell(directory, out, counts, skipped)
        _check_skipped(out, len(skipped), len(directory.text), max_skipped)
    _tell_notes(out, noted)
    for name in set(ARCHIVES) - set(_names(options)):
        (out / name).unlink(missing_ok=True)
    write_table(out / "text", {utt: directory.text[utt] for utt in counts})
    write_table(out / "utt2spk", {utt: directory.utt2spk[utt] for utt in counts})
    write_text(out / "feats.yaml", _describe(options, size, counts, len(skipped)))
    write_table(out / "utt2num_frames", counts)


def _by(size: tuple[int, int] | None) -> str:
    return "no" if size is None else f"{size[0]}x{size[1]}"


def _describe(options: DumpOptions, size: tuple[int, int] | None, counts: dict[str, int], num_skipped: int) -> str:
    values = {"modality": options.modality, "fps": FPS}
    if options.modality != "video":
        values |= {"sample_rate_hz": SAMPLE_RATE_HZ}
    if size:
        values |= {"video_format": options.video_format, "frame_height_px": size[0], "frame_width_px": size[1]}
    values |= {"num_utterances": len(counts), "num_frames": sum(counts.values()), "num_skipped": num_skipped}
    return yaml.safe_dump(values, sort_keys=False)


def _tell(directory: DataDir, out: Path, counts: dict[str, int], skipped: dict[str, str]) -> None:
    kinds = collections.Counter(reason.partition(":")[0] for reason in skipped.values())
    reasons = "".join(f", {number} {kind}" for kind, number in sorted(kinds.items()))
    LOGGER.info(
        "%s: %d utterances in, %d out (%.1f minutes), %d put aside%s",
        *(out, len(directory.text), len(counts), sum(counts.values()) / FPS / 60, len(skipped), reasons),
    )


def _tell_notes(out: Path, noted: dict[str, list[str]]) -> None:
    write_reasons(out / "noted.tsv", {utt: "; ".join(notes) for utt, notes in noted.items()}, "note")
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for utt, notes in sorted(noted.items()):
        for kind, _, detail in (note.partition(": ") for note in notes):
            by_kind.setdefault(kind, []).append((utt, detail))
    for kind, found in sorted(by_kind.items()):
        LOGGER.warning(
            "%s: %s with %s, first %s (%s); %s lists all",
            *(out, counted(len(found), "utterance"), kind, *found[0], out / "noted.tsv"),
        )


def _check_skipped(out: Path, skipped: int, total: int, max_skipped: float) -> None:
    if skipped == total or skipped > max_skipped * total:
        raise DataError(
            f"{out}: {skipped} of {total} utterances had to be put aside, --max-skipped is {max_skipped:g}; "
            f"{out / 'skipped.tsv'} says why. There is no dump."
        )
