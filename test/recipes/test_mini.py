"""egs/mini at a tiny size, from nothing to RESULTS.md: whole, stage by stage, killed and gone on with, and refused."""

import hashlib
import json

import pytest
import torch

from msrs.train.checkpoint import load

TINY = "train.max_epochs=3 train.validate_every_epochs=1 train.save_every_updates=1 schedule.warmup_updates=2 "
TINY += "batching.max_frames=400 model.encoder.num_blocks=1 sparse.epochs=1"
WORDS = ("--size", "tiny", "--nj", "2", "--train-args", TINY)


@pytest.fixture(scope="module")
def mini(copy_recipe, face_model):
    """The recipe after a run of all stages."""
    pytest.importorskip("espeakng_loader", reason="the speech of egs/mini needs espeakng-loader")
    recipe = copy_recipe("mini")
    recipe.printed = recipe.run(*WORDS)
    return recipe


def contents(folder, pattern="*"):
    """Hash of every file below a folder."""
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_all_stages_leave_their_files(mini):
    names = {
        "data/train/text",
        "dump/crop/train/contact_sheet.png",
        "dump/crop/heldout/quality.tsv",
        "dump/feats/train/video.scp",
        "dump/feats/test/audio.ark",
        "data/tokens_word/tokens.txt",
        "exp/train_audiovisual/checkpoints/average.pt",
        "exp/train_audiovisual/curves.png",
        "exp/train_audiovisual/decode_decode/test/alignment.txt",
        "exp/train_audiovisual/decode_decode/heldout/ref.trn",
        "RESULTS.md",
    }
    assert {name for name in names if not (mini.folder / name).is_file()} == set()
    results = (mini.folder / "RESULTS.md").read_text(encoding="utf-8")
    for name in ("dev", "test", "heldout"):
        assert f"| {name} " in results or f" {name} |" in results, results
    hidden = list(mini.folder.rglob("*.tmp*"))
    assert not hidden


def test_all_clips_are_cropped_and_dumped(mini):
    for name in ("train", "dev", "test", "heldout"):
        texts = (mini.folder / "data" / name / "text").read_text().splitlines()
        assert (mini.folder / "dump/crop" / name / "skipped.tsv").read_text().splitlines()[1:] == []
        assert len((mini.folder / "dump/feats" / name / "utt2num_frames").read_text().splitlines()) == len(texts)
        result = mini.folder / "exp/train_audiovisual/decode_decode" / name / "result.json"
        if name != "train":
            assert json.loads(result.read_text())


@pytest.mark.parametrize("stage", range(5))
def test_a_stage_run_again_changes_nothing(mini, stage):
    before = {name: contents(mini.folder / name) for name in ("data", "dump", "exp")}
    mini.run(*WORDS, "--stage", str(stage), "--stop-stage", str(stage))
    after = {name: contents(mini.folder / name) for name in ("data", "dump", "exp")}
    for name, files in before.items():
        changed = {file for file, digest in files.items() if after[name].get(file) != digest}
        assert {file for file in changed if not file.endswith(("train.log", "curves.png"))} == set()


def test_a_training_killed_twice_ends_as_if_it_had_not_been(mini):
    folder = mini.folder / "exp/again/checkpoints"
    words = (*WORDS, "--stage", "4", "--stop_stage", "4", "--tag", "again")

    def has_saved(count):
        return lambda: (
            sum(1 for _ in folder.glob("resume_*.pt")) >= 1
            and any(int(path.stem.split("_")[1]) >= count for path in folder.glob("resume_*.pt"))
        )

    for count in (1, 4):
        mini.kill_when(has_saved(count), *words)
    mini.run(*words)
    first = load(mini.folder / "exp/train_audiovisual/checkpoints/average.pt")["model"]
    again = load(folder / "average.pt")["model"]
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_crops_killed_half_way_are_gone_on_with(mini, copy_recipe):
    wanted = contents(mini.folder / "dump/crop/train/video")
    other = mini.folder / "dump2/crop/train/video"
    words = ("--stage", "1", "--stop-stage", "1", "--dumpdir", "dump2", *WORDS)
    mini.kill_when(lambda: sum(1 for _ in other.rglob("[!.]*.mp4")) >= 3, *words)
    kept = {path: path.stat().st_mtime_ns for path in other.rglob("[!.]*.mp4")}
    mini.run(*words)
    assert contents(other) == wanted
    assert sum(path.stat().st_mtime_ns == time for path, time in kept.items()) >= len(kept) - 2


def test_one_stream_leaves_the_dump_of_both_alone(mini):
    dump = contents(mini.folder / "dump/feats")
    for modality in ("video", "audio"):
        words = ("--modality", modality, "--train-args", TINY + " train.max_epochs=1")
        mini.run("--stage", "2", "--size", "tiny", *words)
        assert (mini.folder / f"dump/feats_{modality}/test/{modality}.scp").is_file()
        assert (mini.folder / f"exp/train_{modality}/decode_decode/test/result.json").is_file()
    assert contents(mini.folder / "dump/feats") == dump


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--stage", "4", "--train-args", "model.encoder.num_bloks=1", "--tag", "x"), "did you mean num_blocks?"),
        (("--stage", "4", "--train-args", "optim.lr=fast", "--tag", "x"), "optim.lr"),
        (("--stage", "2", "--dumpdir", "nowhere"), "stage 1"),
        (("--stage", "4", "--dumpdir", "nowhere", "--tag", "x"), "stage 2"),
        (("--stage", "5", "--tag", "nowhere"), "stage 4"),
    ],
)
def test_what_cannot_work_is_told(mini, words, message):
    process = mini.start(*words)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode not in (0, None), printed
    assert message in printed
    assert "Traceback" not in printed
