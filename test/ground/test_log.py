"""The log in a file is an extra that never stands in the way."""

from pathlib import Path

import pytest

from msrs.log import LOGGER, log_to_file, start_log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_costs_the_lines_in_the_file_and_no_more(capsys):
    start_log()
    with pytest.raises(KeyError, match="the cause"), log_to_file("/dev/full"):
        LOGGER.warning("a line")
        raise KeyError("the cause")
    assert "Logging error" not in capsys.readouterr().err


def test_lines_are_added_to_what_is_there(tmp_path):
    start_log()
    for line in ("first", "second"):
        with log_to_file(tmp_path / "exp/train.log"):
            LOGGER.warning(line)
        LOGGER.warning("elsewhere")
    lines = (tmp_path / "exp/train.log").read_text(encoding="utf-8").splitlines()
    assert [line.split()[-1] for line in lines] == ["first", "second"]
