"""What all commands share: spellings, exit codes, sentences in place of tracebacks."""

import errno

import pytest

from msrs.command import CommandParser, run_command
from msrs.errors import DataError


def parser() -> CommandParser:
    options = CommandParser("msrs-probe", "A probe.")
    options.add_argument("--stop-stage", type=int, default=5)
    return options


@pytest.mark.parametrize("words", [["--stop-stage", "3"], ["--stop_stage", "3"], ["--stop_stage=3"]])
def test_both_spellings_are_one_option(words):
    assert parser().parse_args(words).stop_stage == 3


@pytest.mark.parametrize("words", [["--stop", "3"], ["--stop-stge", "3"]])
def test_what_is_not_an_option_is_refused(words, capsys):
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(words)
    assert caught.value.code == 2
    assert words[0] in capsys.readouterr().err


def fail(error: BaseException):
    def work(options):
        raise error

    return work


def test_exit_codes():
    assert run_command(parser(), lambda options: None, []) == 0
    assert run_command(parser(), fail(DataError("data/text:3: empty")), []) == 1
    assert run_command(parser(), fail(OSError(errno.ENOSPC, "full", "a.ark")), []) == 1
    assert run_command(parser(), fail(KeyboardInterrupt()), []) == 130
    with pytest.raises(ZeroDivisionError):
        run_command(parser(), fail(ZeroDivisionError()), [])
