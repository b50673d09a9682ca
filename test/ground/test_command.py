"""What all commands share: spellings, exit codes, sentences in place of tracebacks."""

import errno
import subprocess
import sys

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


@pytest.mark.parametrize("flush", [True, False])
def test_a_reader_that_has_seen_enough_is_no_failure(flush):
    code = (
        "import sys; from msrs.command import CommandParser, run_command\n"
        f"work = lambda options: [print('x' * 99, flush={flush}) for _ in range(3000)] and None\n"
        "sys.exit(run_command(CommandParser('msrs-x', 'y'), work, []))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141  # as of any program that is piped into `head`
    assert "Error" not in told and "Exception" not in told


def test_another_pipe_that_breaks_is_a_failure():
    def work(options):
        raise BrokenPipeError(errno.EPIPE, "a worker's")

    with pytest.raises(BrokenPipeError):
        run_command(CommandParser("msrs-x", "y"), work, [])
