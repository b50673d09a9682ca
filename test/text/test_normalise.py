import sys
import unicodedata

import pytest

from msrs.config import to_yaml
from msrs.errors import ConfigError
from msrs.text.normalise import RULE_SETS, UNKNOWN_MARK, Rules, find_rules, normalise, normalise_all


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("  Bin   blue\tat\u3000f ", "BIN BLUE AT F"),
        ("it’s ʼtis ‘so’", "IT'S 'TIS 'SO'"),
        ("well-known and/or…", "WELL KNOWN AND OR"),
        ("{really} (yes) 50%, at $3.", "REALLY YES 50 AT 3"),
        ("rock ' n ' roll", "ROCK N ROLL"),
        ("cafe\u0301 na\u00efve", "CAF\u00c9 NA\u00cfVE"),
        ("straße", "STRASSE"),
        ("soft\u00adware zero\u200bwidth \ufeffmark\x00", "SOFTWARE ZEROWIDTH MARK"),
        ("на́до, это", "НА́ДО ЭТО"),
        ("你好，世界。", "你好世界"),
        ("میں می\u200cروم۔", "میں می\u200cروم"),
        ("a▁b", "A B"),
        ("...", ""),
        ("", ""),
    ],
)
def test_upper(given, expected):
    assert normalise(given, RULE_SETS["upper"]) == unicodedata.normalize("NFC", expected)


def test_other_sets():
    text = "Don’t  “stop” – NOW!"
    assert normalise(text, RULE_SETS["lower"]) == "don't stop now"
    assert normalise(text, RULE_SETS["verbatim"]) == "Don't “stop” – NOW!"
    assert normalise("a&b-c", Rules(name="own", spaced="&", dropped="B")) == "A C"
    assert normalise("it’s", Rules(apostrophes="keep")) == "ITS"


@pytest.mark.parametrize("name", RULE_SETS)
def test_twice_is_once_for_every_code_point(name):
    rules = RULE_SETS[name]
    for code in range(sys.maxunicode + 1):
        if 0xD800 <= code < 0xE000 or code >= 0x20000:  # surrogates; the planes of ideographs and private use
            continue
        once = normalise(f"a{chr(code)}b", rules)
        assert normalise(once, rules) == once, hex(code)


@pytest.mark.parametrize("name", RULE_SETS)
def test_unknown_mark_stays(name):
    assert normalise(f"a{UNKNOWN_MARK} {UNKNOWN_MARK}", RULE_SETS[name]).count(UNKNOWN_MARK) == 2


def test_empty_ones_are_named():
    texts, empty = normalise_all({"s-1": "!", "s-2": "yes", "s-3": ""}, RULE_SETS["upper"])
    assert texts == {"s-1": "", "s-2": "YES", "s-3": ""}
    assert empty == ["s-1", "s-3"]


def test_rules_live_in_yaml(tmp_path):
    path = tmp_path / "rules.yaml"
    for rules in [*RULE_SETS.values(), Rules(name="own", dropped="¿¡:'\"\\", spaced="")]:
        path.write_text(to_yaml(rules), encoding="utf-8")
        assert find_rules(path) == rules


def test_wrong_rules_are_told(tmp_path):
    with pytest.raises(ConfigError, match="uper: neither a rule set .upper, lower, verbatim."):
        find_rules("uper")
    (tmp_path / "rules.yaml").write_text("name: own\ncase: title\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="rules.yaml:2: case"):
        find_rules(tmp_path / "rules.yaml")
