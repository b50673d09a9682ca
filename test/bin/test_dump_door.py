"""msrs-dump from its command line."""

from pathlib import Path

import numpy as np
import pytest

from msrs.bin.dump import main
from msrs.data.datadir import DataDir, write_datadir
from msrs.data.media import write_video


@pytest.fixture
def one_utterance(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video("a.mp4", np.full((5, 32, 32), 90, np.uint8), audio=np.full(3200, 0.1, np.float32))
    Path("crop").mkdir()
    Path("crop/crop.scp").write_text("s1-a a.mp4\n")
    write_datadir(DataDir(Path("data"), {"s1-a": "x"}, {"s1-a": "s1"}, {"s1-a": "a.mp4"}, {"s1-a": "a.mp4"}))


def test_both_spellings_and_a_second_run(one_utterance, log):
    words = ["--data", "data", "--crop", "crop", "--out", "out"]
    assert main([*words, "--video_format", "raw", "--max-skipped=0.1"]) == 0
    assert "1 utterances in, 1 out" in log.text
    assert main([*words, "--video-format", "raw", "--nj", "2"]) == 0
    assert "passed over" in log.text


def test_exit_codes_of_bad_input(one_utterance, log):
    assert main(["--data", "data", "--crop", "nowhere", "--out", "out"]) == 1
    assert "run stage 1 first" in log.text
    for words in (["--data", "data"], ["--data", "data", "--out", "out", "--modality", "smell"], ["--dat", "data"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2
