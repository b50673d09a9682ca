"""Stage 2 as a whole: what is written, what is put aside, what a second run does, and what a failure leaves."""

import errno
import os
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import yaml

from msrs.data import dump
from msrs.data.ark import ArkReader
from msrs.data.datadir import Segment
from msrs.data.dump import DumpOptions, dump_set
from msrs.data.media import read_audio, read_video_array, write_video
from msrs.errors import DataError, StageError

OUT = Path("dump/feats/train")
CROP = Path("dump/crop/train")


def table(name):
    return dict(line.split(" ", 1) for line in (OUT / name).read_text("utf-8").splitlines())


def skipped():
    header, *rows = (OUT / "skipped.tsv").read_text("utf-8").splitlines()
    assert header == "id\treason"
    return dict(row.split("\t") for row in rows)


def content():
    return {path.name: path.read_bytes() for path in OUT.iterdir() if path.suffix != ".json"}


def test_a_whole_set(make_set, log):
    data = make_set()
    dump_set(data.path, CROP, OUT)
    video, audio = ArkReader(OUT / "video.scp"), ArkReader(OUT / "audio.scp")
    for utt in data.text:
        crop = CROP / "video" / data.utt2spk[utt] / f"{utt}.mp4"
        assert video[utt].tobytes() == crop.read_bytes()
        sound = read_audio(data.audio[utt])
        assert audio[utt].shape == (8 * 640,)
        assert np.abs(audio[utt][: len(sound)] / 32768 - sound[: 8 * 640]).max() < 1e-4
    assert table("utt2num_frames") == dict.fromkeys(data.text, "8")
    assert table("text") == data.text
    assert table("utt2spk") == data.utt2spk
    assert skipped() == {}
    assert yaml.safe_load((OUT / "feats.yaml").read_text()) == {
        "modality": "audiovisual", "fps": 25, "sample_rate_hz": 16000, "video_format": "encoded", "frame_height_px": 32,
        "frame_width_px": 48, "num_utterances": 3, "num_frames": 24, "num_skipped": 0,
    }  # fmt: skip
    assert "3 utterances in, 3 out" in log.text


def test_kaldiio_reads_the_dump(make_set):
    dump_set(make_set().path, CROP, OUT)
    assert kaldiio.load_scp(str(OUT / "audio.scp"))["s1-a"].dtype == np.int16


@pytest.mark.parametrize("modality", ["video", "audio"])
def test_one_stream_alone(make_set, modality):
    data = make_set()
    dump_set(data.path, CROP if modality == "video" else None, OUT, DumpOptions(modality))
    other = "audio" if modality == "video" else "video"
    assert (OUT / f"{modality}.scp").exists()
    assert not (OUT / f"{other}.scp").exists()
    assert ("sample_rate_hz" in yaml.safe_load((OUT / "feats.yaml").read_text())) == (modality == "audio")
    assert set(table("utt2num_frames")) == set(data.text)


def test_raw_pixels(make_set):
    dump_set(make_set().path, CROP, OUT, DumpOptions(video_format="raw"))
    raw = ArkReader(OUT / "video.scp")["s1-b"]
    assert raw.shape == (8, 32, 48)
    assert np.array_equal(raw, read_video_array(CROP / "video/s1/s1-b.mp4"))


def test_segments_cut_a_recording(make_set):
    segments = {
        "s1-a-0": Segment("s1-a", 0.0, 0.12),
        "s1-a-1": Segment("s1-a", 0.12, 0.32),
        "s2-a": Segment("s2-a", 0, 0.3),
    }
    make_set(utts=("s1-a", "s2-a"), segments=segments)
    dump_set("data/train", CROP, OUT)
    assert table("utt2num_frames") == {"s1-a-0": "3", "s1-a-1": "5", "s2-a": "8"}
    video = ArkReader(OUT / "video.scp")
    whole = read_video_array(CROP / "video/s1/s1-a.mp4")
    got = np.concatenate([read_video_array(video[utt].tobytes()) for utt in ("s1-a-0", "s1-a-1")])
    assert np.abs(got.astype(int) - whole).max() <= 4
    sound = ArkReader(OUT / "audio.scp")
    assert [len(sound[utt]) for utt in segments] == [3 * 640, 5 * 640, 8 * 640]


def test_lists_are_sorted(make_set):
    segments = {"s1-z": Segment("s1-a", 0, 0.1), "s1-a": Segment("s1-b", 0, 0.1)}
    make_set(utts=("s1-a", "s1-b"), segments=segments)
    dump_set("data/train", CROP, OUT)
    for name in ("video.scp", "audio.scp", "text", "utt2num_frames"):
        assert list(table(name)) == ["s1-a", "s1-z"]


def test_what_is_put_aside(make_set, log):
    utts = ("s1-a", "s1-dumb", "s1-noface", "s2-a")
    make_set(utts=utts, silent=("s1-dumb",), skipped={"s1-noface": "no face\tin any frame"})
    dump_set("data/train", CROP, OUT, max_skipped=0.5)
    assert skipped() == {
        "s1-dumb": "no sound: corpus/train/s1-dumb.mp4: has no sound; expected an audio stream.",
        "s1-noface": "no crop: no face in any frame",
    }
    assert set(table("utt2num_frames")) == {"s1-a", "s2-a"} == set(ArkReader(OUT / "video.scp"))
    assert "4 utterances in, 2 out" in log.text
    assert "2 put aside, 1 no crop, 1 no sound" in log.text
    assert yaml.safe_load((OUT / "feats.yaml").read_text())["num_skipped"] == 2


def test_a_crop_of_another_size_is_put_aside(make_set):
    make_set()
    write_video(CROP / "video/s2/s2-a.mp4", np.zeros((8, 64, 64), np.uint8))
    dump_set("data/train", CROP, OUT, max_skipped=0.5)
    assert skipped() == {"s2-a": "other size: 64x64 pixels, the first of the set has 32x48"}


def test_too_many_skipped_stop_the_stage(make_set):
    make_set(silent=("s1-a",))
    with pytest.raises(DataError, match=r"1 of 3 utterances .* --max-skipped is 0\.05; dump/feats/train/skipped\.tsv"):
        dump_set("data/train", CROP, OUT)
    assert set(skipped()) == {"s1-a"}
    assert [path.name for path in OUT.iterdir()] == ["skipped.tsv"]


def test_nothing_left_is_an_error_whatever_is_allowed(make_set):
    make_set(silent=("s1-a", "s1-b", "s2-a"))
    with pytest.raises(DataError, match="3 of 3 utterances"):
        dump_set("data/train", CROP, OUT, max_skipped=1.0)


def test_a_second_run_passes_over(make_set, log, monkeypatch):
    make_set()
    dump_set("data/train", CROP, OUT)
    before = content()
    log.clear()
    monkeypatch.setattr(dump, "cut_recording", None)
    dump_set("data/train", CROP, OUT)
    assert "dump/feats/train: current, its 3 utterances are passed over" in log.text
    assert content() == before


def test_a_stale_dump_is_told_and_made_anew(make_set, log):
    make_set()
    dump_set("data/train", CROP, OUT)
    dump_set("data/train", CROP, OUT, DumpOptions("video"))
    assert "made anew (changed since: " in log.text
    assert "option modality" in log.text
    assert not (OUT / "audio.scp").exists()
    assert not (OUT / "audio.ark").exists()
    log.clear()
    text = Path("data/train/text").read_text().replace("words of s1-a", "other words")
    Path("data/train/text").write_text(text)
    dump_set("data/train", CROP, OUT, DumpOptions("video"))
    assert "changed since: file data/train/text" in log.text
    assert table("text")["s1-a"] == "other words"


def test_a_lost_file_and_new_media_make_it_anew(make_set, log):
    make_set()
    dump_set("data/train", CROP, OUT)
    before = content()
    (OUT / "audio.ark").unlink()
    dump_set("data/train", CROP, OUT)
    assert content() == before
    make_set(frames=9)
    dump_set("data/train", CROP, OUT)
    assert "changed since: option sizes of media" in log.text
    assert table("utt2num_frames")["s1-a"] == "9"


def test_any_number_of_processes_gives_the_same_bytes(make_set):
    make_set(utts=[f"s{i}-{letter}" for i in range(1, 4) for letter in "abc"], silent=("s2-b",))
    results = []
    for num_jobs in (1, 2):
        dump_set("data/train", CROP, OUT, num_jobs=num_jobs, max_skipped=0.5)
        results.append(content())
        for path in list(OUT.iterdir()):
            path.unlink()
    assert results[0] == results[1]
    assert len(results[0]) == 10


def test_killed_half_way_and_run_again(make_set, monkeypatch):
    make_set()
    dump_set("data/train", CROP, OUT)
    expected = content()
    for path in list(OUT.iterdir()):
        path.unlink()
    real = dump.cut_recording

    def killed(job):
        if job.recording == "s2-a":
            raise KeyboardInterrupt
        return real(job)

    monkeypatch.setattr(dump, "cut_recording", killed)
    with pytest.raises(KeyboardInterrupt):
        dump_set("data/train", CROP, OUT)
    assert list(OUT.iterdir()) == []
    for name in (".video.99.tmp.ark", ".text.99.tmp"):  # as after a kill -9
        (OUT / name).touch()
    monkeypatch.setattr(dump, "cut_recording", real)
    dump_set("data/train", CROP, OUT)
    assert content() == expected


def test_a_stale_dump_that_was_not_replaced_counts_for_nothing(make_set, monkeypatch):
    make_set()
    dump_set("data/train", CROP, OUT)
    monkeypatch.setattr(dump, "cut_recording", lambda job: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dump_set("data/train", CROP, OUT, DumpOptions("video"))
    left = {path.name for path in OUT.iterdir()}
    assert "utt2num_frames" not in left
    assert ".done.dump.json" not in left


def test_killed_between_two_files_leaves_no_dump_that_looks_whole(make_set, monkeypatch):
    make_set()
    dump_set("data/train", CROP, OUT)
    expected = content()
    real = os.replace
    for victim in ("video.ark", "video.scp", "audio.ark", "text", "feats.yaml", "utt2num_frames"):

        def killed(source, target, victim=victim):
            if Path(target).name == victim:
                raise KeyboardInterrupt
            real(source, target)

        (OUT / ".done.dump.json").unlink(missing_ok=True)
        monkeypatch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            dump_set("data/train", CROP, OUT)
        monkeypatch.setattr(os, "replace", real)
        assert not (OUT / "utt2num_frames").exists()
        dump_set("data/train", CROP, OUT)
        assert content() == expected


def test_a_full_disk(make_set, monkeypatch):
    make_set()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kaldiio, "save_ark", full)
    with pytest.raises(DataError, match=r"\.ark: the disk is full"):
        dump_set("data/train", CROP, OUT)
    assert list(OUT.iterdir()) == []


def test_an_earlier_stage_is_named(make_set, tmp_path):
    make_set()
    with pytest.raises(StageError, match=r"absent/crop\.scp is missing; run stage 1 first"):
        dump_set("data/train", tmp_path / "absent", OUT)
    with pytest.raises(StageError, match="needs --crop, the folder that stage 1"):
        dump_set("data/train", None, OUT)
    (CROP / "video/s1/s1-b.mp4").unlink()
    with pytest.raises(StageError, match="dump/crop/train lacks 1 of 3 recordings, first s1-b; run stage 1 again"):
        dump_set("data/train", CROP, OUT)
    Path("data/train/wav.scp").unlink()
    with pytest.raises(DataError, match="has no wav.scp, so no sound; add it, or use --modality video"):
        dump_set("data/train", CROP, OUT)
    with pytest.raises(DataError, match="no such data directory"):
        dump_set("data/absent", CROP, OUT)


def test_sound_that_ends_early_is_noted(make_set, log, make_clip):
    make_set(frames=40)
    short = make_clip("short.wav", sound=[(0, np.full(1600, 0.3))])
    rows = Path("data/train/wav.scp").read_text().replace("corpus/train/s1-a.mp4", str(short))
    Path("data/train/wav.scp").write_text(rows)
    dump_set("data/train", CROP, OUT)
    assert "1 utterance with sound that ends early, first s1-a (1.50 s before the pictures)" in log.text
    assert (OUT / "noted.tsv").read_text() == "id\tnote\ns1-a\tsound that ends early: 1.50 s before the pictures\n"
    assert len(ArkReader(OUT / "audio.scp")["s1-a"]) == 40 * 640


def test_narrowband_sound_is_told_once_a_set(make_set, log, make_clip):
    make_set()
    narrow = make_clip("narrow.wav", sound=[(0, np.full(2560, 0.3))], rate=8000)
    rows = [line.split()[0] for line in Path("data/train/wav.scp").read_text().splitlines()]
    Path("data/train/wav.scp").write_text(
        "".join(f"{rec} {narrow}\n" for rec in rows[:2]) + f"{rows[2]} corpus/train/{rows[2]}.mp4\n"
    )
    dump_set("data/train", CROP, OUT)
    assert log.text.count("narrowband") == 1
    assert "2 utterances with narrowband sound, first s1-a (recorded at 8000 Hz" in log.text
    assert [line.split("\t")[0] for line in (OUT / "noted.tsv").read_text().splitlines()] == ["id", "s1-a", "s1-b"]


def test_a_sound_set_has_an_empty_list_of_notes(make_set, log):
    make_set()
    dump_set("data/train", CROP, OUT)
    assert (OUT / "noted.tsv").read_text() == "id\tnote\n"
    assert "lists all" not in log.text
