"""What a launcher tells of processes that have failed."""

import json

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from msrs.train.launch import _told


@pytest.fixture
def failure(tmp_path):
    def make(rank, exitcode, message=None, timestamp=0):
        path = tmp_path / f"{rank}.json"
        if message:
            data = {"message": {"message": message, "extraInfo": {"timestamp": str(timestamp)}}}
            path.write_text(json.dumps(data), encoding="utf-8")
        return ProcessFailure(local_rank=rank, pid=1, exitcode=exitcode, error_file=str(path))

    return make


def test_a_reason_comes_before_an_end_without_one_whichever_was_noted_first(failure):
    lost, reason = failure(1, -6), failure(0, 1, "file/exp: cannot be written", timestamp=4_000_000_000)
    assert _told(ChildFailedError("train", {1: lost, 0: reason})) == "file/exp: cannot be written"
    other = failure(1, 1, "clip-3: damaged")
    assert _told(ChildFailedError("train", {2: failure(2, 1), 1: other})) == "process 1: clip-3: damaged"


def test_a_signal_is_named_where_nobody_gave_a_reason(failure):
    assert _told(ChildFailedError("train", {1: failure(1, -9)})).startswith("process 1 was ended by signal SIGKILL")
    assert "failed with exit code 3" in _told(ChildFailedError("train", {0: failure(0, 3)}))
