"""Around training: augmentation that cannot work is refused before the first update, and a run with it resumes exactly."""

import shutil

import numpy as np
import pytest
import torch

from msrs import config
from msrs.data.media import encode_video
from msrs.errors import ConfigError, DataError, MediaError, TrainingError
from msrs.files import write_text
from msrs.stage_mark import StageMark
from msrs.train.checkpoint import load, save
from msrs.train.distributed import World
from msrs.train.experiment import keep_tokens, train
from msrs.train.options import TrainConfig
from msrs.train.record import longest_seconds
from msrs.train.trainer import Trainer


@pytest.fixture
def folders(dumps, tmp_path):
    """Dumps and tokens as `dumps` has them, with two speakers in the training set."""
    for name in ("train", "dev", "tokens"):
        shutil.copytree(dumps / name, tmp_path / name)
    shutil.copy(dumps / "train.yaml", tmp_path)
    names = [line.split()[0] for line in (tmp_path / "train/text").read_text(encoding="utf-8").splitlines()]
    write_text(tmp_path / "train/utt2spk", "".join(f"{name} s{i % 2}\n" for i, name in enumerate(names)))
    return tmp_path


def read_options(folders, *overrides):
    return config.load(TrainConfig, folders / "train.yaml", ["train.max_epochs=2", *overrides])


def run(folders, name, *overrides):
    places = (folders / "train", folders / "dev", folders / "tokens", folders / name)
    train(read_options(folders, *overrides), *places, "cpu", ["msrs-train", "--probe"])


def weights(folders, name):
    return load(folders / name / "checkpoints/average.pt")["model"]


NOISY = ["augment.noise={sources: [white, babble], snr_db: [0, clean]}", "augment.spec_augment={time_masks: 1}"]


def test_a_killed_run_with_noise_and_masks_ends_bitwise_as_an_uninterrupted_one(folders, monkeypatch):
    run(folders, "whole", *NOISY)
    original = Trainer.update

    def dies(self, *arguments):
        if self.place.update == 3:
            raise KeyboardInterrupt
        original(self, *arguments)

    monkeypatch.setattr(Trainer, "update", dies)
    with pytest.raises(KeyboardInterrupt):
        run(folders, "killed", *NOISY)
    monkeypatch.setattr(Trainer, "update", original)
    run(folders, "killed", *NOISY, "train.num_workers=1")
    whole, killed = weights(folders, "whole"), weights(folders, "killed")
    assert all(torch.equal(value, killed[name]) for name, value in whole.items())


def test_other_speakers_are_another_run(folders):
    run(folders, "exp", *NOISY)
    names = (folders / "train/utt2spk").read_text(encoding="utf-8")
    write_text(folders / "train/utt2spk", names.replace("s1", "s2"))
    with pytest.raises(TrainingError, match="options: the sound of the noise is another"):
        run(folders, "exp", *NOISY)


def stop_after(updates, monkeypatch, folders, *overrides):
    """Begin the run `exp` and kill it before the update of this number."""
    original = Trainer.update

    def dies(self, *arguments):
        if self.place.update == updates:
            raise KeyboardInterrupt
        original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", dies)
        with pytest.raises(KeyboardInterrupt):
            run(folders, "exp", "train.save_every_updates=1", *overrides)


def rewrite_fingerprint(folders, change):
    """Apply `change` to the fingerprint that each resume checkpoint of the run `exp` holds."""
    for path in (folders / "exp/checkpoints").glob("resume_*.pt"):
        state = load(path)
        save({**state, "fingerprint": change(state["fingerprint"])}, path)


SPEED = ("checkpoint=true", "fused=false", "num_workers=1", "cache_megabytes=1", "watch_every_updates=1")


def test_what_changes_speed_alone_may_change_in_a_run(folders, monkeypatch):
    places = ("model.encoder", "optim", "train", "train", "train")
    changed = [f"{place}.{word}" for place, word in zip(places, SPEED, strict=True)]
    changed += ["model.decoder.checkpoint=true", "train.validate_every_epochs=2", "train.average=1"]
    run(folders, "whole", "train.average=1", "train.validate_every_epochs=2")
    stop_after(2, monkeypatch, folders)
    run(folders, "exp", *changed)
    assert "checkpoint: true" in (folders / "exp/config.yaml").read_text(encoding="utf-8")
    assert longest_seconds(folders / "exp") == 24 / 25
    whole, resumed = weights(folders, "whole"), weights(folders, "exp")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (["optim.lr=0.5"], "optim.lr was 0.001, is 0.5"),
        (["model.encoder.dropout=0.2"], "model.encoder.dropout was 0.1, is 0.2"),
        (["sparse={type: static}"], "sparse.type was none, is static"),
        (["augment.noise={sources: [white]}"], "augment.noise was null, is"),
    ],
)
def test_what_changes_results_is_refused_by_name(folders, monkeypatch, changed, told):
    stop_after(1, monkeypatch, folders)
    before = (folders / "exp/config.yaml").read_bytes()
    with pytest.raises(TrainingError, match=f"(?s)begun with other data or options: {told}.*--tag"):
        run(folders, "exp", *changed)
    assert (folders / "exp/config.yaml").read_bytes() == before


def test_other_data_is_refused_by_name(folders, monkeypatch):
    stop_after(1, monkeypatch, folders)
    lines = (folders / "dev/text").read_text(encoding="utf-8").splitlines()
    write_text(folders / "dev/text", "".join(f"{line} set\n" for line in lines))
    with pytest.raises(TrainingError, match="options: the development set's text is another"):
        run(folders, "exp")


def test_another_way_to_spell_with_the_same_tokens_is_refused(folders, monkeypatch):
    stop_after(1, monkeypatch, folders)
    rules = (folders / "tokens/rules.yaml").read_text(encoding="utf-8")
    write_text(folders / "tokens/rules.yaml", rules.replace("punctuation: drop", "punctuation: keep"))
    with pytest.raises(TrainingError, match=r"options: the tokenizer's rules.yaml is another"):
        run(folders, "exp")


def mark(folder, **sizes):
    """What stage 2 leaves of pictures and sound of these sizes."""
    StageMark(folder, "dump", [folder / "utt2spk"], {"layout": 1, "sizes of media": sizes}).write()


def test_other_pictures_of_the_same_lengths_are_refused(folders, monkeypatch):
    mark(folders / "train", a=1000)
    stop_after(1, monkeypatch, folders)
    mark(folders / "train", a=1001)
    with pytest.raises(TrainingError, match=r"options: the training set's dump \(stage 2\) is another"):
        run(folders, "exp")
    mark(folders / "train", a=1000)
    run(folders, "exp")


def test_a_dump_without_a_mark_or_a_run_of_before_is_gone_on_with(folders, monkeypatch):
    mark(folders / "train", a=1000)
    stop_after(1, monkeypatch, folders)
    (folders / "train/.done.dump.json").unlink()
    stop_after(2, monkeypatch, folders)
    # What the run does not know of its data is not compared, and known from then on.
    mark(folders / "train", a=1001)
    stop_after(3, monkeypatch, folders)
    mark(folders / "train", a=1002)
    with pytest.raises(TrainingError, match="the training set's dump"):
        run(folders, "exp")


def test_an_option_that_the_run_did_not_know_counts_as_its_default(folders, monkeypatch):
    def forget(fingerprint):
        del fingerprint["options"]["augment"]["erase_share"], fingerprint["options"]["train"]["ema"]
        return fingerprint

    stop_after(1, monkeypatch, folders)
    rewrite_fingerprint(folders, forget)
    with pytest.raises(TrainingError, match="options: train.ema was null, is 0.9"):
        run(folders, "exp", "train.ema=0.9")
    with pytest.raises(TrainingError, match="options: augment.erase_share was 0.25, is 0.5"):
        run(folders, "exp", "augment.erase_share=0.5")
    run(folders, "exp")


def test_an_option_that_is_gone_is_told(folders, monkeypatch):
    stop_after(1, monkeypatch, folders)
    rewrite_fingerprint(folders, lambda one: {**one, "options": {**one["options"], "warp": 3}})
    with pytest.raises(TrainingError, match="does not know its options .*warp"):
        run(folders, "exp")


def test_a_run_of_a_version_that_kept_a_hash_is_gone_on_with(folders, monkeypatch, log):
    stop_after(1, monkeypatch, folders)
    rewrite_fingerprint(folders, lambda one: "0" * 64)
    with pytest.raises(TrainingError, match=r"optim.lr was 0.001, is 0.5"):
        run(folders, "exp", "optim.lr=0.5")
    run(folders, "exp")
    assert "whether its data is still the same cannot be told" in log.text


def test_masks_need_a_front_end_with_bands(folders):
    waveform = ["model.audio_frontend={type: waveform}", NOISY[1]]
    with pytest.raises(ConfigError, match="audio_frontend.type waveform has none; take one of logmel, or leave it out"):
        run(folders, "exp", *waveform)
    assert not (folders / "exp").exists()


def test_noise_that_cannot_be_had_stops_before_the_first_update(folders):
    with pytest.raises(DataError, match="nowhere is no folder"):
        run(folders, "exp", "augment.noise={sources: [folder], folder: nowhere}")
    (folders / "noise").mkdir()
    pictures = np.zeros((3, 32, 32), np.uint8)
    (folders / "noise/mute.mp4").write_bytes(encode_video(pictures))
    with pytest.raises(MediaError, match=r"mute.mp4: has no sound.*take it out of the folder"):
        run(folders, "exp", f"augment.noise={{sources: [folder], folder: {folders}/noise}}")
    assert not (folders / "exp/config.yaml").exists()


def contents(folder):
    """All files of a run but its log and its lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("train.log", ".lock")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def drop_resume(folders):
    for path in (folders / "exp/checkpoints").glob("resume_*.pt"):
        path.unlink()


def test_a_run_whose_resume_checkpoints_are_damaged_is_not_begun_anew(folders):
    run(folders, "exp")
    for path in (folders / "exp/checkpoints").glob("resume_*.pt"):
        path.write_bytes(path.read_bytes()[:100])
    before = contents(folders / "exp")
    with pytest.raises(TrainingError, match=r"resume_\d+.pt, resume_\d+.pt.*delete.*--tag.*--exp"):
        run(folders, "exp")
    assert contents(folders / "exp") == before


def test_a_run_that_has_ended_is_passed_over_without_its_resume_checkpoints(folders, log):
    run(folders, "exp")
    drop_resume(folders)
    before = contents(folders / "exp")
    run(folders, "exp", "train.num_workers=1")
    assert "has been trained to its end; passed over" in log.text
    with pytest.raises(TrainingError, match=r"begun with other data or options: optim.lr was 0.001, is 0.5.*--tag"):
        run(folders, "exp", "optim.lr=0.5")
    assert contents(folders / "exp") == before


@pytest.mark.parametrize("length", [0, 100])
def test_a_damaged_model_of_a_run_that_has_ended_is_made_anew(folders, log, length):
    run(folders, "exp")
    whole, average = weights(folders, "exp"), folders / "exp/checkpoints/average.pt"
    for _ in range(2):  # with resume checkpoints and without
        average.write_bytes(average.read_bytes()[:length])
        log.clear()
        run(folders, "exp")
        assert "average.pt: not a whole checkpoint" in log.text and "is the mean of epochs" in log.text
        assert all(torch.equal(value, whole[name]) for name, value in weights(folders, "exp").items())
        drop_resume(folders)


def test_models_are_not_destroyed_where_resume_checkpoints_are_gone(folders, monkeypatch):
    run(folders, "exp")
    drop_resume(folders)
    average = folders / "exp/checkpoints/average.pt"
    average.rename(folders / "average.pt")
    before = contents(folders / "exp")
    with pytest.raises(
        TrainingError, match=r"models of a run \(epoch_00002.pt\) without a resume.*--tag.*--from-scratch"
    ):
        run(folders, "exp")
    assert contents(folders / "exp") == before
    for path in average.parent.iterdir():
        path.unlink()
    (folders / "average.pt").rename(average)
    (folders / "exp/config.yaml").unlink()  # without which nobody takes it for a trained model
    with pytest.raises(TrainingError, match=r"models of a run \(average.pt\)"):
        run(folders, "exp")


def test_all_processes_pass_over_what_the_main_one_finds_ended(folders):
    class Second(World):
        told = [None, True]  # no resume checkpoint; the run has ended

        def gather(self, value):
            return [self.told.pop(0), value]

    places = (folders / "train", folders / "dev", folders / "tokens", folders / "exp")
    train(read_options(folders), *places, "cpu", ["msrs-train"], Second(1, 2))
    assert not Second.told


def test_a_run_may_take_its_own_copy_of_the_tokens(folders, monkeypatch):
    stop_after(1, monkeypatch, folders)
    own = folders / "exp/tokens"
    before = {path.name: path.stat() for path in own.iterdir()}
    places = (folders / "train", folders / "dev", own, folders / "exp")
    train(read_options(folders), *places, "cpu", ["msrs-train"])
    assert {path.name: path.stat().st_mtime_ns for path in own.iterdir()} == {
        name: stat.st_mtime_ns for name, stat in before.items()
    }


def test_tokens_are_copied_whole_or_not_at_all(folders, tmp_path, monkeypatch):
    def dies(source, target):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    target = tmp_path / "copy"
    keep_tokens(folders / "tokens", target)
    whole = contents(target)
    assert whole == contents(folders / "tokens")
    (target / "tokens.txt").write_bytes(b"of before")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", dies)
        with pytest.raises(KeyboardInterrupt):
            keep_tokens(folders / "tokens", target)
    assert contents(target) == {**whole, "tokens.txt": b"of before"}
    keep_tokens(folders / "tokens", target)
    assert contents(target) == whole


def test_a_development_set_without_a_word_measures_nothing_and_is_refused(folders):
    lines = (folders / "dev/text").read_text(encoding="utf-8").splitlines()
    write_text(folders / "dev/text", "".join(f"{line.split()[0]}\n" for line in lines))
    with pytest.raises(DataError, match=r"dev/text: no utterance has a transcript.*stage 2"):
        run(folders, "exp")
    assert not (folders / "exp/checkpoints").exists()


def test_a_checkpoint_of_a_model_with_other_parameters_is_told(folders, monkeypatch):
    stop_after(2, monkeypatch, folders)
    for path in (folders / "exp/checkpoints").glob("resume_*.pt"):
        state = load(path)
        state["model"]["encoder.gone.weight"] = state["model"].pop("encoder.norm.weight")
        save(state, path)
    with pytest.raises(TrainingError, match=r"(?s)other parameters.*finish it with the version.*encoder.gone.weight"):
        run(folders, "exp")


def test_what_is_left_out_is_listed_with_its_reason(folders, log):
    lines = (folders / "train/text").read_text(encoding="utf-8").splitlines()
    names = [line.split()[0] for line in lines]
    assert len(names) > 5
    texts = [f"{name}\n" for name in names[:4]] + [f"{names[4]} {'A ' * 300}\n"] + [f"{line}\n" for line in lines[5:]]
    write_text(folders / "train/text", "".join(texts))
    run(folders, "exp")
    listed = folders / "exp/skipped.tsv"
    rows = [f"{name}\tan empty transcript\n" for name in names[:4]] + [f"{names[4]}\tfewer frames than tokens\n"]
    assert listed.read_text(encoding="utf-8") == "".join(["id\treason\n", *sorted(rows)])
    first = ", ".join(names[:3])
    assert f"4 training utterances left out for an empty transcript: {first}, ...; {listed} lists all" in log.text
    assert f"1 training utterance left out for fewer frames than tokens: {names[4]}; {listed} lists all" in log.text


def test_a_resumed_run_lists_the_same_again(folders, monkeypatch):
    lines = (folders / "train/text").read_text(encoding="utf-8").splitlines()
    write_text(folders / "train/text", "".join([lines[0].split()[0] + "\n", *(f"{line}\n" for line in lines[1:])]))
    stop_after(1, monkeypatch, folders)
    listed = folders / "exp/skipped.tsv"
    before = listed.read_bytes()
    assert before.count(b"\n") == 2
    listed.unlink()
    run(folders, "exp")
    assert listed.read_bytes() == before
