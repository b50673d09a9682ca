"""When a run leaves the plateau: by the vision gap, for good, and never counts too."""

import json

import pytest

from msrs.report.plateau import outcome_of, plateau_table


def write_run(folder, gaps, wers, density=None, norms=()):
    folder.mkdir()
    lines = []
    for i, (gap, wer) in enumerate(zip(gaps, wers, strict=True), start=1):
        lines.append({"kind": "train", "num_updates": 10 * i, "loss": 1.0})
        dev = {"epoch": i, "seconds": 2.5 * i, "vision_gap": gap, "wer": wer}
        lines.append({"kind": "dev", "num_updates": 10 * i, **dev})
    if density is not None:
        lines.append({"kind": "sparse", "num_updates": 20, "density": 1.0, "found_density": density})
    for update, first, last in norms:
        values = {"grad_norm/encoder.blocks.0": first, "grad_norm/encoder.blocks.11": last}
        values |= {f"grad_norm/encoder.blocks.{block}.x.weight": 9.0 for block in (0, 11)}
        lines.append({"kind": "watch", "num_updates": update, **values})
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def add_result(folder, name, rate):
    path = folder / "decode_ablation" / name / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"words": {"rate": rate}}))


def test_a_gap_that_falls_back_does_not_count(tmp_path):
    run = write_run(tmp_path / "a", [0.0, 0.2, 0.05, 0.11, 0.3, 0.4], [100, 100, 90, 60, 49, 30])
    outcome = outcome_of(run, 1)
    assert (outcome.left_plateau.update, outcome.left_plateau.epoch, outcome.left_plateau.seconds) == (40, 4, 10.0)
    assert outcome.half_wer.update == 50
    assert outcome.updates == 60


def test_a_gap_of_the_last_two_validations_does_not_count(tmp_path):
    assert outcome_of(write_run(tmp_path / "a", [0.0, 0.2, 0.2], [100] * 3), 1).left_plateau is None


def test_a_run_that_never_leaves_says_so(tmp_path):
    outcome = outcome_of(write_run(tmp_path / "a", [0.0, 0.01], [100, 100]), 1)
    assert outcome.left_plateau is None
    assert outcome.half_wer is None
    assert outcome.density is None
    assert outcome.gradient_ratio is None


def test_the_gradient_ratio_is_that_of_the_plateau(tmp_path):
    norms = [(0, 1.0, 4.0), (10, 2.0, 4.0), (20, 1.0, 4.0), (50, 4.0, 4.0)]
    run = write_run(tmp_path / "a", [0.0, 0.2, 0.2, 0.2, 0.2], [100] * 5, 0.3, norms)
    outcome = outcome_of(run, 1)
    assert outcome.gradient_ratio == pytest.approx(0.25)
    assert outcome.density == 0.3


def test_the_table_has_medians_ranges_and_failures(tmp_path):
    runs = [
        write_run(tmp_path / "a", [0.2] * 3, [100, 40, 30]),
        write_run(tmp_path / "b", [0.0] * 3, [100] * 3),
        write_run(tmp_path / "c", [0.0, 0.2, 0.2, 0.2], [100, 100, 40, 40]),
    ]
    for run, rate in zip(runs, (10.0, 90.0, 30.0), strict=True):
        add_result(run, "dev", rate)
    table = plateau_table({"dense": [outcome_of(run, i) for i, run in enumerate(runs)]}, ["dev", "test"])
    cells = [cell.strip() for cell in table.splitlines()[2].strip("|").split("|")]
    assert cells[:6] == ["dense", "3", "2/3", "20 [10, never]", "5 [2, never]", "30 [20, never]"]
    assert cells[-2:] == ["30.0 [10.0, 90.0]", "-"]
