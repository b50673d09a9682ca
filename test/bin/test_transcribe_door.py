import wave

import numpy as np
import pytest

from msrs.api import Piece, Recognizer, Transcript, join_pieces
from msrs.bin.transcribe import main
from msrs.data.media import read_video_array, write_video
from msrs.search.hypothesis import Hypothesis
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


def test_an_audiovisual_model_listens_alone_where_it_is_told_to(make_experiment, tmp_path, capsys, log):
    exp = make_experiment("audiovisual")
    write_tone(tmp_path / "tone.mp4")
    words = [str(tmp_path / "tone.mp4"), "--model", str(exp), "--nbest", "2"]
    assert main([*words, "--streams", "audio"]) == 0  # there is no face to be found
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert "trained with augment.drop_video 0, so never without video" in log.text


def test_an_audiovisual_model_reads_a_mute_film(make_experiment, clip, tmp_path, face_model, capsys, log):
    exp = make_experiment("audiovisual")
    mute = tmp_path / "mute.mp4"
    write_video(mute, read_video_array(clip, "rgb"))
    assert main([str(mute), "--model", str(exp), "--decode-args", "beam_size=3"]) == 0
    assert "mute.mp4: has no sound, so its pictures alone are read" in log.text
    expected = capsys.readouterr().out
    assert main([str(mute), "--model", str(exp), "--decode-args", "beam_size=3", "--streams", "video"]) == 0
    assert capsys.readouterr().out == expected
    assert expected.count("\n") == 1


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


def test_a_sound_file_for_a_model_of_both_is_told_the_way(make_experiment, tmp_path, log):
    exp = make_experiment("audiovisual")
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.arange(16000, dtype=np.int16).tobytes())
    words = [str(tmp_path / "tone.wav"), "--model", str(exp)]
    assert main(words) == 1
    assert "tone.wav: has no pictures; read its sound alone with --streams audio" in log.text
    assert main([*words, "--streams", "audio"]) == 0


@pytest.mark.parametrize(
    ("name", "message"), [("", "the model is to read audio; give it a file"), ("x", "x: no such file (a folder)")]
)
def test_what_is_no_file_is_told(make_experiment, tmp_path, monkeypatch, log, name, message):
    exp = make_experiment("audio")
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main([name, "--model", str(exp)]) == 1
    assert message in log.text


def test_a_sound_file_belongs_to_one_clip(make_experiment, log):
    assert main(["a.mp4", "b.mp4", "--audio", "c.wav", "--model", "exp/x"]) == 1
    assert "--audio belongs to one clip" in log.text


def write_bursts(path, seconds):
    """Noise of a second, a half second of silence, in turn."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16000 * seconds).astype(np.float32)
    noise[(np.arange(len(noise)) % 24000) >= 16000] = 0.0
    write_video(path, np.zeros((25 * seconds, 64, 64), np.uint8), audio=noise)


def test_a_long_clip_is_read_in_pieces_and_joined(make_experiment, tmp_path, capsys):
    exp = make_experiment("audio")
    write_bursts(tmp_path / "long.mp4", 12)
    words = [str(tmp_path / "long.mp4"), "--model", str(exp), "--decode-args", "beam_size=3", "--max-seconds", "4"]
    assert main([*words, "--times"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    times = [(float(start), float(end)) for start, end, _ in rows]
    assert len(times) > 2
    assert times[0][0] == 0.0
    assert [start for start, _ in times[1:]] == [end for _, end in times[:-1]]
    assert all(1.0 <= end % 1.5 <= 1.5 for _, end in times[:-1])  # in the silences
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == " ".join(text for *_, text in rows if text)
    # Each piece alone, as a clip of its own that is not cut, says the same.
    reader = Recognizer.from_experiment(exp, SearchConfig(beam_size=3), device="cpu", max_seconds=4)
    assert [piece.transcripts[0].text for piece in reader.pieces(tmp_path / "long.mp4")] == [text for *_, text in rows]


def test_without_a_word_a_clip_is_cut_where_it_is_much_longer_than_all_of_training(make_experiment, tmp_path, log):
    exp = make_experiment("audio")
    write_bursts(tmp_path / "long.mp4", 20)
    assert main([str(tmp_path / "long.mp4"), "--model", str(exp)]) == 0
    assert "read in 2 pieces of at most 16.0 s" in log.text
    (exp / "data.json").write_text('{"train": {"longest_seconds": 4.8}}', encoding="utf-8")
    assert main([str(tmp_path / "long.mp4"), "--model", str(exp)]) == 0
    assert "pieces of at most 6.0 s" in log.text


def test_the_best_of_all_pieces_together_are_the_best_sums():
    def transcript(text, score):
        return Transcript(text, [text], [0], Hypothesis((0,), score, {"ctc": score}))

    pieces = [
        Piece(0.0, 1.0, [transcript("a", -1.0), transcript("b", -2.0), transcript("c", -9.0)]),
        Piece(1.0, 2.0, [transcript("", -0.1), transcript("d", -1.0), transcript("e", -9.0)]),
    ]
    joined = join_pieces(pieces, 4)
    assert [one.text for one in joined] == ["a", "a d", "b", "b d"]
    assert [one.hypothesis.score for one in joined] == pytest.approx([-1.1, -2.0, -2.1, -3.0])
    assert joined[1].hypothesis.scores == {"ctc": -2.0}
    assert joined[1].tokens == ["a", "d"]


def test_pieces_of_no_length_are_refused(make_experiment, log):
    assert main(["a.mp4", "--model", str(make_experiment("audio")), "--max-seconds", "0"]) == 1
    assert "--max-seconds 0: a piece has to be a second long" in log.text


def test_a_name_of_several_lines_is_printed_on_one(make_experiment, tmp_path, capsys):
    exp = make_experiment("audio")
    clips = [tmp_path / name for name in ("two\nlines\tand.mp4", "plain ü\\n.mp4")]
    for clip in clips:
        write_tone(clip)
    assert main([*map(str, clips), "--model", str(exp)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [f"{tmp_path}/two\\nlines\\tand.mp4", str(clips[1])]


@pytest.mark.parametrize(("rate", "told"), [(8000, 1), (16000, 0)])
def test_narrowband_sound_is_told_once_a_file(make_experiment, tmp_path, log, rate, told):
    exp = make_experiment("audio")
    with wave.open(str(tmp_path / "call.wav"), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.random.default_rng(0).integers(-9000, 9000, 5 * rate, dtype=np.int16).tobytes())
    assert main([str(tmp_path / "call.wav"), "--model", str(exp), "--max-seconds", "2"]) == 0
    assert log.text.count("call.wav: narrowband sound: recorded at 8000 Hz") == told
