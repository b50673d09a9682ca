#!/usr/bin/env python3
"""A list of training runs, several seeds of each: trains and decodes what is missing, then writes tables and plots.

The list is YAML (conf/ablation/*.yaml): `config`, the configuration that all runs share; `tokens`, the kind of units;
`join_clips`, how many clips to put one behind the other in all sets, to make long ones; `train_clips`, how many clips of the
training set to use then (drawn by a hash of their names; left out: all); `seeds`;
`settings`, laid over the configuration for all; `decode`, options of the search; `runs`, by name the settings of each
(`like: NAME` lays them over those of another run);
`plots`, by name which runs to draw side by side. In a run's settings `{exp}` and `{seed}` stand for the list's experiment
folder and the run's seed, so that `sparse.masks: "{exp}/msrs_{seed}/masks.npz"` takes the mask that the run `msrs` found
with the same seed.
"""

import argparse
import concurrent.futures
import dataclasses
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pydantic

from msrs import config as configuration
from msrs.command import CommandParser, run_command
from msrs.config import config
from msrs.data.joined import join_clips
from msrs.errors import ConfigError, MsrsError, StageError
from msrs.files import read_lines, write_text
from msrs.log import LOGGER
from msrs.report.compare import PICTURES, draw_comparison
from msrs.report.plateau import Outcome, outcome_of, plateau_table, rows_of
from msrs.search.options import load_search
from msrs.seeding import keyed_seed
from msrs.train.options import TrainConfig

TABLES = ("text", "utt2num_frames", "utt2spk", "video.scp", "audio.scp")
MADE_BY = "masks.npz"
STOPPED = (130, 143, -signal.SIGINT, -signal.SIGTERM)  # exit codes of a run that was stopped, and goes on later


Settings = dict[str, Any]


@config
class RunList:
    """A list, as its file has it."""

    title: str
    config: str
    tokens: str
    seeds: Annotated[tuple[int, ...], pydantic.Field(min_length=1)]
    runs: Annotated[dict[str, Settings | None], pydantic.Field(min_length=1)]
    join_clips: Annotated[int, pydantic.Field(ge=2)] | None = None
    train_clips: Annotated[int, pydantic.Field(ge=1)] | None = None
    settings: Settings = dataclasses.field(default_factory=dict)
    decode: Settings = dataclasses.field(default_factory=dict)
    plots: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of the list."""

    name: str
    seed: int
    exp: Path
    settings: tuple[str, ...]  # KEY=VALUE
    needs: tuple[Path, ...]  # files that other runs of the list write

    @property
    def label(self) -> str:
        """Its folder's name."""
        return self.exp.name


def parser() -> CommandParser:
    """The options of the command."""
    what = "Train, decode and tabulate a list of runs. Started again, it goes on."
    options = CommandParser("local/ablation", what, "local/ablation --list conf/ablation/digits.yaml --only dense")
    add = options.add_argument
    add("--list", type=Path, help="the list of runs, conf/ablation/NAME.yaml")
    add(
        "--feats",
        type=Path,
        default=Path("dump/feats_video"),
        help="dump folder (stage 2) with train, dev and the tests",
    )
    add("--tokens-root", type=Path, default=Path("data"), help="where stage 3 has written tokens_<kind>")
    add("--train-set", default="train", help="name of the training set")
    add("--dev-set", default="dev", help="name of the development set")
    add("--test-sets", nargs="*", default=["test"], help="further sets to decode at the end")
    add(
        "--exp",
        type=Path,
        default=Path("exp/ablation"),
        help="experiment folder; the runs go to EXP/<list>/<run>_<seed>",
    )
    add("--out", type=Path, default=Path("results"), help="tables and plots go to OUT/<list>.md and OUT/<list>/")
    add("--jobs", type=int, default=2, help="runs at once")
    add("--threads", type=int, default=1, help="CPU threads of each run")
    add("--ngpu", type=int, choices=(0, 1), help="GPUs of each run, shared by all; left out: one where there is one")
    add("--only", nargs="*", default=[], metavar="RUN", help="names of runs; left out: all")
    add("--table-only", action="store_true", help="train nothing; tabulate and draw what is there")
    add("--steps", type=Path, help=argparse.SUPPRESS)  # what a run is made of, for the process that takes them
    return options


def make_runs(listed: RunList, exp: Path, only: Sequence[str]) -> list[Run]:
    """All runs, seed by seed, so that every method has a seed early. Raises: ConfigError on unknown names."""
    unknown = sorted(set(only) - set(listed.runs))
    if unknown:
        raise ConfigError(f"--only: no run {unknown[0]!r} in the list; it has {', '.join(listed.runs)}.")
    runs = []
    for seed in listed.seeds:
        for name in listed.runs:
            text = json.dumps({**listed.settings, **resolve(listed, name)}, ensure_ascii=False)
            text = text.replace("{exp}", json.dumps(str(exp), ensure_ascii=False)[1:-1]).replace("{seed}", str(seed))
            words = tuple(f"{key}={_text(value)}" for key, value in json.loads(text).items())
            needs = tuple(Path(path) for path in re.findall(rf'"([^"]*{re.escape(MADE_BY)})"', text))
            if not only or name in only:
                runs.append(Run(name, seed, exp / f"{name}_{seed}", words, needs))
    return runs


def resolve(listed: RunList, name: str, seen: tuple[str, ...] = ()) -> Settings:
    """A run's own settings over those of the run that it is `like`. Raises: ConfigError on an unknown or circular name."""
    if name not in listed.runs or name in seen:
        raise ConfigError(
            f"run {seen[-1]!r}: `like: {name}` names {'itself' if name in seen else 'no run of the list'}."
        )
    own = dict(listed.runs[name] or {})
    model = own.pop("like", None)
    return {**resolve(listed, model, (*seen, name)), **own} if model else own


def _text(value: Any) -> str:
    """A value as `--train-args` takes it, which cuts its words at spaces outside of quotes."""
    is_plain = isinstance(value, str) and not any(map(str.isspace, value))
    return value if is_plain else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def work(options: argparse.Namespace) -> int:
    """Run what is missing, then write the results. Returns: 1 where a run failed."""
    if options.steps:
        return take_steps(options.steps)
    if not options.list:
        raise ConfigError("--list is missing: name a list of runs, conf/ablation/NAME.yaml.")
    listed = configuration.load(RunList, options.list)
    exp = options.exp / options.list.stem
    runs = make_runs(listed, exp, options.only)
    check_list(listed, options)
    for run in make_runs(listed, exp, ()):
        check_run(run, listed, options)
    if not options.table_only:
        check_made(listed, options)
        train_all(runs, listed, options)
        if left := [run.label for run in runs if not is_done(run, options)]:
            LOGGER.error("not done: %s", ", ".join(left))
    outcomes: dict[str, list[Outcome]] = {name: [] for name in listed.runs}
    for run in make_runs(listed, exp, ()):
        has_ended = is_done(run, options) or (run.exp / "failed.txt").exists()  # a failure counts, it never got there
        if has_ended and (run.exp / "metrics.jsonl").exists():
            outcomes[run.name].append(outcome_of(run.exp, run.seed))
    failed = [run.label for run in runs if (run.exp / "failed.txt").exists()]
    if failed:
        LOGGER.error("failed, see their failed.txt in %s: %s", exp, ", ".join(failed))
    if not any(outcomes.values()):
        raise StageError(f"{exp}: no run has come to its end yet.")
    write_results(listed, options, outcomes, exp)
    return 1 if failed or (not options.table_only and left) else 0


def train_all(runs: Sequence[Run], listed: RunList, options: argparse.Namespace) -> None:
    """Some at once; a run that needs another's mask starts when that is there."""
    feats = feats_folder(listed, options)
    if listed.join_clips:
        for name in (options.train_set, options.dev_set, *options.test_sets):
            join_clips(options.feats / name, feats / name, listed.join_clips)
    if listed.train_clips:
        subset(feats / options.train_set, train_folder(listed, options), listed.train_clips)
    waiting, going = list(runs), {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        while waiting or going:
            for run in [run for run in waiting if all(path.exists() for path in run.needs)]:
                if len(going) < options.jobs:
                    waiting.remove(run)
                    going[pool.submit(train_one, run, listed, options)] = run
            if not going:
                for run in waiting:
                    missing = ", ".join(str(path) for path in run.needs if not path.exists())
                    LOGGER.error("%s: not begun, for no run has made the mask that it needs, %s", run.label, missing)
                return
            done, _ = concurrent.futures.wait(going, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                run = going.pop(future)
                LOGGER.info("%s: %s; %d runs left", run.label, future.result(), len(waiting) + len(going))


def feats_folder(listed: RunList, options: argparse.Namespace) -> Path:
    """The dump folder of all sets."""
    return options.exp / f"joined_{listed.join_clips}" if listed.join_clips else options.feats


def train_folder(listed: RunList, options: argparse.Namespace) -> Path:
    """The dump folder that is trained on."""
    feats = feats_folder(listed, options)
    if listed.train_clips:
        return (feats if listed.join_clips else options.exp) / f"{options.train_set}_{listed.train_clips}"
    return feats / options.train_set


def subset(source: Path, target: Path, count: int) -> None:
    """Write the tables of a dump folder for `count` of its utterances; the archives stay where they are.

    Raises: ConfigError where there are fewer.
    """
    utt_ids = [line.split(maxsplit=1)[0] for line in read_lines(source / "text")]
    if count > len(utt_ids):
        raise ConfigError(f"train_clips is {count}, but {source} has {len(utt_ids)} utterances.")
    chosen = set(sorted(utt_ids, key=lambda utt_id: (keyed_seed(0, "subset", utt_id), utt_id))[:count])
    for name in TABLES:
        if (source / name).exists():
            lines = [line for line in read_lines(source / name) if line.split(maxsplit=1)[0] in chosen]
            write_text(target / name, "".join(f"{line}\n" for line in lines))


def check_list(listed: RunList, options: argparse.Namespace) -> None:
    """Raises: ConfigError on a seed that comes twice, too few jobs, a plot of no run, or an unknown option of the search."""
    for name in ("jobs", "threads"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} {getattr(options, name)}: expected 1 or more.")
    if twice := [seed for seed in listed.seeds if listed.seeds.count(seed) > 1]:
        raise ConfigError(f"{options.list}: seeds: {twice[0]} comes twice; a run counts once.")
    for plot, labels in listed.plots.items():
        if unknown := sorted(set(labels) - set(listed.runs)):
            raise ConfigError(
                f"{options.list}: plots.{plot}: no run {unknown[0]!r}; there are {', '.join(listed.runs)}."
            )
    try:
        load_search(None, [f"{key}={_text(value)}" for key, value in listed.decode.items()])
    except ConfigError as error:
        raise ConfigError(f"{options.list}: decode: {error}") from None


def check_made(listed: RunList, options: argparse.Namespace) -> None:
    """Raises: StageError where the tokens or a set are not there."""
    needed = [options.feats / name / "text" for name in (options.train_set, options.dev_set, *options.test_sets)]
    needed.append(options.tokens_root / f"tokens_{listed.tokens}/tokens.txt")
    kind = listed.tokens.rstrip("0123456789")
    size = listed.tokens.removeprefix(kind)
    words = f"--stop-stage 3 --modality video --token-type {kind}" + (f" --token-size {size}" if size else "")
    for path in needed:
        if not path.exists():
            raise StageError(f"{path} is missing; make it with ./run.sh {words}.")


def check_run(run: Run, listed: RunList, options: argparse.Namespace) -> None:
    """Raises: ConfigError on wrong settings, or where the run in the folder was made with others than the list has now."""
    words = (*run.settings, "modality=video", f"seed={run.seed}")
    try:
        wanted = configuration.load(TrainConfig, options.list.parent / listed.config, words)
    except MsrsError as error:
        raise ConfigError(f"{options.list}: run {run.name}: {error}") from None
    made = run.exp / "config.yaml"
    if not made.exists():
        return
    if configuration.fixed(configuration.load(TrainConfig, made)) != configuration.fixed(wanted):
        raise ConfigError(
            f"{run.exp} was trained with other settings than {options.list} has now; delete that folder to train it anew, "
            f"or give the run of the list another name."
        )
    steps = run.exp / "steps.json"
    if not steps.exists() or not is_done(run, options):  # else training itself looks at its data
        return
    before, now = made_of(json.loads(steps.read_text(encoding="utf-8"))), made_of(commands_of(run, listed, options))
    if before != now:
        raise ConfigError(
            f"{run.exp} was made otherwise ({before}) than {options.list} and the options of this command say now ({now}); "
            f"delete that folder to make it anew (its decode_ablation alone where only the search differs), or give the run "
            f"of the list another name."
        )


def made_of(commands: Sequence[Sequence[str]]) -> str:
    """Clips, units and search options of a run's commands, as words; a folder that was moved as a whole stays the same."""
    train, decode = commands[0], commands[1]
    clips, tokens = (Path(train[train.index(option) + 1]) for option in ("--train", "--tokens"))
    return " ".join([*clips.parts[-2:], tokens.name, *decode[decode.index("--decode-args") + 1 :]])


def is_done(run: Run, options: argparse.Namespace) -> bool:
    """Whether a run has been trained and decoded."""
    sets = (options.dev_set, *options.test_sets)
    return all((run.exp / "decode_ablation" / name / "result.json").exists() for name in sets)


def train_one(run: Run, listed: RunList, options: argparse.Namespace) -> str:
    """Train and decode one run. Returns: what has become of it."""
    if is_done(run, options):
        return "done before"
    (run.exp / "failed.txt").unlink(missing_ok=True)  # of an earlier start; a run that is at work has not failed
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    write_text(run.exp / "steps.json", json.dumps(commands_of(run, listed, options)))
    with open(run.exp / "ablation.log", "ab") as log:
        # One process for all of a run's steps: each would else load torch anew.
        words = [sys.executable, __file__, "--steps", str(run.exp / "steps.json")]
        failed = subprocess.run(words, stdout=log, stderr=subprocess.STDOUT, env=environment).returncode
    if failed in STOPPED:
        return "stopped"
    if failed:
        text = (run.exp / "ablation.log").read_text(encoding="utf-8", errors="replace")
        write_text(run.exp / "failed.txt", "\n".join(text.splitlines()[-20:]) + "\n")
        return "FAILED"
    return "done"


def commands_of(run: Run, listed: RunList, options: argparse.Namespace) -> list[list[str]]:
    """Module and words of each step that a run is made of."""
    sets, feats = [options.dev_set, *options.test_sets], feats_folder(listed, options)
    gpu = [] if options.ngpu is None else ["--ngpu", str(options.ngpu)]
    device = "auto" if options.ngpu is None else ("cuda" if options.ngpu else "cpu")
    tokens = options.tokens_root / f"tokens_{listed.tokens}"
    commands = [
        ["msrs.bin.train", "--config", options.list.parent / listed.config, "--train", train_folder(listed, options),
         "--dev", feats / options.dev_set, "--tokens", tokens, "--exp", run.exp, "--modality", "video",
         "--seed", run.seed, *gpu, "--train-args", *run.settings],
    ]  # fmt: skip
    words = [f"{key}={_text(value)}" for key, value in listed.decode.items()]
    for name in sets:
        out = run.exp / "decode_ablation" / name
        commands += [
            ["msrs.bin.decode", "--exp", run.exp, "--feats", feats / name, "--name", "ablation", "--device", device,
             "--decode-args", *words],
            ["msrs.bin.score", "--ref", feats / name / "text", "--hyp", out / "text", "--out", out],
        ]  # fmt: skip
    return [[str(word) for word in command] for command in commands]


def take_steps(path: Path) -> int:
    """Run the commands of a file one after another, in this process. Returns: the first exit code that is not 0."""
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    for module, *words in json.loads(path.read_text(encoding="utf-8")):
        if code := importlib.import_module(module).main(words):
            return code
    return 0


def end_with_parent(parent: int) -> None:
    """Leave when the list's process is gone: who starts it again would find the run at work. It goes on from here then."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(143)


def write_results(
    listed: RunList, options: argparse.Namespace, outcomes: Mapping[str, Sequence[Outcome]], exp: Path
) -> None:
    """OUT/<list>.md and the plots beside it; a row or a plot of which fewer runs are at hand than it was made of stays."""
    page = options.out / f"{options.list.stem}.md"
    kept = rows_of(page.read_text(encoding="utf-8")) if page.exists() else {}
    made_of = {name: int(row[1]) for name, row in kept.items() if len(row) > 1 and row[1].isdigit()}
    kept = {name: kept[name] for name, count in made_of.items() if count > len(outcomes.get(name, ()))}
    outcomes = {name: () if name in kept else runs for name, runs in outcomes.items()}
    command = f"local/ablation --list {options.list} --feats {options.feats}"
    there = Path(os.path.relpath(options.list, options.out)).as_posix()
    made = f"Made by `{command}` (`--table-only` writes it anew); [the list]({there}) has the settings of each method."
    parts = [f"# {listed.title}", made,
             plateau_table(outcomes, [options.dev_set, *options.test_sets], kept)]  # fmt: skip
    order = list(dict.fromkeys(label for labels in listed.plots.values() for label in labels))
    for name, labels in listed.plots.items():
        folder = options.out / options.list.stem / name
        begun = {label: [run.exp for run in outcomes.get(label, ()) if run.updates] for label in labels}
        groups = {label: folders for label, folders in begun.items() if folders}
        if folder.is_dir() and not kept.keys().isdisjoint(labels):
            pictures = [folder / f"{stem}.png" for stem in PICTURES if (folder / f"{stem}.png").exists()]
        else:
            pictures = draw_comparison(groups, folder, order) if groups else []
        if pictures:
            parts += [f"## {name}", *(f"![{path.stem}]({path.relative_to(options.out)})" for path in pictures)]
    write_text(page, "\n\n".join(parts) + "\n")
    LOGGER.info("%s has the table", page)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    return run_command(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
