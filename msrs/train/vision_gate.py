"""A remark for a run that has not begun to look: what lip reading from scratch most often fails of, told in time."""

from msrs.log import LOGGER

LOOKING_NATS = 0.01  # a vision gap below this is none
VALIDATIONS = 3  # so many in a row, or all there were where a run has had fewer


def remark_on_blindness(gaps: list[float], done_share: float, gate_share: float, told_tenth: int) -> int:
    """Warn when the loss does not care which video it sees; at most once in a tenth of the run.

    Args: gaps, vision gaps of the validations so far, in nats a token; done_share of the run; gate_share of it from
    which on a remark is due; told_tenth, the tenth of the run in which the last one was made. Returns: that tenth now.
    """
    tenth = int(10 * done_share + 1e-9)
    is_blind = bool(gaps) and all(gap < LOOKING_NATS for gap in gaps[-VALIDATIONS:])
    if not is_blind or done_share < gate_share or tenth <= told_tenth:
        return told_tenth
    LOGGER.warning(
        "%.0f %% of the run is over, and the model still speaks without looking: with another utterance's video the loss "
        "is the same (vision gap %s nats a token). Look at the contact sheet of stage 1 first: mouths, not chins or walls? "
        "Then try, one at a time: another unit of text (--token-type word or char); more CTC (model.ctc_weight=0.3 to "
        "0.5); more frames an update (train.accumulate); a longer warm-up (schedule.warmup_updates) or a lower optim.lr; "
        "sparse.type=msrs; a smaller model; short clips first, then --init for all.",
        100 * done_share, ", ".join(f"{gap:.4f}" for gap in gaps[-VALIDATIONS:]),
    )  # fmt: skip
    return tenth
