import json
import re
import shutil
import wave

import numpy as np
import pytest

from msrs.bin.decode import main


def texts(folder):
    return (folder / "text").read_text(encoding="utf-8")


@pytest.mark.parametrize("modality", ["video", "audio", "audiovisual"])
def test_decodes_a_dump_and_passes_over_it_the_next_time(make_experiment, make_feats, log, modality):
    exp, feats = make_experiment(modality), make_feats()
    (exp / "decode.yaml").write_text("beam_size: 4\nctc_weight: 0.5\n", encoding="utf-8")
    command = ["--exp", str(exp), "--feats", str(feats), "--config", str(exp / "decode.yaml"), "--name", "joint"]
    assert main([*command, "--decode-args", "nbest=2 length_bonus=0.1", "--batch-size", "2"]) == 0
    folder = exp / "decode_joint/test"
    assert [line.split()[0] for line in texts(folder).splitlines()] == ["s1-0", "s1-1", "s1-2"]
    rows = [json.loads(line) for line in (folder / "nbest.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["num_frames"] for row in rows] == [12, 5, 9]
    assert all(len(row["nbest"]) == 2 for row in rows)
    assert set(rows[0]["nbest"][0]["scores"]) == {"attention", "ctc_prefix", "length_bonus"}
    assert "beam_size: 4" in (folder / "search.yaml").read_text(encoding="utf-8")
    assert "real-time factor" in log.text
    log.clear()
    assert main([*command, "--decode_args", "nbest=2", "length_bonus=0.1", "--batch-size", "1"]) == 0
    assert "current, passed over" in log.text
    assert main(command) == 0
    assert "decoded anew (changed since: option length_bonus, option nbest)" in log.text


def test_batch_size_changes_nothing(make_experiment, make_feats):
    exp, feats = make_experiment("audiovisual"), make_feats(num_frames=(12, 5, 9, 31, 1))
    found = []
    for name, size in (("alone", 1), ("together", 5)):
        assert main(["--exp", str(exp), "--feats", str(feats), "--name", name, "--batch-size", str(size)]) == 0
        lines = (exp / f"decode_{name}/test/nbest.jsonl").read_text(encoding="utf-8").splitlines()
        found.append([json.loads(line)["nbest"] for line in lines])
    for alone, together in zip(*found):
        assert [one["tokens"] for one in alone] == [one["tokens"] for one in together]
        assert [one["score"] for one in alone] == pytest.approx([one["score"] for one in together], abs=1e-4)


def test_a_new_model_is_noticed(make_experiment, make_feats, log):
    exp, feats = make_experiment("video"), make_feats()
    command = ["--exp", str(exp), "--feats", str(feats)]
    assert main(command) == 0
    checkpoints = exp / "checkpoints"
    shutil.copy(checkpoints / "average.pt", checkpoints / "epoch_1.pt")
    assert main([*command, "--checkpoint", "epoch_1"]) == 0
    assert "decoded anew (changed since: file" in log.text
    assert texts(exp / "decode_default/test").count("\n") == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--exp": "exp/none"}, "exp/none holds no trained model; run stage 4"),
        (
            {"--checkpoint": "epoch_9"},
            "epoch_9.pt does not exist; there are average, best3 (msrs-average makes others)",
        ),
        ({"--feats": "dump/feats/none"}, "dump/feats/none: no dumped utterances here; run stage 2"),
        ({"--name": "a/b"}, "--name 'a/b' cannot name a folder"),
        ({"--noise": "white"}, "--noise and --snr-db go together"),
        ({"--snr-db": "0"}, "--noise and --snr-db go together"),
        (
            {"--noise": "white", "--snr-db": "loud"},
            "snr_db.0: expected a number of decibels from -100 to 100, or clean, given 'loud'",
        ),
        ({"--noise": "nowhere", "--snr-db": "0"}, "nowhere is no folder; expected a folder of noise"),
        ({"--noise": "white", "--snr-db": "0", "--babble-from": "x"}, "it goes with --noise babble"),
        ({"--noise": "white", "--snr-db": "0"}, "the model takes in no sound, so noise cannot change what it reads"),
        ({"--streams": "audio"}, "--streams audio: the model is trained for video alone"),
        ({"--decode-args": "beam_sise=3"}, "beam_sise is not a key of Search; did you mean beam_size?"),
    ],
)
def test_faults_are_sentences(make_experiment, make_feats, log, monkeypatch, tmp_path, change, message):
    exp = make_experiment("video")
    shutil.copy(exp / "checkpoints/average.pt", exp / "checkpoints/best3.pt")
    make_feats()
    monkeypatch.chdir(tmp_path)
    words = {"--exp": "exp/video", "--feats": "dump/feats/test"} | change
    assert main([word for pair in words.items() for word in pair]) == 1
    assert message in log.text


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ("best3.pt", r"best3.pt does not exist; there are average \(msrs-average makes others"),
        ("exp/video/best3", "best3.pt does not exist; there are average"),
        (
            "exp/audio/checkpoints/average.pt",
            r"average.pt does not fit exp/video/config.yaml: \d+ parameters are others, ",
        ),
    ],
)
def test_a_checkpoint_of_elsewhere_is_told_in_a_line(
    make_experiment, make_feats, log, monkeypatch, tmp_path, checkpoint, message
):
    make_experiment("video")
    make_experiment("audio")
    make_feats()
    monkeypatch.chdir(tmp_path)
    assert main(["--exp", "exp/video", "--feats", "dump/feats/test", "--checkpoint", checkpoint]) == 1
    told = log.records[-1].getMessage()
    assert re.search(message, told)
    assert len(told) < 300


def test_an_audiovisual_model_wants_a_dump_with_sound(make_experiment, make_feats, log):
    exp, feats = make_experiment("audiovisual"), make_feats(streams=["video"])
    assert main(["--exp", str(exp), "--feats", str(feats)]) == 1
    assert "audio.scp is missing: the dump has no audio. Rerun stage 2 with a --modality that has it" in log.text
    assert "At the test --streams video does without it" in log.text


@pytest.mark.parametrize(("streams", "other"), [("video", "audio"), ("audio", "video")])
def test_an_audiovisual_model_does_with_one_stream(make_experiment, make_feats, log, streams, other):
    exp, feats = make_experiment("audiovisual"), make_feats()
    command = ["--exp", str(exp), "--feats", str(feats)]
    assert main(command) == 0
    assert main([*command, "--streams", "audiovisual"]) == 0
    assert "current, passed over" in log.text
    assert "trained with" not in log.text
    assert main([*command, "--streams", streams]) == 0
    assert f"trained with augment.drop_{other} 0, so never without {other}: from {streams} alone" in log.text
    folder = exp / f"decode_default_{streams}/test"
    assert f"streams: {streams}\n" in (folder / "search.yaml").read_text(encoding="utf-8")
    assert scores(folder) != scores(exp / "decode_default/test")
    (feats / f"{other}.scp").unlink()
    (feats / f"{other}.ark").unlink()
    config = (exp / "config.yaml").read_text(encoding="utf-8")
    (exp / "config.yaml").write_text(config.replace(f"drop_{other}: 0.0", f"drop_{other}: 0.1"), encoding="utf-8")
    log.clear()
    assert main([*command, "--streams", streams, "--name", "lacking"]) == 0
    assert "trained with" not in log.text
    assert scores(exp / "decode_lacking/test") == scores(folder)
    assert main([*command, "--streams", streams, "--name", "default"]) == 0
    assert "decoded anew (changed since" in log.text and "option streams" in log.text


def test_noise_and_streams_go_together_in_the_name(make_experiment, make_feats, log):
    exp, feats = make_experiment("audiovisual"), make_feats()
    command = ["--exp", str(exp), "--feats", str(feats), "--noise", "white", "--snr-db", "0", "--streams"]
    assert main([*command, "audio"]) == 0
    assert (exp / "decode_default_audio_snr0_white/test/text").is_file()
    assert main([*command, "video"]) == 1
    assert "the model takes in no sound, so noise cannot change what it reads" in log.text


def scores(folder):
    rows = [json.loads(line) for line in (folder / "nbest.jsonl").read_text(encoding="utf-8").splitlines()]
    return [one["score"] for row in rows for one in row["nbest"]]


def test_noise_is_part_of_the_name_and_repeats_exactly(make_experiment, make_feats, log):
    exp, feats = make_experiment("audio"), make_feats()
    command = ["--exp", str(exp), "--feats", str(feats)]
    assert main(command) == 0
    for words in (["--noise", "babble", "--snr-db", "0"], ["--noise", "white", "--snr-db", "-5"]):
        assert main([*command, *words]) == 0
    assert main([*command, "--noise", "babble", "--snr-db", "0", "--name", "again", "--batch-size", "1"]) == 0
    assert main([*command, "--noise", "white", "--snr-db", "inf", "--name", "clean"]) == 0
    clean, babble, white, again, infinite = (
        scores(exp / f"decode_{name}/test")
        for name in ("default", "default_snr0_babble", "default_snr-5_white", "again", "clean")
    )
    assert clean == infinite
    assert babble == pytest.approx(again, abs=1e-4)
    assert clean != babble != white != clean
    assert "has one speaker" in log.text
    told = (exp / "decode_default_snr0_babble/test/search.yaml").read_text(encoding="utf-8")
    assert re.search(r"nbest: 5\n(.*\n)*noise:\n  sources:\n  - babble\n(.*\n)*  snr_db:\n  - 0.0\n", told)
    log.clear()
    assert main([*command, "--noise", "babble", "--snr-db", "0"]) == 0
    assert "current, passed over" in log.text
    assert main([*command, "--noise", "babble", "--snr-db", "5", "--name", "again"]) == 0
    assert "decoded anew (changed since: option noise)" in log.text


def test_noise_of_another_folder_of_the_same_name_takes_no_place(make_experiment, make_feats, log, tmp_path):
    exp, feats = make_experiment("audio"), make_feats()
    samples = np.random.default_rng(0).integers(-9000, 9000, 16000, dtype=np.int16)
    for place in ("a", "b"):
        (tmp_path / place / "street").mkdir(parents=True)
        with wave.open(str(tmp_path / place / "street/one.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
    command = ["--exp", str(exp), "--feats", str(feats), "--snr-db", "0", "--noise"]
    assert main([*command, f"{tmp_path}/a/street"]) == 0
    text = exp / "decode_default_snr0_street/test/text"
    before = text.stat()
    assert main([*command, f"{tmp_path}/b/street"]) == 1
    assert re.search(r"in the noise of .*/a/street, and .*/b/street would take its place.*ln -s", log.text)
    assert text.stat() == before
    assert main([*command, f"{tmp_path}/b/../a/street"]) == 0  # the same by another name
    (tmp_path / "b/street").rename(tmp_path / "b/road")
    (tmp_path / "a/street").rename(tmp_path / "b/street")
    assert main([*command, f"{tmp_path}/b/street"]) == 0  # it has moved


def test_babble_of_another_set_is_heard(make_experiment, make_feats, log):
    exp, feats = make_experiment("audio"), make_feats()
    other = feats.with_name("train")
    shutil.copytree(feats, other)
    (other / "utt2spk").write_text("".join(f"s1-{i} s2\n" for i in range(3)), encoding="utf-8")
    command = ["--exp", str(exp), "--feats", str(feats), "--noise", "babble", "--snr-db", "0"]
    assert main([*command, "--babble-from", str(other)]) == 0
    assert "has one speaker" not in log.text  # it is another one
    assert main(command) == 0
    assert "decoded anew (changed since: option noise, option sound of the noise)" in log.text
