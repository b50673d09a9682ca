"""Configuration: YAML with line numbers -> typed dataclasses, unknown keys refused, overrides by dotted path.

A part's configuration is a dataclass made by `@config` beside the part. A mistake is told with file, line and the
nearest known name: `conf/train.yaml:14: encoder.num_bloks is not a key of Conformer; did you mean num_blocks?`
"""

import dataclasses
import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
import yaml

from msrs.errors import ConfigError
from msrs.files import read_lines

T = TypeVar("T")
FREE = "free"
_WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
_KEY, _SPACED = re.compile(r"([{,]\w+):(?=\S)"), r"\1: "
# An option that changes nothing of what is computed, or only how fast: `num_workers: Free[int] = 0`. See `fixed`.
Free = Annotated[T, FREE]


def config(cls: type[T]) -> type[T]:
    """Class decorator: a frozen, keyword-only dataclass checked by pydantic, unknown keys forbidden."""
    rules = pydantic.ConfigDict(extra="forbid", strict=False, validate_default=True, allow_inf_nan=False)
    return pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=rules)(cls)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars (1e-3 is a number, `on` and `no` are words, 010 is ten), duplicate keys refused."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(loader.construct_scalar(node)))


@dataclasses.dataclass
class Document:
    """A YAML mapping and where its keys stand: `lines` maps a dotted path to `file:line`."""

    values: dict[str, Any]
    lines: dict[str, str]
    source: str

    def where(self, path: str) -> str:
        """`file:line` of a dotted path, or of its nearest written ancestor."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return self.lines.get(path, self.source)


def load_document(path: str | Path) -> Document:
    """Read a YAML mapping. Raises: ConfigError with file and line on bad syntax, duplicate keys or another top level."""
    return parse_document("\n".join(read_lines(path)), str(path))


def parse_document(text: str, source: str) -> Document:
    """As `load_document`, from a string; `source` names it in messages."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        document = Document({}, {}, source)
        if node is None:
            return document
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{source}:{node.start_mark.line + 1}: expected `key: value` lines at the top level.")
        _index(node, "", document)
        document.values = loader.construct_document(node)
        return document
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{source}{line}: not valid YAML: {getattr(error, 'problem', None) or error}.") from None
    finally:
        loader.dispose()


def _index(node: yaml.Node, prefix: str, document: Document) -> None:
    if isinstance(node, yaml.SequenceNode):
        for i, child in enumerate(node.value):
            document.lines[f"{prefix}{i}"] = f"{document.source}:{child.start_mark.line + 1}"
            _index(child, f"{prefix}{i}.", document)
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, value in node.value:
        where = f"{document.source}:{key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{where}: a key must be a plain word.")
        if key.value in seen:
            raise ConfigError(f"{where}: {prefix}{key.value} is given twice.")
        seen.add(key.value)
        document.lines[f"{prefix}{key.value}"] = where
        _index(value, f"{prefix}{key.value}.", document)


def split_words(option: str, typed: Iterable[str]) -> list[str]:
    """What was typed for an option, cut at spaces that are not within quotes; quotes stay, for YAML to read.

    Raises: ConfigError naming the option where a quote is not closed.

    >>> split_words("--train-args", ["optim.lr=3e-4 augment.noise.folder='/my noise'", "seed=2"])
    ['optim.lr=3e-4', "augment.noise.folder='/my noise'", 'seed=2']
    """
    words = []
    for text in typed:
        if _WORD.sub("", text).strip():
            raise ConfigError(
                f'{option}: a quote is not closed in "{text}"; a value with a quote in it goes in quotes of the other kind.'
            )
        words += _WORD.findall(text)
    return words


def apply_overrides(document: Document, overrides: Iterable[str]) -> Document:
    """The document with `path.to.key=value` words laid over it; values are read as YAML.

    Words are cut at spaces (`split_words`), so that `sparse={type:msrs,epochs:2}` means what it says here, though
    YAML wants a space behind a colon.

    Raises: ConfigError where a word has no `=`, or a path leads through something that is not a mapping.
    """
    result = Document(_copy(document.values), dict(document.lines), document.source)
    for word in overrides:
        path, equals, text = word.partition("=")
        where = f"override {word!r}"
        if not equals or not path:
            raise ConfigError(f"{where}: expected path.to.key=value, for example optim.lr=3e-4.")
        if text.startswith("{"):
            text = _KEY.sub(_SPACED, text)
        value = parse_document(f"value: {text}", where).values["value"]
        *parents, key = path.split(".")
        target = result.values
        for i, parent in enumerate(parents, start=1):
            if target.get(parent) is None:
                target[parent] = {}
                result.lines[".".join(parents[:i])] = where
            target = target[parent]
            if not isinstance(target, dict):
                raise ConfigError(f"{where}: {parent} is a value, not a group of keys.")
        if key == "type" and target.get("type") not in (None, value):
            target.clear()  # the keys of another part of the family have no meaning for this one
        target[key] = value
        result.lines[path] = where
    return result


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value


def build(cls: type[T], document: Document) -> T:
    """An instance of the `@config` dataclass `cls`. Raises: ConfigError that lists every mistake, one a line."""
    try:
        return pydantic.TypeAdapter(cls).validate_python(document.values)
    except pydantic.ValidationError as error:
        raise ConfigError("\n".join(_explain(cls, document, item) for item in error.errors())) from None


def load(cls: type[T], path: str | Path, overrides: Iterable[str] = ()) -> T:
    """`cls` from a YAML file with overrides laid over it. Raises: ConfigError."""
    return build(cls, apply_overrides(load_document(path), overrides))


def to_dict(instance: Any) -> dict[str, Any]:
    """The complete configuration as plain values, defaults included; `build` on it gives an equal instance."""
    return pydantic.TypeAdapter(type(instance)).dump_python(instance, mode="json")


def to_yaml(instance: Any) -> str:
    """The complete configuration as YAML text in the order of the dataclass's fields."""
    return yaml.safe_dump(to_dict(instance), sort_keys=False, allow_unicode=True)


def fixed(instance: Any) -> dict[str, Any]:
    """As `to_dict` without the options marked `Free`: all that decides what is computed."""
    return _fixed(instance, to_dict(instance))


def _fixed(instance: Any, values: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(instance):
        if FREE not in getattr(field.type, "__metadata__", ()):
            value, plain = getattr(instance, field.name), values[field.name]
            found[field.name] = _fixed(value, plain) if dataclasses.is_dataclass(value) else plain
    return found


def differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """A word on each key in which two configurations differ; a part of another type is told as such alone.

    >>> differences({"lr": 0.1, "net": {"type": "a", "size": 3}}, {"lr": 0.2, "net": {"type": "b"}})
    ['lr was 0.1, is 0.2', 'net.type was a, is b']
    """
    keys = list(dict.fromkeys([*before, *now]))
    if before.get("type") != now.get("type"):
        keys = ["type"]
    found = []
    for key in keys:
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} was {_shown(old)}, is {_shown(new)}")
    return found


def _shown(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()


def _explain(cls: type, document: Document, item: dict[str, Any]) -> str:
    """One line for one pydantic error; the location's union tags are left out of the dotted path."""
    keys: list[str] = []
    owner: Any = cls
    values: Any = document.values
    for i, step in enumerate(item["loc"]):
        present = (
            step in values if isinstance(values, dict) else isinstance(values, list) and step in range(len(values))
        )
        last = i == len(item["loc"]) - 1
        fields = getattr(owner, "__dataclass_fields__", {})
        if present or step in fields or last and item["type"] == "unexpected_keyword_argument":
            keys.append(str(step))
            if step in fields and not (last and item["type"] == "unexpected_keyword_argument"):
                owner = fields[step].type
            values = (values or {}).get(step) if isinstance(values, dict) else values[step] if present else None
        else:  # a tag: the name of the union's member
            owner = next((c for c in _members(owner) if _tag_of(c) == step), owner)
    path = ".".join(keys)
    where = document.where(path)
    if item["type"] == "missing":
        if isinstance(item["loc"][-1], int):
            return f"{where}: {path}: expected more values, given {item['input']!r}."
        return f"{where}: {path} is missing."
    if item["type"] == "unexpected_keyword_argument":
        known = list(getattr(owner, "__dataclass_fields__", {}))
        near = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}." if known else "."
        return f"{where}: {path} is not a key of {_name(owner)}{hint}"
    if item["type"].startswith("union_tag"):
        known = [_tag_of(member) for member in _members(owner)]
        given = item["input"].get("type") if isinstance(item["input"], dict) else item["input"]
        if given is None:
            return f"{where}: {path} needs a `type:`, one of {', '.join(known)}."
        near = difflib.get_close_matches(str(given).lower(), known, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        return f"{document.where(path + '.type')}: {path}.type is {given!r}, expected one of {', '.join(known)}{hint}"
    expected = item["msg"].removeprefix("Value error, ")
    if item["type"] == "tuple_type":
        expected = f"expected a list, such as [{item['input']}]"
    elif item["type"] in ("dataclass_type", "model_attributes_type"):  # the latter: one of several, by its type
        example = "key: value" if item["type"] == "dataclass_type" else f"type: {item['input'] or 'NAME'}"
        expected = f"expected a group of options, such as {{{example}}}"
    return f"{where}: {path or 'configuration'}: {expected}, given {item['input']!r}."


def _members(annotation: Any) -> list[type]:
    if getattr(annotation, "__metadata__", None):
        annotation = annotation.__origin__
    arguments = [a for a in getattr(annotation, "__args__", ()) if a not in (type(None), ...)]
    members = [member for argument in arguments for member in (_members(argument) or [argument])]
    return members or ([annotation] if dataclasses.is_dataclass(annotation) else [])


def _tag_of(cls: type) -> str:
    field = getattr(cls, "__dataclass_fields__", {}).get("type")
    return str(field.default) if field else getattr(cls, "__name__", str(cls))  # a Literal has plain values


def _name(owner: Any) -> str:
    members = _members(owner)
    owner = members[0] if len(members) == 1 else owner
    name = getattr(owner, "__qualname__", "the configuration")
    return name.removesuffix(".Config").removesuffix("Config") or "the configuration"
