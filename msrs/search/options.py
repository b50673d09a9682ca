"""How to search: the keys of conf/decode.yaml."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from msrs.config import Document, apply_overrides, build, config, load_document
from msrs.errors import ConfigError
from msrs.log import LOGGER
from msrs.ranges import Count, Positive, Share
from msrs.search.scorers import SCORERS, AttentionScorer, CtcPrefixScorer, LengthBonus
from msrs.search.scorers.base import Scorer


@config
class SearchConfig:
    """Options of the beam search and of its batches; batch sizes change speed and memory, never a result."""

    beam_size: Count = 10  # hypotheses kept for an utterance
    ctc_weight: Share = 0.3  # 0: attention alone; 1: CTC prefix search alone
    length_bonus: float = 0.0  # nats for every token; positive favours longer sentences
    nbest: Count = 5  # hypotheses returned for an utterance, at most
    max_length_ratio: float = 0.0  # most tokens: 0 as many as frames; 0.5 half as many; -40 forty, whatever the frames
    end_margin: Positive = 10.0  # nats: stop where three lengths in a row end this far behind
    pre_beam_ratio: Annotated[float, Field(ge=1)] = (
        1.5  # CTC sees the ratio * beam_size tokens that attention likes best
    )
    scorers: tuple[SCORERS.config_type(), ...] = ()  # further scorers, each with its type and weight
    batch_size: Count = 16  # utterances searched together
    batch_frames: Count = 4000  # padded frames (1/25 s) in a batch; a longer utterance goes alone


def load_search(path: str | Path | None, overrides: Iterable[str] = ()) -> SearchConfig:
    """Options from a YAML file, or the defaults where there is none, with overrides laid over. Raises: ConfigError."""
    document = load_document(path) if path else Document({}, {}, "the options of the search")
    return build(SearchConfig, apply_overrides(document, overrides))


def build_scorers(options: SearchConfig, model: Any) -> list[Scorer]:
    """The scorers that the options ask for and the model can give; those of weight zero are left out.

    Args: model with `decoder` and `ctc`, either of them may be None, and `vocabulary_size`.
    Raises: ConfigError where a scorer is named twice or cannot work with the model.
    """
    ctc_weight = _possible_ctc_weight(options.ctc_weight, model)
    configs: Sequence[Any] = (
        AttentionScorer.Config(weight=1.0 - ctc_weight),
        CtcPrefixScorer.Config(weight=ctc_weight),
        LengthBonus.Config(weight=options.length_bonus),
        *options.scorers,
    )
    active = [part for part in configs if part.weight != 0.0]
    names = [part.type for part in active]
    for part in active:
        if names.count(part.type) > 1:
            raise ConfigError(f"scorers: {part.type} is there already; set its weight by ctc_weight or length_bonus.")
        if part.weight < 0.0 and not isinstance(part, LengthBonus.Config):
            raise ConfigError(f"scorers: the weight of {part.type} is {part.weight}, expected a number above 0.")
    return [SCORERS.build(part, model) for part in active]


def _possible_ctc_weight(ctc_weight: float, model: Any) -> float:
    if model.decoder is None and model.ctc is None:
        raise ConfigError("the model has neither an attention decoder nor a CTC head; there is nothing to search with.")
    if model.decoder is None and ctc_weight < 1.0:
        LOGGER.info("the model has no attention decoder: searching with CTC alone (ctc_weight 1)")
        return 1.0
    if model.ctc is None and ctc_weight > 0.0:
        LOGGER.info("the model has no CTC head: searching with attention alone (ctc_weight 0)")
        return 0.0
    return ctc_weight
