"""The stage driver alone: commands stand in for msrs-*, so that only the shell is tested."""

import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("validate", "crop", "dump", "tokenize", "train", "decode", "score", "results")
RUN = """#!/usr/bin/env bash
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$recipe/../../utils/avsr.sh" "$recipe" --test-sets "test unseen" --token-type word \\
    --local-options "corpus-dir nj" -- "$@"
"""
# Writes its name and words to the log; fails where FAIL_IN names it.
STAND_IN = """#!/usr/bin/env bash
{ printf '%s' "${0##*/}"; printf ' [%s]' "$@"; printf '\\n'; } >>"$CALLS"
[[ ${FAIL_IN:-} != "${0##*/}" ]] || { echo "no such thing: run stage 0 (data) first" >&2; exit 3; }
"""
ENVIRONMENT = '#!/usr/bin/env bash\nprintf "%s\\n" "$STAND_INS"\n'


def write_script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class Recipe:
    """A checkout with one recipe and commands that only note down how they are called."""

    def __init__(self, root: Path):
        self.root = root
        self.folder = root / "egs/toy"
        self.calls_file = root / "calls"
        shutil.copytree(ROOT / "utils", root / "utils")
        write_script(root / "tools/setup_env.sh", ENVIRONMENT)
        for name in COMMANDS:
            write_script(root / f"env/bin/msrs-{name}", STAND_IN)
        write_script(self.folder / "run.sh", RUN)
        write_script(self.folder / "local/data.sh", STAND_IN)

    def run(self, *words: str, cwd: Path | None = None, fail_in: str = "") -> subprocess.CompletedProcess:
        own = {"CALLS": str(self.calls_file), "STAND_INS": str(self.root / "env"), "FAIL_IN": fail_in}
        command = os.path.relpath(self.folder / "run.sh", cwd or self.folder)
        return subprocess.run(
            [f"./{command}", *words],
            cwd=cwd or self.folder,
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text(encoding="utf-8").splitlines() if self.calls_file.exists() else []


@pytest.fixture
def recipe(tmp_path):
    return Recipe(tmp_path / "a checkout")


def test_all_stages_in_order(recipe):
    done = recipe.run("--nj", "3")
    assert done.returncode == 0, done.stderr
    names = [call.split()[0] for call in recipe.calls]
    assert names == [
        *("data.sh", "msrs-validate"),
        *["msrs-crop"] * 4,
        *["msrs-dump"] * 4,
        *("msrs-tokenize", "msrs-train"),
        *["msrs-decode", "msrs-score"] * 3,
        "msrs-results",
    ]
    assert recipe.calls[0] == "data.sh [--nj] [3]"
    assert recipe.calls[1] == "msrs-validate [--nj] [3] [data/train] [data/dev] [data/test] [data/unseen]"
    assert "stage 4 (train) took 0 s" in done.stderr


@pytest.mark.parametrize("stop", ["--stop-stage 3", "--stop_stage 3", "--stop-stage=3", "--stop_stage=3"])
def test_stages_are_chosen_in_any_spelling(recipe, stop):
    assert recipe.run("--stage", "3", *stop.split()).returncode == 0
    assert recipe.calls == [
        "msrs-tokenize [--text] [data/train/text] [--type] [word] [--out] [data/tokens_word] [--check] [data/dev/text]"
    ]


def test_sound_alone_needs_no_crops(recipe):
    assert recipe.run("--modality", "audio", "--stage", "1", "--stop-stage", "2").returncode == 0
    assert [call.split()[0] for call in recipe.calls] == ["msrs-dump"] * 4
    assert "--crop" not in recipe.calls[0]


def test_what_is_typed_wins_over_the_recipe(recipe):
    words = ["--stage", "3", "--token-type", "bpe", "--token-size", "90", "--train-set", "small", "--tag", "x y"]
    assert recipe.run(*words, "--train-args", "a.b=1 c=2", "--stop-stage", "4").returncode == 0
    assert "[--type] [bpe] [--size] [90] [--out] [data/tokens_bpe90]" in recipe.calls[0]
    assert "[--train] [dump/feats/small]" in recipe.calls[1]
    assert "[--exp] [exp/x y]" in recipe.calls[1]
    assert "[--train-args] [a.b=1 c=2]" in recipe.calls[1]


def test_quotes_hold_a_word_with_spaces_together(recipe):
    words = ["--stop-stage", "1", "--test-sets", "", "--crop-args", "--landmarks 'my points'  --max-faces 1"]
    assert recipe.run(*words, "--local-data-args", '--list "a b" --seed 2').returncode == 0
    assert recipe.calls[0].endswith("[--list] [a b] [--seed] [2]")
    assert recipe.calls[2].endswith("[--landmarks] [my points] [--max-faces] [1]")
    assert recipe.run("--stage", "4", "--stop-stage", "4", "--init", "'exp/a b' exp/c").returncode == 0
    assert recipe.calls[-1].endswith("[--init] [exp/a b] [exp/c]")


def test_another_unit_leaves_the_recipes_number_of_units_behind(recipe):
    recipe.run("--token-size", "90", "--token-type", "char", "--stage", "3", "--stop-stage", "3")
    assert "--size" not in recipe.calls[0]


def test_names_follow_configuration_and_modality(recipe):
    recipe.run("--stage", "4", "--modality", "video", "--train-config", "conf/train_small.yaml", "--expdir", "runs")
    assert "[--exp] [runs/train_small_video]" in recipe.calls[0]
    score = next(call for call in recipe.calls if call.startswith("msrs-score"))
    assert "[--ref] [data/dev/text]" in score
    assert "[--hyp] [runs/train_small_video/decode_decode/dev/text]" in score


def test_training_in_several_processes_or_on_a_cluster(recipe):
    recipe.run("--stage", "4", "--stop-stage", "4", "--ngpu", "8", "--num-nodes", "2", "--rendezvous", "node1:29500")
    assert "[--ngpu] [8] [--num-nodes] [2] [--rendezvous] [node1:29500]" in recipe.calls[0]
    recipe.run("--stage", "4", "--stop-stage", "4", "--cmd", "slurm", "--slurm-args", "partition=gpu time=2880")
    assert "[--cmd] [slurm] [--slurm-args] [partition=gpu time=2880]" in recipe.calls[1]
    recipe.run("--stage", "4", "--stop-stage", "4", "--init", "exp/video exp/audio")
    assert "[--init] [exp/video] [exp/audio]" in recipe.calls[2]
    recipe.run("--stage", "4", "--stop-stage", "4", "--ngpu", "0", "--processes", "2")
    assert recipe.calls[3].endswith("[--modality] [audiovisual] [--ngpu] [0] [--processes] [2]")
    recipe.run("--stage", "4", "--stop-stage", "4", "--ngpu", "8", "--shard")
    assert recipe.calls[4].endswith("[--ngpu] [8] [--shard]")
    recipe.run("--stage", "4", "--stop-stage", "4", "--from-scratch")
    assert recipe.calls[5].endswith("[--from-scratch]")


def test_noise_is_decoded_and_scored_level_by_level(recipe):
    (recipe.root / "my noise").mkdir()
    words = ["--stage", "5", "--test-sets", "", "--snr-db", "-5 clean", "--tag", "t"]
    assert recipe.run(*words, "--noise", "my noise", "--decode-args", "a=1", cwd=recipe.root).returncode == 0
    folder = f"[--noise] [{recipe.root}/my noise]"
    decoded = [call for call in recipe.calls if call.startswith("msrs-decode")]
    assert f"[--name] [decode_snr-5_my noise] {folder} [--snr-db] [-5] [--decode-args] [a=1]" in decoded[0]
    assert f"[--name] [decode_snrclean_my noise] {folder} [--snr-db] [clean]" in decoded[1]
    score = next(call for call in recipe.calls if call.startswith("msrs-score"))
    assert "[--hyp] [exp/t/decode_decode_snr-5_my noise/dev/text]" in score


def test_babble_may_come_from_another_set(recipe):
    words = ["--stage", "5", "--noise", "babble", "--snr-db", "0", "--babble-from", "train", "--modality", "audio"]
    assert recipe.run(*words).returncode == 0
    decoded = [call for call in recipe.calls if call.startswith("msrs-decode")]
    assert len(decoded) == 3
    assert all("[--noise] [babble] [--snr-db] [0] [--babble-from] [dump/feats_audio/train]" in call for call in decoded)


def test_one_model_is_decoded_and_scored_with_each_choice_of_streams(recipe):
    (recipe.folder / "dump/feats_video/dev").mkdir(parents=True)  # whose clips may be silent
    words = ["--stage", "5", "--test-sets", "", "--tag", "t", "--streams"]
    assert recipe.run(*words, "audiovisual video audio").returncode == 0
    decoded = [call for call in recipe.calls if call.startswith("msrs-decode")]
    assert [call.partition(" [--config] [conf/decode.yaml] ")[::2] for call in decoded] == [
        ("msrs-decode [--exp] [exp/t] [--feats] [dump/feats/dev]", "[--name] [decode]"),
        ("msrs-decode [--exp] [exp/t] [--feats] [dump/feats_video/dev]", "[--name] [decode_video] [--streams] [video]"),
        ("msrs-decode [--exp] [exp/t] [--feats] [dump/feats/dev]", "[--name] [decode_audio] [--streams] [audio]"),
    ]
    scored = [call for call in recipe.calls if call.startswith("msrs-score")]
    assert [call.partition("[--out] [")[2].partition("]")[0] for call in scored] == [
        f"exp/t/decode_{name}/dev" for name in ("decode", "decode_video", "decode_audio")
    ]
    recipe.calls_file.unlink()
    assert recipe.run(*words, "video audio", "--noise", "white", "--snr-db", "0").returncode == 0
    name = "[--name] [decode_audio_snr0_white]"
    assert recipe.calls[0].endswith(f"{name} [--streams] [audio] [--noise] [white] [--snr-db] [0]")
    assert len(recipe.calls) == 3  # no noise reaches the pictures


def test_a_dry_run_prints_commands_and_runs_none(recipe):
    shutil.rmtree(recipe.root / "tools")  # not even the environment is needed
    done = recipe.run("--dry-run", "--stage", "4", "--train-args", "a=1 b=2")
    assert done.returncode == 0
    assert recipe.calls == []
    assert "msrs-train --config conf/train.yaml" in done.stdout
    assert r"--train-args a=1\ b=2" in done.stdout
    assert not (recipe.folder / "exp").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stop-stgae", "3"], "--stop-stgae is not an option; did you mean --stop-stage?"),
        (["--corpus-dri", "x"], "did you mean --corpus-dir?"),
        (["--stage", "two"], "--stage is 'two', expected a whole number"),
        (["--stage"], "--stage needs a value"),
        (["--stage", "6"], "--stage 6 with --stop-stage 5: there is no stage from the one to the other"),
        (["--stage", "6", "--stop-stage", "7"], "there is no stage from the one to the other"),
        (["--stage", "4", "--stop-stage", "2"], "there is no stage from the one to the other"),
        (["--tag", "--stage", "2"], "--tag needs a value"),
        (["--modality", "vido"], "expected one of video, audio, audiovisual"),
        (["--streams", "video sound"], "--streams is 'video sound', expected some of video, audio, audiovisual"),
        (["--streams", " "], "--streams is ' ', expected some of video, audio, audiovisual"),
        (["--crop-args", "--landmarks 'my"], "--crop-args is '--landmarks 'my', where a quote is not closed"),
        (["--snr-db", " "], "--snr-db is ' ', expected levels in decibels in one word, such as \"0 10 clean\""),
        (["--dry-run=1"], "--dry-run takes no value"),
        (["3"], "3 is not an option"),
    ],
)
def test_mistakes_are_told_before_any_work(recipe, words, message):
    done = recipe.run(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "--help" in done.stderr
    assert recipe.calls == []


def test_examples_of_the_help_can_be_typed(recipe):
    examples = recipe.run("--help").stdout.partition("Examples:\n")[2].split("\n\n")[0].splitlines()
    assert len(examples) > 1
    for line in examples:
        program, *words = shlex.split(line, comments=True)
        assert program == "./run.sh"
        assert recipe.run("--dry-run", *words).returncode == 0


def test_help_shows_the_recipes_own_values(recipe):
    done = recipe.run("--help")
    assert done.returncode == 0
    assert "[test unseen]" in done.stdout
    assert "--corpus-dir" in done.stdout
    assert "further words" not in done.stdout  # what is typed takes the place of what a recipe has
    assert recipe.calls == []


def test_a_failing_stage_prints_the_command_that_goes_on(recipe):
    done = recipe.run("--stage", "0", "--modality", "video", "--tag", "a b", fail_in="msrs-dump", cwd=recipe.root)
    assert done.returncode == 3
    assert "run stage 0 (data) first" in done.stderr
    assert "stage 2 (dump) failed with exit code 3" in done.stderr
    assert "--stage 1" not in done.stderr
    assert done.stderr.rstrip().endswith(r"egs/toy/run.sh --modality video --tag a\ b --stage 2")
    assert recipe.calls[-1].startswith("msrs-dump")


def test_paths_that_a_user_types_count_from_where_he_is(recipe):
    (recipe.root / "corpora/mine").mkdir(parents=True)
    words = ["--stop-stage", "0", "--corpus-dir", "corpora/mine"]
    assert recipe.run(*words, cwd=recipe.root).returncode == 0
    assert recipe.calls[0].endswith(f"[--corpus-dir] [{recipe.root}/corpora/mine]")


def test_paths_of_the_recipe_come_first(recipe):
    for folder in (recipe.root, recipe.folder):
        (folder / "conf").mkdir()
        (folder / "conf/other.yaml").touch()
    assert (
        recipe.run("--stage", "4", "--stop-stage", "4", "--train-config", "conf/other.yaml", cwd=recipe.root).returncode
        == 0
    )
    assert "[--config] [conf/other.yaml]" in recipe.calls[0]


def test_without_a_separator_all_words_count_as_typed(recipe):
    write_script(recipe.folder / "run.sh", '#!/usr/bin/env bash\nexec ../../utils/avsr.sh --tag t "$@"\n')
    done = recipe.run("--stage", "4", fail_in="msrs-train")
    assert done.stderr.rstrip().endswith("./run.sh --tag t --stage 4")


def test_a_new_recipe_is_whole(recipe):
    (recipe.root / "egs/mini/conf").mkdir(parents=True)
    for name in ("train.yaml", "decode.yaml"):
        (recipe.root / "egs/mini/conf" / name).touch()
    command = [str(recipe.root / "utils/new_recipe.sh"), "own"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).returncode == 0
    made = recipe.root / "egs/own"
    assert sorted(p.relative_to(made).as_posix() for p in made.rglob("*") if p.is_file()) == sorted(
        ["README.md", "conf/decode.yaml", "conf/train.yaml", "local/data.py", "local/data.sh", "run.sh"]
    )
    again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert again.returncode == 1
    assert "exists already" in again.stderr
    recipe.folder = made
    listing = made / "my list.tsv"
    listing.touch()
    assert recipe.run("--dry-run", "--list", str(listing)).returncode == 0


def test_sets_that_were_mended_are_not_made_anew(recipe):
    done = recipe.run("--nj", "1", fail_in="msrs-validate")
    assert done.stderr.splitlines()[-2].endswith("./run.sh --nj 1 --stage 0")
    assert "go on with --stage 1: stage 0 writes them anew" in done.stderr
    assert "--stage 1" not in recipe.run(fail_in="data.sh").stderr
