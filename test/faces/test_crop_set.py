import shutil
from pathlib import Path

import numpy as np
import pytest

from msrs.data.parallel import WorkerDied
from msrs.errors import DataError, DependencyError
from msrs.faces import crop_set as module
from msrs.faces.crop import CropOptions
from msrs.faces.crop_set import crop_set

FRAMES = 20


@pytest.fixture
def corpus(tmp_path, film, write_points, face):
    """Four recordings of two speakers, a data directory and landmarks for all. Returns: (data, options)."""
    media = tmp_path / "media with space"
    media.mkdir()
    names = ["s1-a", "s1-b", "s2-a", "s2-b"]
    for i, name in enumerate(names):
        shutil.copyfile(film(level=10 * i), media / f"{name}.mp4")
        folder = write_points(name, np.repeat(face[None] + i, FRAMES, 0))
    write_lists(tmp_path / "data", {name: media / f"{name}.mp4" for name in names})
    return tmp_path / "data", CropOptions(detector={"type": "precomputed", "landmarks": folder})


def write_lists(folder: Path, video: dict) -> None:
    folder.mkdir(exist_ok=True)
    for name, line in {
        "video.scp": lambda key: f"{key} {video[key]}",
        "text": lambda key: f"{key} words",
        "utt2spk": lambda key: f"{key} {key.split('-')[0]}",
    }.items():
        (folder / name).write_text("".join(line(key) + "\n" for key in sorted(video)))


def table(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def done(monkeypatch) -> list[str]:
    """Jobs run in this process, which saves the start of others; the names of their recordings gather in the list."""
    names = []

    def here(function, jobs, num_workers):
        for job in jobs:
            result = function(job)
            names.append(job.recording)
            yield job, result

    monkeypatch.setattr(module, "run_jobs", here)
    return names


def test_outputs_are_as_described(corpus, tmp_path):
    data, options = corpus
    out = tmp_path / "out"
    crop_set(data, out, options)
    lines = [line.split(" ", 1) for line in (out / "crop.scp").read_text().splitlines()]
    assert [name for name, _ in lines] == ["s1-a", "s1-b", "s2-a", "s2-b"]
    assert lines[2][1] == str(out / "video/s2/s2-a.mp4")
    assert all(Path(path).is_file() for _, path in lines)
    assert (out / "landmarks/s1/s1-b.npz").is_file()
    header, *rows = table(out / "quality.tsv")
    assert header[:2] == ["recording", "frames"]
    assert [row[:2] for row in rows] == [[name, str(FRAMES)] for name, _ in lines]
    assert table(out / "skipped.tsv") == [["recording", "reason"]]
    assert "landmarks:" in (out / "crop.yaml").read_text()
    assert (out / "contact_sheet.png").stat().st_size > 1000


def test_number_of_processes_changes_nothing(corpus, tmp_path, monkeypatch):
    data, options = corpus
    monkeypatch.chdir(tmp_path)
    found = []
    for num_workers in (1, 2):
        crop_set(data, "out", options, num_workers)
        found.append(contents(tmp_path / "out"))
        shutil.rmtree(tmp_path / "out")
    assert found[0] == found[1]
    assert len(found[0]) == 4 + 4 + 5


def test_second_run_does_nothing_and_a_broken_one_only_the_rest(corpus, tmp_path, done):
    data, options = corpus
    out = tmp_path / "out"
    crop_set(data, out, options)
    whole = contents(out)
    done.clear()
    crop_set(data, out, options)
    assert done == []
    (out / "video/s1/s1-b.mp4").unlink()
    journal = out / ".crop.jsonl"
    lines = [line for line in journal.read_text().splitlines() if '"s2-a"' not in line]
    journal.write_text("\n".join(lines) + '\n{"recording": "s2-a", "dig')  # the machine went down here
    (out / "video/s1/.s1-b.99.tmp.mp4").write_bytes(b"half")
    crop_set(data, out, options)
    assert done == ["s1-b", "s2-a"]
    assert contents(out) == whole
    assert not (out / "video/s1/.s1-b.99.tmp.mp4").exists()


def test_stopped_run_leaves_no_list_and_goes_on(corpus, tmp_path, done, monkeypatch):
    data, options = corpus
    out = tmp_path / "out"
    run_jobs = module.run_jobs

    def stop_after_two(*arguments):
        for i, pair in enumerate(run_jobs(*arguments)):
            if i == 2:
                raise KeyboardInterrupt
            yield pair

    monkeypatch.setattr(module, "run_jobs", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        crop_set(data, out, options)
    assert not (out / "crop.scp").exists()
    monkeypatch.setattr(module, "run_jobs", run_jobs)
    crop_set(data, out, options)
    assert done == ["s1-a", "s1-b", "s2-a", "s2-a", "s2-b"]  # the third was done and not yet written down
    assert len(table(out / "quality.tsv")) == 5


def test_changed_options_and_changed_media_are_done_anew(corpus, tmp_path, done, film):
    data, options = corpus
    out = tmp_path / "out"
    crop_set(data, out, options)
    done.clear()
    crop_set(data, out, CropOptions(detector=options.detector, geometry={"size": 64}))
    assert done == ["s1-a", "s1-b", "s2-a", "s2-b"]
    done.clear()
    shutil.copyfile(film(level=77), tmp_path / "media with space/s1-a.mp4")
    crop_set(data, out, CropOptions(detector=options.detector, geometry={"size": 64}))
    assert done == ["s1-a"]


def test_bad_recordings_are_put_aside_with_a_reason(corpus, tmp_path, done):
    data, options = corpus
    out = tmp_path / "out"
    (tmp_path / "media with space/s1-a.mp4").write_bytes(b"")
    (tmp_path / "media with space/s2-b.mp4").unlink()
    with pytest.raises(DataError, match=r"2 of 4 recordings .*--max-skipped 0.25 .*skipped.tsv"):
        crop_set(data, out, options, max_skipped=0.25)
    assert not (out / "crop.scp").exists()
    _, *rows = table(out / "skipped.tsv")
    assert [name for name, _ in rows] == ["s1-a", "s2-b"]
    assert "empty" in rows[0][1]
    assert (out / "video/s1/s1-b.mp4").is_file()
    crop_set(data, out, options, max_skipped=0.5)
    assert [line.split()[0] for line in (out / "crop.scp").read_text().splitlines()] == ["s1-b", "s2-a"]


def test_mended_recording_comes_back(corpus, tmp_path, done, film):
    data, options = corpus
    out = tmp_path / "out"
    bad = tmp_path / "media with space/s1-a.mp4"
    bad.write_bytes(b"")
    crop_set(data, out, options, max_skipped=0.5)
    shutil.copyfile(film(), bad)
    crop_set(data, out, options)
    assert len((out / "crop.scp").read_text().splitlines()) == 4
    assert table(out / "skipped.tsv") == [["recording", "reason"]]


def test_crash_is_a_reason_and_is_tried_again(corpus, tmp_path, done, monkeypatch):
    data, options = corpus
    out = tmp_path / "out"
    run_jobs = module.run_jobs

    def with_a_crash(function, jobs, num_workers):
        yield jobs[0], WorkerDied(-11)
        yield from run_jobs(function, jobs[1:], num_workers)

    monkeypatch.setattr(module, "run_jobs", with_a_crash)
    crop_set(data, out, options, max_skipped=0.5)
    assert table(out / "skipped.tsv")[1] == ["s1-a", "its process died by SIGSEGV"]
    monkeypatch.setattr(module, "run_jobs", run_jobs)
    done.clear()
    crop_set(data, out, options)
    assert done == ["s1-a"]


def test_none_cropped_is_an_error_whatever_is_allowed(corpus, tmp_path, done):
    data, options = corpus
    for path in (tmp_path / "media with space").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="Not one of 4"):
        crop_set(data, tmp_path / "out", options, max_skipped=1.0)


def test_missing_folder_of_landmarks_stops_before_any_work(corpus, tmp_path):
    data, _ = corpus
    options = CropOptions(detector={"type": "precomputed", "landmarks": str(tmp_path / "nowhere")})
    with pytest.raises(DataError, match="nowhere: no such folder"):
        crop_set(data, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_missing_package_is_told_with_its_command(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="pip install mediapipe"):
        crop_set(corpus[0], tmp_path / "out", CropOptions())


def test_recording_whose_name_leads_elsewhere_is_refused(corpus, tmp_path, film):
    data, options = corpus
    write_lists(tmp_path / "evil", {"s1-../../x": film()})
    with pytest.raises(DataError):
        crop_set(tmp_path / "evil", tmp_path / "out", options)


def test_odd_error_costs_its_recording_alone(corpus, tmp_path, monkeypatch):
    data, options = corpus
    monkeypatch.setattr(module, "crop_recording", lambda *_: 1 / 0)
    job = next(iter(module._plan(module.read_datadir(data), tmp_path, options, FakeDetector()).values())).job
    assert module.crop_job(job, options, None).startswith("unexpected ZeroDivisionError")


class FakeDetector:
    def fingerprint(self, recording, speaker):
        return ""
