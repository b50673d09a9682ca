"""A set of recordings: what is missing is cropped in parallel, what is current passed over, what is bad put aside."""

import dataclasses
import functools
import hashlib
import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msrs.config import to_dict, to_yaml
from msrs.data.datadir import DataDir, read_datadir
from msrs.data.parallel import WorkerDied, run_jobs
from msrs.errors import DataError, MediaError, MsrsError
from msrs.faces.contact_sheet import write_contact_sheet
from msrs.faces.crop import CropJob, CropOptions, crop_recording
from msrs.faces.detectors import DETECTORS
from msrs.faces.journal import Outcome, open_journal, read_journal
from msrs.faces.quality import Quality
from msrs.files import remove_half_written, write_text
from msrs.log import LOGGER, progress
from msrs.stage_mark import StageMark

VERSION = 1  # raised when the same options come to give other landmarks or other pixels
COLUMNS = [field.name for field in dataclasses.fields(Quality)]


def crop_set(
    data: str | Path, out: str | Path, options: CropOptions, num_workers: int = 1, max_skipped: float = 0.05
) -> None:
    """Crop all recordings of a data directory into `out`; started again it does only what is missing or stale.

    Raises: DataError on a wrong directory, or where more than the share `max_skipped` had to be put aside (what was
    done stays); DependencyError where the detector lacks something.
    """
    data, out = Path(data), Path(out)
    directory = read_datadir(data)
    detector = DETECTORS.build(options.detector)
    detector.prepare()
    lists = [data / name for name in ("video.scp", "utt2spk") if (data / name).is_file()]
    mark = StageMark(out, "crop", lists, to_dict(options))
    why = mark.reason_to_run()
    plans = _plan(directory, out, options, detector)
    if not plans:
        raise DataError(f"{data}: no recordings with pictures; expected video.scp with lines `recording path`.")
    journal = out / ".crop.jsonl"
    known = {name: one for name, one in read_journal(journal).items() if _is_current(one, plans.get(name))}
    LOGGER.info("%s: %d of %d recordings are current and passed over", out, len(known), len(plans))
    if why is None and len(known) == len(plans) and (out / "crop.scp").is_file():
        return
    mark.clear()
    remove_half_written(out)
    (out / "crop.scp").unlink(missing_ok=True)
    if len(known) < len(plans) and why not in (None, "not done before"):
        LOGGER.info("%s: the others are cropped anew (%s)", out, why)
    jobs = [plan.job for name, plan in plans.items() if name not in known]
    append = open_journal(journal)
    for one in _crop_all(jobs, plans, options, detector, num_workers):
        known[one.recording] = one
        append(one)
    _write_results(out, plans, known, options, redraw=bool(jobs))
    _check_skipped(out, known, max_skipped)
    done = [name for name in sorted(plans) if known[name].quality]
    write_text(out / "crop.scp", "".join(f"{name} {plans[name].job.video}\n" for name in done))
    mark.write()


def crop_job(job: CropJob, options: CropOptions, detector: Any) -> Quality | str:
    """A worker's part: the measures of the crop, or the reason why there is none."""
    try:
        return crop_recording(job, options, detector)
    except MediaError as error:
        return str(error)
    except MsrsError:
        raise
    except Exception as error:  # noqa: BLE001 - one odd recording must not cost the others
        LOGGER.error("%s: %s", job.recording, traceback.format_exc())
        return f"unexpected {type(error).__name__}: {error}"


def _crop_all(
    jobs: list[CropJob], plans: dict[str, "_Plan"], options: CropOptions, detector: Any, num_workers: int
) -> Iterator[Outcome]:
    work = functools.partial(crop_job, options=options, detector=detector)
    for job, result in progress(run_jobs(work, jobs, num_workers), len(jobs), "crop"):
        digest = "" if isinstance(result, WorkerDied) else plans[job.recording].digest  # a crash is tried again
        if isinstance(result, Quality):
            yield Outcome(job.recording, digest, quality=result)
        else:
            reason = " ".join(str(result).split())
            LOGGER.warning("%s is put aside: %s", job.recording, reason)
            yield Outcome(job.recording, digest, reason=reason)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """A recording's job, and the hash of all that its crop depends on; empty where it cannot be told: never current."""

    job: CropJob
    digest: str


def _plan(directory: DataDir, out: Path, options: CropOptions, detector: Any) -> dict[str, _Plan]:
    shape = json.dumps(to_dict(options) | {"detector": None}, sort_keys=True)
    plans = {}
    for recording, utterances in directory.recordings.items():
        if recording not in directory.video:
            continue
        media, speaker = directory.video[recording], directory.utt2spk[utterances[0]]
        for name in (recording, speaker):
            if "/" in name or "\\" in name or name.startswith("."):
                raise DataError(f"{directory.path}: {name!r} cannot name a file; choose an id without / or \\.")
        try:
            state = Path(media).stat()
            made_by = _hash(VERSION, media, state.st_size, state.st_mtime_ns, detector.fingerprint(recording, speaker))
        except (OSError, MediaError):
            made_by = ""  # the work itself tells what is wrong
        video = out / "video" / speaker / f"{recording}.mp4"
        landmarks = out / "landmarks" / speaker / f"{recording}.npz"
        job = CropJob(recording, speaker, str(media), str(video), str(landmarks), made_by)
        plans[recording] = _Plan(job, made_by and _hash(made_by, shape))
    return plans


def _hash(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def _is_current(one: Outcome, plan: _Plan | None) -> bool:
    if plan is None or not plan.digest or one.digest != plan.digest:
        return False
    return one.quality is None or Path(plan.job.video).is_file()


def _write_results(
    out: Path, plans: dict[str, _Plan], known: dict[str, Outcome], options: CropOptions, redraw: bool
) -> None:
    outcomes = [known[name] for name in sorted(plans)]
    qualities = [one.quality for one in outcomes if one.quality]
    rows = [[str(getattr(one, name)) for name in COLUMNS] + ["; ".join(one.alarms())] for one in qualities]
    write_text(out / "quality.tsv", _table([*COLUMNS, "alarms"], rows))
    skipped = [[one.recording, one.reason] for one in outcomes if one.reason]
    write_text(out / "skipped.tsv", _table(["recording", "reason"], skipped))
    write_text(out / "crop.yaml", to_yaml(options))
    sheet = out / "contact_sheet.png"
    if qualities and (redraw or not sheet.is_file()):
        write_contact_sheet(sheet, {name: plan.job.video for name, plan in plans.items()}, qualities)
    frames = sum(one.frames for one in qualities)
    found = sum(one.found_share * one.frames for one in qualities) / max(frames, 1)
    LOGGER.info(
        "%s: %d recordings cropped (%d frames, face seen in %.1f %%), %d with alarms, %d put aside; look at %s",
        *(out, len(qualities), frames, 100 * found, sum(bool(one.alarms()) for one in qualities)),
        *(len(skipped), sheet),
    )


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in [header, *rows])


def _check_skipped(out: Path, known: dict[str, Outcome], max_skipped: float) -> None:
    skipped = sum(1 for one in known.values() if one.reason)
    if skipped == len(known):
        raise DataError(f"Not one of {skipped} recordings could be cropped; {out / 'skipped.tsv'} says why.")
    if skipped > max_skipped * len(known):
        raise DataError(
            f"{skipped} of {len(known)} recordings had to be put aside, more than --max-skipped {max_skipped:g} allows;"
            f" {out / 'skipped.tsv'} says why. What was cropped is kept: mend or remove those, or allow more."
        )
