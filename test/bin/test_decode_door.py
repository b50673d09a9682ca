import json
import shutil

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
        ({"--checkpoint": "epoch_9"}, "epoch_9.pt does not exist: stage 4 has not ended"),
        ({"--feats": "dump/feats/none"}, "dump/feats/none: no dumped utterances here; run stage 2"),
        ({"--name": "a/b"}, "--name 'a/b' cannot name a folder"),
        ({"--decode-args": "beam_sise=3"}, "beam_sise is not a key of Search; did you mean beam_size?"),
    ],
)
def test_faults_are_sentences(make_experiment, make_feats, log, monkeypatch, tmp_path, change, message):
    make_experiment("video")
    make_feats()
    monkeypatch.chdir(tmp_path)
    words = {"--exp": "exp/video", "--feats": "dump/feats/test"} | change
    assert main([word for pair in words.items() for word in pair]) == 1
    assert message in log.text


def test_an_audiovisual_model_wants_a_dump_with_sound(make_experiment, make_feats, log):
    exp, feats = make_experiment("audiovisual"), make_feats(streams=["video"])
    assert main(["--exp", str(exp), "--feats", str(feats)]) == 1
    assert "audio.scp is missing: the dump has no audio. Rerun stage 2 with a --modality that has it" in log.text
