import numpy as np
import pytest

from msrs.bin.crop import main
from msrs.data.media import read_video_array


@pytest.fixture
def arguments(tmp_path):
    return ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--detector", "precomputed"], "needs --landmarks"),
        (["--landmarks", "x", "--max-faces", "2"], "--max-faces has no meaning for --detector precomputed"),
        (["--detector", "mediapipe", "--landmarks", "x"], "--landmarks has no meaning for --detector mediapipe"),
        (["--min-face-share", "nan"], "min_face_share"),
        (["--landmarks", "x"], "data"),
    ],
)
def test_wrong_words_are_told(arguments, words, message, log):
    assert main(arguments + words) == 1
    assert message in log.text


def test_unknown_option_is_refused(arguments):
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--sise", "96"])
    assert caught.value.code == 2


def test_real_clips_become_mouths(arguments, grid, face_model, tmp_path, monkeypatch):
    pytest.importorskip("mediapipe")
    monkeypatch.setenv("MSRS_FACE_TASK", str(face_model))
    data = tmp_path / "data"
    data.mkdir()
    clips = {f"{speaker}-{path.stem}": path for speaker in ("s1", "s2") for path in [first_clip(grid, speaker)]}
    (data / "video.scp").write_text("".join(f"{name} {path}\n" for name, path in clips.items()))
    (data / "text").write_text("".join(f"{name} words\n" for name in clips))
    (data / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in clips))
    assert main([*arguments, "--nj", "2"]) == 0
    for line in (tmp_path / "out/crop.scp").read_text().splitlines():
        patches = read_video_array(line.split(" ", 1)[1])
        assert patches.shape[1:] == (96, 96)
        assert len(patches) in (74, 75)
        # Lips move, the cheeks beside them hardly: the middle of the patch changes most.
        change = np.abs(np.diff(patches.astype(float), axis=0)).mean(0)
        assert change[36:64, 24:72].mean() > 1.3 * change[:24].mean()


def first_clip(grid, speaker):
    return sorted((grid / "video" / speaker).iterdir())[0]
