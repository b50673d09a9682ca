"""The errors a user can cause. Each says what is wrong, where, what was expected and what to do."""


class MsrsError(Exception):
    """Root of all expected failures; a command prints it without a traceback and exits with 1."""


class ConfigError(MsrsError):
    """A configuration file, an override or a command-line option is wrong."""


class DataError(MsrsError):
    """A data directory, an archive or a list is wrong; the message names file, line or utterance."""


class MediaError(MsrsError):
    """A recording cannot be used: damaged, empty, without the needed stream, without a face."""


class StageError(MsrsError):
    """An earlier stage has not been run; the message names it."""


class DependencyError(MsrsError):
    """A package, a binary or a model file is missing; the message carries the command that brings it."""


class TrainingError(MsrsError):
    """Training cannot start or go on: a changed configuration, a non-finite loss, no usable checkpoint."""
