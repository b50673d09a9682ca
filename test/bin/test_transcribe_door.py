import numpy as np
import pytest

from msrs.api import Recognizer
from msrs.bin.transcribe import main
from msrs.data.media import write_video
from msrs.search.options import SearchConfig


@pytest.fixture
def clip(grid):
    """A clip of the corpus with a face and sound."""
    return next(path for path in sorted((grid / "video").rglob("*")) if path.suffix in (".mpg", ".mp4"))


def write_tone(path, seconds=1):
    """A film of noise at 25 frames a second with a tone in it."""
    frames = np.random.default_rng(0).integers(0, 255, (25 * seconds, 64, 64), dtype=np.uint8)
    tone = np.sin(np.arange(16000 * seconds) * 0.2).astype(np.float32) / 2
    write_video(path, frames, audio=tone)


@pytest.mark.parametrize("modality", ["video", "audiovisual"])
def test_a_raw_clip_is_read(make_experiment, clip, face_model, capsys, modality):
    exp = make_experiment(modality)
    assert main([str(clip), "--model", str(exp), "--decode-args", "beam_size=3"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    transcripts = Recognizer.from_experiment(exp, SearchConfig(beam_size=3, nbest=2), device="cpu")(clip)
    assert transcripts[0].text == out.strip()
    assert len(transcripts) == 2
    assert "".join(transcripts[0].tokens).replace("▁", " ").replace("<unk>", "⁇").split() == transcripts[0].text.split()
    assert len(transcripts[0].tokens) == len(transcripts[0].token_ids)


def test_sound_alone_needs_no_face(make_experiment, tmp_path, capsys):
    exp = make_experiment("audio")
    write_tone(tmp_path / "tone.mp4")
    assert main([str(tmp_path / "tone.mp4"), "--model", str(exp), "--nbest", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(float(line.split("\t")[0]) < 0 for line in lines)


def test_a_clip_that_cannot_be_used_does_not_cost_the_others(make_experiment, tmp_path, capsys, log):
    exp = make_experiment("audio")
    write_tone(tmp_path / "b.mp4")
    (tmp_path / "a.mp4").write_bytes(b"not a film")
    assert main([str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4"), "--model", str(exp)]) == 1
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'b.mp4'}\t")
    assert f"{tmp_path / 'a.mp4'}" in log.text


def test_a_film_without_a_face_is_told(make_experiment, tmp_path, face_model, log):
    exp = make_experiment("video")
    write_tone(tmp_path / "noise.mp4")
    assert main([str(tmp_path / "noise.mp4"), "--model", str(exp)]) == 1
    assert "noise.mp4: no face found in any of its 25 frames" in log.text


def test_a_sound_file_belongs_to_one_clip(make_experiment, log):
    assert main(["a.mp4", "b.mp4", "--audio", "c.wav", "--model", "exp/x"]) == 1
    assert "--audio belongs to one clip" in log.text
