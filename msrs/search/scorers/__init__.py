"""Scorers of the beam search: each gives every hypothesis of every utterance a score for its next token."""

from msrs.registry import Registry
from msrs.search.scorers.attention import AttentionScorer
from msrs.search.scorers.ctc_prefix import CtcPrefixScorer
from msrs.search.scorers.length_bonus import LengthBonus

SCORERS = Registry("scorer", AttentionScorer, CtcPrefixScorer, LengthBonus)
