"""Configuration: what a user mistypes is told with file, line and the nearest name."""

from typing import Literal

import pytest

from msrs import config as configuration
from msrs.config import (
    Free,
    apply_overrides,
    build,
    config,
    fixed,
    load_document,
    parse_document,
    split_words,
    to_yaml,
)
from msrs.errors import ConfigError
from msrs.registry import Registry


class Conformer:
    @config
    class Config:
        type: Literal["conformer"] = "conformer"
        num_blocks: int = 12
        dropout: float = 0.1


class Recurrent:
    @config
    class Config:
        type: Literal["recurrent"] = "recurrent"
        size: int = 7
        workers: Free[int] = 0


ENCODERS = Registry("encoder", Conformer, Recurrent)


@config
class Model:
    encoder: ENCODERS.config_type() = Conformer.Config()
    lr: float = 1e-3
    names: tuple[str, ...] = ()
    betas: tuple[float, float] = (0.9, 0.98)


def parse(text: str) -> Model:
    return build(Model, parse_document(text, "conf/train.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "lr: 1\nencoder:\n  type: conformer\n  num_bloks: 3",
            "conf/train.yaml:4: encoder.num_bloks is not a key of Conformer; did you mean num_blocks?",
        ),
        ("lrr: 3", "conf/train.yaml:1: lrr is not a key of Model; did you mean lr?"),
        ("encoder: {type: conformr}", "did you mean conformer?"),
        ("encoder: {num_blocks: 2}", "encoder needs a `type:`, one of conformer, recurrent."),
        ("encoder:\n  type: conformer\n  num_blocks: many", "conf/train.yaml:3: encoder.num_blocks: "),
        ("lr: 1\nlr: 2", "conf/train.yaml:2: lr is given twice."),
        ("- 1\n- 2", "conf/train.yaml:1: expected `key: value` lines"),
        ("lr: [1, 2", "conf/train.yaml:"),
        ("lr: .nan", "conf/train.yaml:1: lr: "),
        ("names:\n- a\n- 3.5", "conf/train.yaml:3: names.1: "),
        (
            "encoder: conformer",
            "conf/train.yaml:1: encoder: expected a group of options, such as {type: conformer}, given",
        ),
        ("names: a", "conf/train.yaml:1: names: expected a list, such as [a], given 'a'."),
        ("betas: []", "conf/train.yaml:1: betas: expected more values, given []."),
        ("lr: 1\nbetas: [0.9]", "conf/train.yaml:2: betas: expected more values, given [0.9]."),
    ],
)
def test_a_mistake_is_told_with_its_place(text, message):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in str(caught.value)


def test_numbers_are_those_of_yaml_1_2():
    assert parse("lr: 1e-3").lr == 1e-3
    assert parse_document("a: on\nb: 010\nc: no\nd: 2026-01-01\ne: ~", "x").values == {
        "a": "on",
        "b": 10,
        "c": "no",
        "d": "2026-01-01",
        "e": None,
    }


def test_overrides_use_the_same_path_and_are_checked_alike():
    document = apply_overrides(parse_document("encoder: {type: conformer}", "x"), ["encoder.num_blocks=3", "lr=3e-4"])
    assert build(Model, document) == Model(encoder=Conformer.Config(num_blocks=3), lr=3e-4)
    with pytest.raises(ConfigError, match=r"override 'encoder.num_bloks=3'.*did you mean num_blocks"):
        build(Model, apply_overrides(document, ["encoder.num_bloks=3"]))
    with pytest.raises(ConfigError, match=r"^override 'encodr.num_blocks=3': encodr is not a key of Model"):
        build(Model, apply_overrides(document, ["encodr.num_blocks=3"]))
    with pytest.raises(ConfigError, match=r"expected path.to.key=value"):
        apply_overrides(document, ["lr"])
    with pytest.raises(ConfigError, match="lr is a value"):
        apply_overrides(document, ["lr.x=1"])


def test_another_type_drops_the_keys_of_the_one_before():
    document = parse_document("encoder: {type: conformer, num_blocks: 3}", "x")
    changed = build(Model, apply_overrides(document, ["encoder.type=recurrent", "encoder.size=9"]))
    assert changed.encoder == Recurrent.Config(size=9)


@pytest.mark.parametrize(
    "word", ["encoder={type:recurrent,size:9}", '{"type":"recurrent","size":9}', "{type: recurrent, size: 9}"]
)
def test_a_group_may_be_overridden_in_one_word_without_spaces(word):
    word = word if word.startswith("encoder") else f"encoder={word}"
    assert build(Model, apply_overrides(parse_document("lr: 1", "x"), [word])).encoder == Recurrent.Config(size=9)
    names = build(Model, apply_overrides(parse_document("lr: 1", "x"), ["names=[a:b,http://c]"])).names
    assert names == ("a:b", "http://c")


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (["lr=1 names=['my noise',b]"], ("my noise", "b")),
        (["lr=1", 'names=["it\'s here"]'], ("it's here",)),
        (['names=["*x*"]  lr=1'], ("*x*",)),  # quotes are YAML's: without them this would be an alias
    ],
)
def test_quotes_hold_a_value_with_spaces_together(typed, names):
    words = split_words("--train-args", typed)
    assert build(Model, apply_overrides(parse_document("", "x"), words)).names == names


def test_a_quote_that_is_not_closed_is_told():
    with pytest.raises(ConfigError, match=r"--train-args: a quote is not closed in \"names=\['my noise\]\""):
        split_words("--train-args", ["names=['my noise]"])


def test_a_configuration_survives_writing_and_reading(tmp_path):
    before = Model(encoder=Recurrent.Config(size=3), lr=1e-5, names=("a", "ü"))
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(before), encoding="utf-8")
    assert configuration.load(Model, path) == before


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(Exception, match=r"nowhere.yaml: cannot be read"):
        load_document(tmp_path / "nowhere.yaml")


def test_what_is_free_is_left_out_of_what_is_fixed_and_checked_all_the_same():
    model = parse("encoder: {type: recurrent, workers: 3}")
    assert fixed(model)["encoder"] == {"type": "recurrent", "size": 7}
    assert build(Model, parse_document(to_yaml(model), "x")) == model
    with pytest.raises(ConfigError, match="x:1: encoder.workers: "):
        build(Model, parse_document("encoder: {type: recurrent, workers: many}", "x"))
