"""Clips put one behind the other: nothing of them is lost, speakers stay apart, a current dump is passed over."""

import numpy as np
import pytest
import yaml

from msrs.data.ark import ArkReader, ArkWriter
from msrs.data.joined import join_clips
from msrs.data.kaldi_table import write_table
from msrs.data.media import encode_video, read_video_array
from msrs.errors import DataError, MsrsError
from msrs.files import read_lines, write_text
from msrs.stage_mark import content_digest

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


def test_an_utterance_without_text_adds_no_word(source, tmp_path):
    write_table(source / "text", {name: "" if name in ("s1-a", "s1-b", "s1-c", "s2-a") else "say b" for name in CLIPS})
    join_clips(source, tmp_path / "joined", 2)
    assert sorted(line.partition(" ")[2] for line in read_lines(tmp_path / "joined/text")) == ["", "say b"]


def test_sound_alone_is_joined_and_described_as_it_is(source, tmp_path):
    for name in ("video.ark", "video.scp"):
        (source / name).unlink()
    write_text(source / "feats.yaml", "modality: audio\nnum_utterances: 5\n")
    join_clips(source, tmp_path / "joined", 2)
    assert not (tmp_path / "joined/video.scp").exists()
    described = yaml.safe_load((tmp_path / "joined/feats.yaml").read_text())
    assert described["num_utterances"] == len(ArkReader(tmp_path / "joined/audio.scp")) == 2
    assert "video_format" not in described


def test_clips_of_a_dump_made_anew_are_joined_anew_and_training_notices(source, tmp_path):
    target, mark = tmp_path / "joined", source / ".done.dump.json"
    digests = []
    for text in ('{"option x": "1"}', '{"option x": "2"}'):
        mark.write_text(text)
        join_clips(source, target, 2)
        digests.append(content_digest(target, "dump"))
        before = (target / "video.ark").stat().st_mtime_ns
        join_clips(source, target, 2)
        assert (target / "video.ark").stat().st_mtime_ns == before
    assert None not in digests and digests[0] != digests[1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("utt2num_frames", None, "no dumped utterances here; run stage 2"),
        ("utt2num_frames", "s1-a x\n", "utt2num_frames:1: expected `utterance frames`, given 's1-a x'"),
        ("text", None, "text: cannot be read"),
        ("text", "s1-a say a\n", "text lacks s1-b of utt2num_frames"),
        ("utt2spk", None, "utt2spk: cannot be read"),
        ("utt2spk", "s1-a s1\n", "utt2spk lacks s1-b of utt2num_frames"),
        ("audio.scp", "", "audio.scp lacks s1-a of utt2num_frames"),
        ("feats.yaml", None, "feats.yaml: cannot be read"),
        ("feats.yaml", "a: [", "feats.yaml:1: not valid YAML"),
    ],
)
def test_a_damaged_dump_is_told(source, tmp_path, name, content, message):
    (source / name).unlink()
    if content is not None:
        write_text(source / name, content)
    with pytest.raises(MsrsError, match=message):
        join_clips(source, tmp_path / "joined", 2)
