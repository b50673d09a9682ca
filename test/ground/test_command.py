"""What all commands share: spellings, exit codes, sentences in place of tracebacks."""

import errno
import os
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


def test_help_shows_every_default_as_it_is_typed_and_ends_in_the_example():
    options = CommandParser("msrs-probe", "A probe.", f"msrs-probe --seed 3 {'--beams 1 ' * 12}--long")
    options.add_argument("--seed", type=int, default=0, help="of chance")
    options.add_argument("--beams", type=int, nargs="*", default=[1, 10], help="kept")
    options.add_argument("--names", nargs="*", default=[], help="none")
    options.add_argument("--long", action="store_true", help="off")
    shown = " ".join(options.format_help().split("example:")[0].split())
    assert "of chance (default: 0)" in shown
    assert "kept (default: 1 10)" in shown
    assert shown.count("(default:") == 2
    assert options.format_help().endswith(f"\nexample:\n  {options.example}\n")
    assert "example" not in parser().format_help()


def fail(error: BaseException):
    def work(options):
        raise error

    return work


def test_a_file_name_that_is_no_text_is_printed_as_its_bytes():
    program = (
        "import os; from msrs.command import CommandParser, run_command\n"
        "run_command(CommandParser('p', 'A probe.'), lambda options: print(os.fsdecode(b'b\\xff.mp4')), [])"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}  # what a terminal of most languages has
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment)
    assert (run.returncode, run.stdout) == (0, b"b\xff.mp4\n")


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
