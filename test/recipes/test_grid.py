"""egs/grid: the faults of the corpus one by one, and a slice of real clips from files to scores."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from msrs.data.datadir import read_datadir, validate_datadir

ROOT = Path(__file__).resolve().parents[2]
TINY = "train.max_epochs=1 schedule.warmup_updates=0 batching.max_frames=400 model.encoder.num_blocks=1"


def load_door():
    spec = importlib.util.spec_from_file_location("grid_data", ROOT / "egs/grid/local/data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


door = load_door()


def make_tree(root, clips, alignments=None, splits=None, inner="video/"):
    """A tree of empty clips; alignments: folder/name -> text."""
    for clip in clips:
        path = root / f"{inner}{clip}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clip.encode())
    for name, text in (alignments or {}).items():
        path = root / "alignments" / f"{name}.align"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    for name, lines in (splits or {}).items():
        (root / "split").mkdir(exist_ok=True)
        (root / f"split/{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root


LISTS = {"train": ["s1/bbaf2n"], "dev": ["s1/lgbm3s"], "test": ["s2/pwij3p"]}
CLIPS = ["s1/bbaf2n.mpg", "s1/lgbm3s.mp4", "s2/pwij3p.mpg"]
ALIGNMENT = "0 23750 sil\r\n23750 29500 bin\r\n29500 34000 blue\r\n34000 35500 at\r\n35500 41000 f\r\n"
ALIGNMENT += "41000 47250 two\r\n47250 53000 now\r\n53000 74500 sil\r\n"


def run(tree, out, *words):
    return door.main(["--grid-dir", str(tree), "--out", str(out), *words])


def test_a_name_is_its_sentence():
    assert door.sentence("pwij3p") == ["place", "white", "in", "j", "three", "please"]
    assert door.sentence("SWIZZS") == ["set", "white", "in", "z", "zero", "soon"]
    assert door.sentence("bbaw2n") is None  # there is no w among the letters
    assert door.sentence("bbaf2") is None


@pytest.mark.parametrize("inner", ["video/", ""])
def test_lists_make_the_sets_wherever_the_clips_lie(tmp_path, inner):
    tree = make_tree(tmp_path / "grid", CLIPS, {"s1/bbaf2n": ALIGNMENT}, LISTS, inner)
    assert run(tree, tmp_path / "data") == 0
    train = read_datadir(tmp_path / "data/train")
    assert train.text == {"s1-bbaf2n": "bin blue at f two now"}
    assert train.utt2spk == {"s1-bbaf2n": "s1"}
    assert (tmp_path / "data/train/words.ctm").read_text().splitlines()[0] == "s1-bbaf2n 1 0.950 0.230 bin"
    assert validate_datadir(tmp_path / "data/test") == []


@pytest.mark.parametrize("words", [("--grid-dir", "{}"), ("--grid-dir={}",), ("--grid_dir={}", "--stage", "5")])
def test_a_tree_with_unseen_speakers_is_tested_on_them_however_it_is_named(tmp_path, words):
    shutil.copytree(ROOT / "utils", tmp_path / "utils")
    (tmp_path / "egs/grid").mkdir(parents=True)
    shutil.copy(ROOT / "egs/grid/run.sh", tmp_path / "egs/grid")
    tree = make_tree(tmp_path / "tree", CLIPS, splits=LISTS | {"unseen": ["s2/bbaf2n"]})
    command = [tmp_path / "egs/grid/run.sh", "--dry-run", *(word.format(tree) for word in words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--ref data/unseen/text" in done.stdout


def test_times_are_found_in_a_swapped_folder_and_never_taken_from_other_words(tmp_path):
    other = ALIGNMENT.replace("two", "three")
    tree = make_tree(tmp_path / "grid", CLIPS, {"s7/bbaf2n": ALIGNMENT, "s1/lgbm3s": other}, LISTS)
    assert run(tree, tmp_path / "data") == 0
    assert len((tmp_path / "data/train/words.ctm").read_text().splitlines()) == 6
    assert (tmp_path / "data/dev/words.ctm").read_text() == ""
    assert read_datadir(tmp_path / "data/dev").text == {"s1-lgbm3s": "lay green by m three soon"}


def test_times_of_another_speaker_with_the_same_sentence_are_not_guessed(tmp_path):
    tree = make_tree(tmp_path / "grid", CLIPS, {"s7/bbaf2n": ALIGNMENT, "s8/bbaf2n": ALIGNMENT}, LISTS)
    assert run(tree, tmp_path / "data") == 0
    assert (tmp_path / "data/train/words.ctm").read_text() == ""


def test_shadows_of_the_archives_and_the_better_of_two_copies(tmp_path):
    clips = [*CLIPS, "__MACOSX/s1/bbaf2n.mpg", "s1/._bbaf2n.mpg", "s1/bbaf2n.mp4", "s1/Thumbs.db"]
    tree = make_tree(tmp_path / "grid", clips, None, LISTS)
    found = door.find_clips(tree)
    assert len(found) == 3
    assert found["s1", "bbaf2n"].path.suffix == ".mpg"


def test_missing_clips_are_listed_and_too_many_stop(tmp_path):
    lists = LISTS | {"train": ["s1/bbaf2n", "s1/bbaf3s"]}
    tree = make_tree(tmp_path / "grid", CLIPS, None, lists)
    assert run(tree, tmp_path / "data") == 1
    assert run(tree, tmp_path / "data", "--max-missing", "0.5") == 0
    rows = (tmp_path / "data/train/skipped.tsv").read_text().splitlines()
    assert rows == ["id\treason", "s1-bbaf3s\tno such clip in the tree"]


@pytest.mark.parametrize("words", [[], ["--grid-dir", "NOWHERE"], ["--grid-dir", "EMPTY"]])
def test_without_the_corpus_it_is_told_where_to_get_it(tmp_path, words, log, monkeypatch):
    monkeypatch.delenv("GRID_DIR", raising=False)
    (tmp_path / "EMPTY").mkdir()
    monkeypatch.chdir(tmp_path)
    assert door.main(words) == 1
    assert "zenodo.org/records/3625687" in log.text
    assert "--grid-dir grid" in log.text


def all_names(count):
    letters = "abcdefghijklmnopqrstuvxyz"
    names = [f"{c}{k}a{letter}1n" for c in "blps" for k in "bgrw" for letter in letters]
    return names[:count]


def test_the_literature_s_splits(tmp_path):
    clips = [f"s{speaker}/{name}.mpg" for speaker in (1, 3, 20) for name in all_names(300)]
    tree = make_tree(tmp_path / "grid", clips)
    assert run(tree, tmp_path / "unseen") == 0
    sets = {name: read_datadir(tmp_path / "unseen" / name) for name in ("train", "dev", "test")}
    assert set(sets["test"].utt2spk.values()) == {"s1", "s20"}
    assert {name: len(data.text) for name, data in sets.items()} == {"train": 270, "dev": 30, "test": 600}
    assert run(tree, tmp_path / "overlapped", "--split", "overlapped") == 0
    sizes = [len(read_datadir(tmp_path / "overlapped" / name).text) for name in ("train", "dev", "test")]
    assert sizes == [45, 90, 765]


def test_a_missing_clip_moves_no_other(tmp_path):
    names = all_names(300)
    keys = [("s3", name) for name in names]
    whole, part = (door.make_splits(chosen, "unseen")["train"] for chosen in (keys, keys[1:]))
    assert len(set(whole) ^ set(part)) <= 2


@pytest.fixture(scope="module")
def sliced(copy_recipe, grid, face_model, tmp_path_factory):
    """The recipe run on 14 + 4 + 4 + 2 real clips, one of them cut short, one damaged, one without sound."""
    tree = tmp_path_factory.mktemp("slice")
    (tree / "split").mkdir()
    chosen = {"train": 14, "dev": 4, "test": 4, "unseen": 2}
    for name, count in chosen.items():
        lines = (grid / f"split/{name}.txt").read_text().split()
        # The original .mpg first: both kinds of files have to pass.
        lines = sorted(lines, key=lambda line: not (grid / f"video/{line}.mpg").exists())[:count]
        (tree / f"split/{name}.txt").write_text("".join(f"{line}\n" for line in lines))
        for line in lines:
            source = next((grid / "video").glob(f"{line}.*"))
            target = tree / "video" / f"{line}{source.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(source, target)
    shutil.copytree(grid / "alignments/s1", tree / "alignments/s6")  # swapped, as at the source
    broken = sorted((tree / "video/s1").iterdir())[:2]
    for path, share in zip(broken, (0.5, 0.0), strict=True):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[: int(len(content) * share)])
    recipe = copy_recipe("grid")
    words = ("--grid-dir", str(tree), "--nj", "2", "--train-args", TINY, "--max-skipped", "0.6")
    recipe.printed = recipe.run(*words)
    recipe.broken = [f"s1-{path.stem}" for path in broken]
    return recipe


def test_a_slice_of_real_clips_goes_all_the_way(sliced):
    results = (sliced.folder / "RESULTS.md").read_text()
    for name in ("dev", "test", "unseen"):
        assert (sliced.folder / f"exp/train_audiovisual/decode_decode/{name}/result.json").is_file()
        assert name in results


def test_broken_clips_are_put_aside_with_their_reasons(sliced):
    rows = {}
    for name in ("train", "dev", "test"):
        lines = (sliced.folder / f"dump/crop/{name}/skipped.tsv").read_text().splitlines()[1:]
        rows |= dict(line.split("\t", 1) for line in lines)
    assert set(rows) == set(sliced.broken)
    assert all(rows.values())
