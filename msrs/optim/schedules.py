"""Learning rate over updates."""

import math

from msrs.config import config
from msrs.errors import ConfigError
from msrs.ranges import Natural, Share


@config
class ScheduleConfig:
    """Linear warm-up, then a cosine down to a share of the peak."""

    warmup_updates: Natural = 1000
    final_share: Share = 0.0  # of the peak rate, reached at the last update


def check_schedule(options: ScheduleConfig, total_updates: int) -> None:
    """Raises: ConfigError where the warm-up takes the whole run."""
    if options.warmup_updates >= total_updates:
        raise ConfigError(
            f"schedule.warmup_updates is {options.warmup_updates}, but the run has {total_updates} updates: "
            f"the peak rate would never be reached. Shorten the warm-up or lengthen the run (train.max_epochs)."
        )


def rate_share(update: int, options: ScheduleConfig, total_updates: int) -> float:
    """Share of the peak rate at an update counted from 0.

    >>> [rate_share(u, ScheduleConfig(warmup_updates=2), 10) for u in (0, 1, 6)]
    [0.5, 1.0, 0.5]
    """
    if update < options.warmup_updates:
        return (update + 1) / options.warmup_updates
    done = (update - options.warmup_updates) / max(1, total_updates - options.warmup_updates)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
    return options.final_share + (1.0 - options.final_share) * cosine
