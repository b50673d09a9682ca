import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from msrs.data.datadir import check_leaks, read_datadir, validate_datadir
from msrs.data.media import probe, read_audio, read_video_array
from msrs.errors import ConfigError
from msrs.synth.corpus import make_corpus
from msrs.synth.plan import CorpusOptions

OPTIONS = CorpusOptions(sizes={"train": 3, "dev": 1, "test": 1, "heldout": 2}, min_digits=1, max_digits=2)
COMMAND = f"""
from pathlib import Path
from msrs.synth.corpus import make_corpus
from msrs.synth.plan import CorpusOptions
if __name__ == "__main__":
    make_corpus(Path("data"), {OPTIONS!r}, 2)
"""


def clips(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*.mp4"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A corpus made in one go by one process."""
    pytest.importorskip("espeakng_loader", reason="no espeakng-loader; pip install espeakng-loader brings it")
    folder = tmp_path_factory.mktemp("whole")
    make_corpus(folder / "data", OPTIONS, num_jobs=1)
    return folder / "data"


def test_sets_are_sound_and_apart(whole):
    paths = [whole / name for name in OPTIONS.sizes]
    assert [len(read_datadir(path).text) for path in paths] == list(OPTIONS.sizes.values())
    assert [fault for path in paths for fault in validate_datadir(path)] == []
    assert check_leaks(paths) == []
    speakers = [set(read_datadir(path).utt2spk.values()) for path in paths]
    assert speakers[3].isdisjoint(speakers[0] | speakers[1] | speakers[2])


def test_clips_are_ordinary_files(whole):
    for clip in clips(whole):
        info = probe(whole / clip)
        assert (info.fps, info.width, info.height, info.has_audio) == (25, 224, 224, True)
        assert abs(len(read_audio(whole / clip)) / 16000 - info.num_frames / 25) < 0.1


def test_a_killed_run_leaves_whole_clips_and_goes_on_to_the_same_corpus(whole, tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    (tmp_path / "make.py").write_text(COMMAND, encoding="utf-8")
    run = subprocess.Popen([sys.executable, "make.py"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    while not (early := [clip for clip in clips(tmp_path) if not clip.name.startswith(".")]) and run.poll() is None:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert early, "the run ended before it made a clip"
    times = {clip: (tmp_path / clip).stat().st_mtime_ns for clip in early}
    leftover = (tmp_path / early[0]).with_name(".s01-00001.1.tmp.mp4")
    leftover.write_bytes(b"half")

    make_corpus(tmp_path / "data", OPTIONS, num_jobs=2)

    assert {clip: (tmp_path / clip).stat().st_mtime_ns for clip in early} == times
    assert clips(tmp_path / "data") == clips(whole)
    for clip in clips(whole):
        np.testing.assert_array_equal(
            read_video_array(tmp_path / "data" / clip, "rgb"), read_video_array(whole / clip, "rgb")
        )
        np.testing.assert_array_equal(read_audio(tmp_path / "data" / clip), read_audio(whole / clip))
    for name in OPTIONS.sizes:
        assert (tmp_path / "data" / name / "text").read_bytes() == (whole / name / "text").read_bytes()
    assert multiprocessing.active_children() == []


def test_a_finished_corpus_is_left_alone(whole):
    before = {clip: (whole / clip).stat().st_mtime_ns for clip in clips(whole)}
    make_corpus(whole, OPTIONS)
    assert {clip: (whole / clip).stat().st_mtime_ns for clip in clips(whole)} == before


def test_what_is_missing_is_made_and_other_options_make_all_anew(tmp_path, monkeypatch):
    made = []

    def draw(plan, folder, seed, num_jobs):
        for path in [clip.media(folder) for clip in plan if not clip.media(folder).exists()]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"a clip")
            made.append(path)
            yield path

    monkeypatch.setattr("msrs.synth.corpus._make_missing", draw)
    monkeypatch.chdir(tmp_path)
    out = Path("data")
    make_corpus(out, OPTIONS)
    first = Path("data/synth/train/s01/s01-00001.mp4")
    assert len(made) == sum(OPTIONS.sizes.values())
    assert (
        read_datadir(out / "train").video["s01-00001"] == read_datadir(out / "train").audio["s01-00001"] == str(first)
    )

    made.clear()
    first.unlink()
    make_corpus(out, OPTIONS)
    assert made == [first]

    made.clear()
    strangers = out / "synth/train/s01/mine.mp4"
    strangers.write_bytes(b"not of the plan")
    make_corpus(out, dataclasses.replace(OPTIONS, seed=2))
    assert len(made) == sum(OPTIONS.sizes.values())
    assert strangers.exists()
    assert json.loads((out / "synth/plan.json").read_text(encoding="utf-8"))["options"]["seed"] == 2


def test_impossible_options_leave_nothing_behind(tmp_path):
    with pytest.raises(ConfigError):
        make_corpus(tmp_path / "data", CorpusOptions(min_digits=1, max_digits=1))
    assert list(tmp_path.iterdir()) == []
