"""Tables of parts: a name in YAML picks a class, whose `Config` dataclass checks the rest."""

import functools
import operator
from collections.abc import Iterator
from typing import Annotated, Any

import pydantic

from msrs.errors import ConfigError


class Registry:
    """A family's table: `type:` name -> class. Each class carries a `Config` whose field `type` is that name.

    Args: kind, the family's word for messages; classes in the order in which they are listed to users.
    """

    def __init__(self, kind: str, *classes: type):
        self.kind = kind
        self.classes = {cls.Config.__dataclass_fields__["type"].default: cls for cls in classes}

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __getitem__(self, name: str) -> type:
        if name not in self.classes:
            raise ConfigError(f"{name!r} is not a {self.kind}; known: {', '.join(self.classes)}.")
        return self.classes[name]

    def build(self, config: Any, *args: Any, **kwargs: Any) -> Any:
        """The part that `config` (an instance of one of the family's Config classes) describes."""
        return self[config.type](config, *args, **kwargs)

    def config_type(self) -> Any:
        """Annotation for a dataclass field that takes any of the family's configurations, told apart by `type`."""
        configs = tuple(cls.Config for cls in self.classes.values())
        return (
            configs[0]
            if len(configs) == 1
            else Annotated[functools.reduce(operator.or_, configs), pydantic.Discriminator("type")]
        )
