"""The validator's work: each set for itself, then the sets against one another."""

from collections.abc import Sequence
from pathlib import Path

from msrs.data.datadir import Fault, check_leaks, raise_faults, read_datadir, validate_datadir
from msrs.data.fix import fix_datadir
from msrs.errors import DataError, MsrsError
from msrs.log import LOGGER


def check_datadirs(
    paths: Sequence[str | Path], is_fixed: bool = False, with_media: bool = True, num_jobs: int = 1
) -> None:
    """Validate data directories, and that several share nothing.

    Args: is_fixed, mend each first; with_media, look for the media files and where they end; num_jobs, processes that
    open them.
    Raises: DataError with all that is wrong, set by set (20 faults each).
    """
    messages = []
    for path in paths:
        try:
            if is_fixed:
                fix_datadir(path)
            raise_faults(path, validate_datadir(path, with_media, num_jobs))
            data = read_datadir(path)
            LOGGER.info(
                "%s: sound; %d utterances, %d recordings, %d speakers",
                *(path, len(data.text), len(data.recordings), len(set(data.utt2spk.values()))),
            )
        except MsrsError as error:
            messages.append(str(error))
    if not messages and len(paths) > 1:
        leaks = check_leaks(paths)
        messages += [_leak_message(leaks)] if leaks else []
        if not leaks:
            LOGGER.info("the %d sets have no utterance and no recording in common", len(paths))
    if messages:
        raise DataError("\n".join(messages))


def _leak_message(leaks: list[Fault]) -> str:
    shown = [f"  {leak}" for leak in leaks[:20]]
    more = [f"  ... and {len(leaks) - 20} more"] if len(leaks) > 20 else []
    hint = "  What is trained on must not be tested on: take it out of one of the sets."
    return "\n".join([f"the sets have something in common ({len(leaks)} findings)", *shown, *more, hint])
