"""Clips put one behind the other: nothing of them is lost, speakers stay apart, a current dump is passed over."""

import numpy as np
import pytest
import yaml

from msrs.data.ark import ArkReader, ArkWriter
from msrs.data.joined import join_clips
from msrs.data.media import encode_video, read_video_array
from msrs.errors import DataError
from msrs.files import read_lines, write_text

CLIPS = {"s1-a": 5, "s1-b": 7, "s1-c": 6, "s2-a": 8, "s2-b": 9}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    with ArkWriter(folder / "video.ark", folder / "video.scp") as ark:
        for number, (name, count) in enumerate(CLIPS.items()):
            frames = np.full((count, 48, 48), 20 * number + 30, dtype=np.uint8)
            ark.write(name, np.frombuffer(encode_video(frames), dtype=np.uint8) if number % 2 else frames)
    with ArkWriter(folder / "audio.ark", folder / "audio.scp") as ark:
        for number, (name, count) in enumerate(CLIPS.items()):
            ark.write(name, np.full(640 * count, number, dtype=np.int16))
    write_text(folder / "text", "".join(f"{name} say {name[-1]}\n" for name in CLIPS))
    write_text(folder / "utt2spk", "".join(f"{name} {name[:2]}\n" for name in CLIPS))
    write_text(folder / "utt2num_frames", "".join(f"{name} {count}\n" for name, count in CLIPS.items()))
    write_text(folder / "feats.yaml", yaml.safe_dump({"modality": "audiovisual", "video_format": "encoded"}))
    return folder


def table(path):
    return dict(line.split(maxsplit=1) for line in read_lines(path))


def test_joined_clips_are_their_parts_in_order(source, tmp_path):
    target = tmp_path / "joined"
    join_clips(source, target, 2)
    joined, single, audio = (
        ArkReader(path) for path in (target / "video.scp", source / "video.scp", target / "audio.scp")
    )
    assert len(joined) == 2
    frames = table(target / "utt2num_frames")
    for name, words in table(target / "text").items():
        parts = name.split("+")
        assert len({part[:2] for part in parts}) == 1
        assert words == " ".join(f"say {part[-1]}" for part in parts)
        clips = [single[part] if single[part].ndim == 3 else read_video_array(single[part].tobytes()) for part in parts]
        assert np.array_equal(joined[name], np.concatenate(clips))
        assert int(frames[name]) == len(joined[name]) == sum(CLIPS[part] for part in parts)
        assert len(audio[name]) == 640 * len(joined[name])
    assert {name[:2] for name in joined} == set(table(target / "utt2spk").values()) == {"s1", "s2"}
    assert yaml.safe_load((target / "feats.yaml").read_text())["video_format"] == "raw"


def test_a_current_dump_is_passed_over_and_another_made_anew(source, tmp_path):
    target = tmp_path / "joined"
    join_clips(source, target, 2)
    before = (target / "video.ark").stat().st_mtime_ns
    join_clips(source, target, 2)
    assert (target / "video.ark").stat().st_mtime_ns == before
    join_clips(source, target, 3)
    assert [len(name.split("+")) for name in table(target / "text")] == [3]
    with pytest.raises(DataError, match="no speaker has 4 clips to join"):
        join_clips(source, target, 4)
