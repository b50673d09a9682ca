"""What all commands share: options in both spellings, the log's first line, errors as sentences, exit codes."""

import argparse
import os
import select
import sys
from collections.abc import Callable, Sequence

from msrs.errors import MsrsError
from msrs.files import write_error
from msrs.log import LOGGER, log_start, start_log


class CommandParser(argparse.ArgumentParser):
    """An argument parser that takes `--stop-stage` and `--stop_stage` alike, never an abbreviation, and shows defaults.

    Args: example, a whole command to copy, which ends the help.
    """

    def __init__(self, prog: str, description: str, example: str = ""):
        super().__init__(prog=prog, description=description, allow_abbrev=False, formatter_class=_DefaultsShown)
        self.example = example

    def format_help(self):
        """As argparse, then the example, in one line whatever the terminal's width, so that it can be copied."""
        return super().format_help() + (f"\nexample:\n  {self.example}\n" if self.example else "")

    def parse_known_args(self, args=None, namespace=None):
        """As argparse, with underscores in option names read as dashes."""
        words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args([self._dashed(word) for word in words], namespace)

    @staticmethod
    def _dashed(word: str) -> str:
        if not word.startswith("--"):
            return word
        name, equals, value = word.partition("=")
        return name.replace("_", "-") + equals + value


class _DefaultsShown(argparse.ArgumentDefaultsHelpFormatter):
    """Help with defaults, but for options that have none or are off."""

    def _get_help_string(self, action):
        default = action.default
        if default is None or default is False or default == []:  # 0 is a default to be shown
            return action.help
        if isinstance(default, (list, tuple)):  # as it is typed
            return f"{action.help} (default: {' '.join(map(str, default))})"
        return super()._get_help_string(action)


def run_command(
    parser: CommandParser, work: Callable[[argparse.Namespace], int | None], argv: Sequence[str] | None
) -> int:
    """Parse `argv` (None: the process's), log the first line, do the work. Returns: the exit code.

    0 on success or what `work` returns; 1 on an expected failure, told in a sentence; 130 on Ctrl-C; 141 where what reads
    the output, such as `head`, has gone.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="surrogateescape")  # a file's name need not be text
    start_log()
    log_start(parser.prog, arguments)
    try:
        code = work(options) or 0
        sys.stdout.flush()
        return code
    except MsrsError as error:
        LOGGER.error("%s", error)
    except KeyboardInterrupt:
        LOGGER.error("stopped by the user; the same command goes on from here")
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _is_unread():
            return 141
        told = write_error(error.filename or "output", error)
        if told is error:
            raise
        LOGGER.error("%s", told)
    return 1


def _is_unread() -> bool:
    """Whether it is the output that nobody reads any more, rather than another process; what is left of it is dropped."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
