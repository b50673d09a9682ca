"""Checkpoints: what is damaged is told and kept, what cannot be read is no damage, and a failed write harms nothing."""

import errno
import os

import pytest
import torch

from msrs.errors import DataError, StageError, TrainingError
from msrs.train.checkpoint import load, load_model, newest_resume, save, save_resume


class Malice:
    """Runs code where a careless loader unpickles it."""

    def __reduce__(self):
        return print, ("this must not run",)


def test_loading_runs_no_code(tmp_path, capsys):
    torch.save({"model": Malice()}, tmp_path / "evil.pt")
    with pytest.raises(TrainingError, match=r"evil.pt: not a whole checkpoint"):
        load(tmp_path / "evil.pt")
    assert "must not run" not in capsys.readouterr().out


def test_a_missing_model_names_the_stage(tmp_path):
    with pytest.raises(StageError, match="run stage 4"):
        load_model(tmp_path)


def state(update):
    return {"fingerprint": {}, "update": update}


def damage(path):
    path.write_bytes(b"PK\x03\x04 half")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_two_resume_points_are_kept_and_the_newest_whole_one_is_found(tmp_path, log):
    for update in (1, 2, 3):
        save_resume(state(update), tmp_path, update)
    assert names(tmp_path) == ["resume_00000002.pt", "resume_00000003.pt"]
    assert newest_resume(tmp_path) == state(3)
    damage(tmp_path / "resume_00000003.pt")
    assert newest_resume(tmp_path) == state(2)
    assert "passed over" in log.text and "resume_00000003.pt: not a whole checkpoint" in log.text
    assert names(tmp_path) == ["resume_00000002.pt", "resume_00000003.pt.damaged"]
    assert newest_resume(tmp_path / "nowhere") is None


def test_what_a_kill_has_left_half_written_goes(tmp_path):
    folder = tmp_path / "checkpoints"
    save_resume(state(1), folder, 1)
    for path in (
        folder / ".resume_00000002.7.tmp.pt",
        tmp_path / ".metrics.7.tmp.jsonl",
        tmp_path / "tokens/.rules.7.tmp.yaml",
    ):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert newest_resume(folder) == state(1)
    assert names(tmp_path) == ["checkpoints", "tokens"] and not names(tmp_path / "tokens")
    assert names(folder) == ["resume_00000001.pt"]


# Where torch looks for a zip's table in what is left it finds none, nothing, or, with these lengths, asks for a place before
# the file's beginning, which the system refuses.
@pytest.mark.parametrize("length", [0, 4096, 5000, 66_000, 100_000])
def test_a_file_that_is_cut_off_anywhere_is_passed_over(tmp_path, length):
    for update in (1, 2):
        save_resume(state(update) | {"w": torch.zeros(50_000)}, tmp_path, update)
    path = tmp_path / "resume_00000002.pt"
    path.write_bytes(path.read_bytes()[:length])
    assert newest_resume(tmp_path)["update"] == 1
    assert names(tmp_path) == ["resume_00000001.pt", "resume_00000002.pt.damaged"]


# Of values that have changed torch says nothing; a crash of the machine may leave zeros, a failing disk anything.
@pytest.mark.parametrize("is_mapped", [False, True])
def test_a_file_of_the_right_length_with_other_values_is_damaged(tmp_path, is_mapped):
    for update in (1, 2):
        save_resume(state(update) | {"w": torch.ones(50_000)}, tmp_path, update)
    path = tmp_path / "resume_00000002.pt"
    content = bytearray(path.read_bytes())
    content[100_000:104_096] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"resume_00000002.pt: not a whole checkpoint"):
        load(path, is_mapped)
    assert newest_resume(tmp_path)["update"] == 1
    assert names(tmp_path) == ["resume_00000001.pt", "resume_00000002.pt.damaged"]


def test_new_checkpoints_stay_whatever_has_higher_numbers(tmp_path):
    for update in (10, 11):
        damage(tmp_path / f"resume_{update:08d}.pt")
    for update in (2, 4, 6):
        save_resume(state(update), tmp_path, update)
        assert load(tmp_path / f"resume_{update:08d}.pt") == state(update)
    assert {"resume_00000004.pt", "resume_00000006.pt"} <= set(names(tmp_path))
    assert "resume_00000002.pt" not in names(tmp_path)


def test_where_none_is_whole_nothing_is_begun_or_lost(tmp_path):
    for update in (10, 11):
        damage(tmp_path / f"resume_{update:08d}.pt")
    with pytest.raises(TrainingError, match=r"resume_00000011.pt, resume_00000010.pt.*delete.*--tag.*--exp"):
        newest_resume(tmp_path)
    assert names(tmp_path) == ["resume_00000010.pt", "resume_00000011.pt"]


def test_a_model_under_the_name_of_a_resume_checkpoint_is_passed_over(tmp_path):
    save_resume(state(3), tmp_path, 3)
    save({"model": {"w": torch.ones(2)}}, tmp_path / "resume_00000099.pt")
    assert newest_resume(tmp_path) == state(3)
    assert names(tmp_path) == ["resume_00000003.pt", "resume_00000099.pt.damaged"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_what_cannot_be_read_is_not_taken_for_damaged(tmp_path, monkeypatch, number):
    for update in (1, 2):
        save_resume(state(update), tmp_path, update)
    original = torch.load

    def refuses(path, **options):
        if path.name == "resume_00000002.pt":
            raise OSError(number, os.strerror(number), str(path))
        return original(path, **options)

    monkeypatch.setattr(torch, "load", refuses)
    with pytest.raises(DataError, match=rf"resume_00000002.pt: cannot be read .{os.strerror(number)}.*permissions"):
        newest_resume(tmp_path)
    assert names(tmp_path) == ["resume_00000001.pt", "resume_00000002.pt"]


# Where the limit is met torch finds a wrong position, a failed stream or the system's own error.
@pytest.mark.parametrize("limit", [100, 4096, 300_000, 798_000, -500, -1])
def test_a_limit_of_the_size_of_files_leaves_the_checkpoint_before(tmp_path, limit):
    resource = pytest.importorskip("resource")
    path = tmp_path / "resume_00000001.pt"
    big = {f"w{number}": torch.full((100_000,), float(number)) for number in range(2)}
    save(big, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit + (path.stat().st_size if limit < 0 else 0), before[1]))
    try:
        with pytest.raises(DataError, match=r"resume_00000001.pt: could not be written whole .File too large.*intact"):
            save({name: value + 1 for name, value in big.items()}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == [path.name]
    assert all(torch.equal(value, big[name]) for name, value in load(path).items())


def test_a_full_disk_is_told_where_torch_hides_it(tmp_path, monkeypatch):
    def fills_up(state, handle):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        finally:
            raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", fills_up)
    with pytest.raises(DataError, match=r"a.pt: the disk is full"):
        save({}, tmp_path / "a.pt")
    assert not names(tmp_path)


def test_what_is_no_failed_write_is_not_told_as_one(tmp_path, monkeypatch):
    def fails(state, handle):
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(RuntimeError, match="CUDA error"):
        save({}, tmp_path / "a.pt")
