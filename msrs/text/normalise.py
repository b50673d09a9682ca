"""What counts as the same text: explicit rules, stored beside the tokenizer, applied alike in training and scoring."""

import functools
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msrs.config import config, load
from msrs.errors import ConfigError

UNKNOWN_MARK = "⁇"  # how an unknown unit reads in a hypothesis; no rule removes it, so that it counts as an error
_APOSTROPHES = dict.fromkeys("’‘‛ʼ＇′`´", "'")
_JOINERS = "\u200c\u200d"  # invisible, yet they spell words in Persian and in Indic scripts
_RESERVED = "\u2581\u2585"  # SentencePiece's marks of a space and of an unknown: read as spaces


@config
class Rules:
    """Normalisation rules. Whatever they say, white space is squeezed and invisible characters are removed."""

    name: str = "upper"  # stands beside every score
    unicode: Literal["NFC", "keep"] = "NFC"  # NFC: é is one code point, however it was typed
    case: Literal["upper", "lower", "keep"] = "upper"
    apostrophes: Literal["straight", "keep"] = "straight"  # straight: ’ ‘ ` ´ and their kin become '
    punctuation: Literal["drop", "keep"] = "drop"  # drop: Unicode's P and S (braces too) save ' beside letters
    spaced: str = "-‐‑‒–—―/_…"  # characters that part words: each becomes a space
    dropped: str = ""  # further characters, in the case chosen above, removed wherever they stand
    digits: Literal["keep"] = "keep"  # numbers stay as written; where words are spoken, spell them out in stage 0


RULE_SETS = {
    "upper": Rules(),
    "lower": Rules(name="lower", case="lower"),
    "verbatim": Rules(name="verbatim", case="keep", punctuation="keep", spaced=""),
}


def find_rules(name: str | Path) -> Rules:
    """A named rule set, or the rules in a YAML file. Raises: ConfigError if `name` is neither.

    >>> find_rules("lower").case
    'lower'
    """
    if str(name) in RULE_SETS:
        return RULE_SETS[str(name)]
    if not Path(name).is_file():
        raise ConfigError(f"{name}: neither a rule set ({', '.join(RULE_SETS)}) nor a file with normalisation rules.")
    return load(Rules, name)


def normalise(text: str, rules: Rules) -> str:
    """`text` under `rules`; doing it twice changes nothing more.

    >>> normalise("  Don’t stop—{please}, “now”!", RULE_SETS["upper"])
    "DON'T STOP PLEASE NOW"
    >>> normalise("Don’t stop!", RULE_SETS["verbatim"])
    "Don't stop!"
    """
    text = _compose(text, rules)
    if rules.case != "keep":
        # Casing can undo the composition (ΐ has no composed capital), hence the second pass.
        text = _compose(text.upper() if rules.case == "upper" else text.lower(), rules)
    words = text.translate(_table(rules)).split()
    if rules.punctuation == "drop":
        words = [word for word in words if word.strip("'")]
    return " ".join(words)


def normalise_all(texts: Mapping[str, str], rules: Rules) -> tuple[dict[str, str], list[str]]:
    """All texts under `rules`, and the ids of those that had nothing left.

    >>> normalise_all({"a": "yes.", "b": "..."}, RULE_SETS["lower"])
    ({'a': 'yes', 'b': ''}, ['b'])
    """
    result = {utt_id: normalise(text, rules) for utt_id, text in texts.items()}
    return result, [utt_id for utt_id, text in result.items() if not text]


def _compose(text: str, rules: Rules) -> str:
    return unicodedata.normalize("NFC", text) if rules.unicode == "NFC" else text


@functools.lru_cache(maxsize=16)
def _table(rules: Rules) -> "_Table":
    return _Table(rules)


class _Table(dict):
    """A table for str.translate that decides about a code point when it first meets it."""

    def __init__(self, rules: Rules):
        super().__init__()
        self.rules = rules

    def __missing__(self, code: int) -> str:
        self[code] = self._decide(chr(code))
        return self[code]

    def _decide(self, character: str) -> str:
        if self.rules.apostrophes == "straight":
            character = _APOSTROPHES.get(character, character)
        category = unicodedata.category(character)
        if character in self.rules.dropped:
            return ""
        if character in self.rules.spaced or character in _RESERVED or character.isspace():
            return " "
        if category == "Cc" or category == "Cf" and character not in _JOINERS:
            return ""
        if character in ("'", UNKNOWN_MARK) or self.rules.punctuation == "keep":
            return character
        return "" if category[0] in "PS" else character
