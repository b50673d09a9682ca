import pickle
import random

import pytest

from msrs.errors import ConfigError, DataError, StageError
from msrs.log import LOGGER
from msrs.text.normalise import RULE_SETS, UNKNOWN_MARK
from msrs.text.tokenizer import UNIT_TYPES, Tokenizer, train_tokenizer

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
GRID = ["bin", "lay", "place", "set", "blue", "green", "red", "white", "at", "by", "in", "with", *DIGITS]
GRID += ["again", "now", "please", "soon", *"abcdefghijklmnopqrstuvxyz"]
SIZES = {"unigram": 24, "bpe": 24, "char": None, "word": None}


def sentences(words, count=60, seed=0):
    draw = random.Random(seed)
    return [" ".join(draw.choices(words, k=draw.randint(3, 6))) for _ in range(count)] + [" ".join(words)]


@pytest.fixture(params=UNIT_TYPES)
def tokenizer(request, tmp_path):
    return train_tokenizer(sentences(DIGITS), tmp_path / "tokens", request.param, SIZES[request.param])


def test_special_ids(tokenizer):
    assert [*tokenizer.units[:2], tokenizer.units[-1]] == ["<blank>", "<unk>", "<sos/eos>"]
    assert (tokenizer.blank_id, tokenizer.unk_id) == (0, 1)
    assert tokenizer.sos_id == tokenizer.eos_id == tokenizer.size - 1
    assert len(set(tokenizer.units)) == tokenizer.size


def test_decode_of_encode_is_the_text(tokenizer):
    for text in sentences([word.upper() for word in DIGITS], seed=1):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert 2 <= min(ids) <= max(ids) < tokenizer.eos_id
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


def test_rules_apply_before_encoding(tokenizer):
    assert tokenizer.decode(tokenizer.encode("  one — Two!")) == "ONE TWO"


def test_ids_are_lines_of_the_list(tokenizer, tmp_path):
    lines = (tmp_path / "tokens" / "tokens.txt").read_text(encoding="utf-8").split("\n")
    assert lines == [*tokenizer.units, ""]
    assert [lines[i] for i in tokenizer.encode("seven")] == tokenizer.split("seven")


def test_control_units_have_no_text(tokenizer):
    ids = tokenizer.encode("one two")
    assert tokenizer.decode([tokenizer.sos_id, 0, *ids, 0, tokenizer.eos_id]) == "ONE TWO"


@pytest.mark.parametrize("ids", [[-1], [3, 10_000]])
def test_ids_out_of_range(tokenizer, ids):
    with pytest.raises(IndexError, match="unit ids run from 0 to"):
        tokenizer.decode(ids)


def test_load_and_pickle_are_identity(tokenizer, tmp_path):
    for copy in (Tokenizer.load(tmp_path / "tokens"), pickle.loads(pickle.dumps(tokenizer))):
        assert (copy.units, copy.rules) == (tokenizer.units, tokenizer.rules)
        assert copy.encode("nine ä one") == tokenizer.encode("nine ä one")


@pytest.mark.parametrize("type", UNIT_TYPES)
def test_training_is_deterministic(type, tmp_path):
    for folder in ("one", "two"):
        train_tokenizer(sentences(DIGITS), tmp_path / folder, type, SIZES[type])
    for name in ("spm.model", "tokens.txt", "rules.yaml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_words_are_units(tmp_path):
    tokenizer = train_tokenizer(sentences(GRID), tmp_path, "word")
    assert tokenizer.size == 51 + 3
    assert len(tokenizer.encode("bin blue at f two now")) == 6
    ids = tokenizer.encode("bin purple orange now")
    assert [i == tokenizer.unk_id for i in ids] == [False, True, True, False]
    assert tokenizer.decode(ids) == f"BIN {UNKNOWN_MARK} {UNKNOWN_MARK} NOW"


def test_characters_are_units(tmp_path):
    tokenizer = train_tokenizer(sentences(GRID), tmp_path, "char")
    assert tokenizer.split("bin at") == ["B", "I", "N", "▁", "A", "T"]
    assert tokenizer.decode(tokenizer.encode("bün")) == f"B{UNKNOWN_MARK}N"


def test_other_scripts(tmp_path):
    lines = ["привет мир", "你好 世界", "नमस्ते दुनिया", "می\u200cروم خانه", "žluťoučký kůň"]
    for type in UNIT_TYPES:
        tokenizer = train_tokenizer(lines * 3, tmp_path / type, type, 60 if SIZES[type] else None, RULE_SETS["lower"])
        assert [tokenizer.decode(tokenizer.encode(line)) for line in lines] == lines


@pytest.mark.parametrize("type", UNIT_TYPES)
def test_size_beyond_the_text_is_cut_and_told(type, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(LOGGER, "warning", lambda message, *values: told.append(message % values))
    tokenizer = train_tokenizer(sentences(DIGITS), tmp_path, type, 5000)
    assert 13 <= tokenizer.size < 200
    assert told == [f"5000 units were asked for; the training text holds no more than {tokenizer.size}"]


@pytest.mark.parametrize("type", UNIT_TYPES)
def test_size_is_the_number_of_units(type, tmp_path):
    least = 19 if type in ("unigram", "bpe") else 4  # 15 letters, the space, 3 special units
    assert train_tokenizer(sentences(DIGITS), tmp_path, type, least).size == least
    with pytest.raises(ConfigError, match=f"the least is {least}"):
        train_tokenizer(sentences(DIGITS), tmp_path / "small", type, least - 1)
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("type", UNIT_TYPES)
def test_smallest_texts(type, tmp_path):
    tokenizer = train_tokenizer(["a"], tmp_path, type, 6 if SIZES[type] else None)
    assert tokenizer.decode(tokenizer.encode("A")) == "A"


def test_long_lines_are_used(tmp_path):
    assert "▁END" in train_tokenizer(["word " * 5000 + "end"], tmp_path, "word").units


def test_missing_size_wrong_type_no_text(tmp_path):
    with pytest.raises(ConfigError, match="bpe units need a size"):
        train_tokenizer(["a b"], tmp_path, "bpe")
    with pytest.raises(ConfigError, match="'chars' is not a type of units; known: unigram, bpe, char, word"):
        train_tokenizer(["a b"], tmp_path, "chars")
    with pytest.raises(DataError, match="no training text is left"):
        train_tokenizer(["...", ""], tmp_path, "char")


def test_damaged_folders_are_told(tmp_path):
    with pytest.raises(StageError, match="run stage 3"):
        Tokenizer.load(tmp_path)
    train_tokenizer(["a b"], tmp_path, "char")
    (tmp_path / "tokens.txt").write_text("<blank>\n", encoding="utf-8")
    with pytest.raises(DataError, match="tokens.txt: lists other units"):
        Tokenizer.load(tmp_path)
    (tmp_path / "spm.model").write_bytes(b"no model")
    with pytest.raises(DataError, match="not a SentencePiece model"):
        Tokenizer.load(tmp_path)
