"""Units of a network that can go as a whole: feed-forward units, attention heads, convolution channels.

Found by what modules are made of, so the model's files know nothing of it: a Sequential with two Linear layers; a
module with `query`, `key`, `value`, `out` and `num_heads`; a module with `expand`, `depthwise`, `norm`, `contract`.
"""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Part:
    """Rows (entries of dimension 0) of a tensor that belong to units: `copies` stacks of `width` rows a unit."""

    name: str
    width: int = 1
    copies: int = 1

    def rows(self, keep: Tensor) -> Tensor:
        """Bool over the rows. Args: keep (units,) bool."""
        return keep.repeat_interleave(self.width).repeat(self.copies)


@dataclass(frozen=True)
class UnitGroup:
    """Units that stand side by side. Fields: module, its name; kind; count of units; outgoing, the matrix whose columns
    (`width` a unit) carry their output; incoming, what makes them up (parameters and buffers)."""

    module: str
    kind: str
    count: int
    outgoing: str
    width: int
    incoming: tuple[Part, ...]

    def cost(self, model: nn.Module) -> int:
        """Parameters of one unit."""
        parameters = dict(model.named_parameters())
        size = sum(parameters[part.name].numel() for part in self.incoming if part.name in parameters)
        return (size + parameters[self.outgoing].numel()) // self.count


def find_units(model: nn.Module) -> list[UnitGroup]:
    """All groups of a model, in the order of its modules.

    Heads of a decoder's self-attention are left alone: its step-by-step cache has the same heads in every block.
    """
    groups = []
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, nn.Sequential):
            groups += _feed_forward(prefix, module)
        elif all(hasattr(module, part) for part in ("query", "key", "value", "out", "num_heads")):
            if not keeps_its_heads(prefix):
                groups.append(_heads(prefix, module))
        elif all(hasattr(module, part) for part in ("expand", "depthwise", "norm", "contract")):
            groups.append(_channels(prefix, module))
    return groups


def keeps_its_heads(name: str) -> bool:
    """Whether a module or parameter is of a decoder's self-attention."""
    return name.startswith("decoder.") and "self_attention" in name


def _feed_forward(prefix: str, module: nn.Sequential) -> list[UnitGroup]:
    layers = [(key, layer) for key, layer in module.named_children() if isinstance(layer, nn.Linear)]
    if len(layers) != 2 or layers[0][1].out_features != layers[1][1].in_features:
        return []
    (first, layer), (second, _) = layers
    incoming = [Part(f"{prefix}{first}.{name}") for name, _ in layer.named_parameters()]
    return [UnitGroup(prefix[:-1], "feed_forward", layer.out_features, f"{prefix}{second}.weight", 1, tuple(incoming))]


def _heads(prefix: str, module: nn.Module) -> UnitGroup:
    heads, width = module.num_heads, module.out.in_features // module.num_heads
    incoming = []
    for child in ("query", "key", "value", "position"):
        if hasattr(module, child):
            incoming += [Part(f"{prefix}{child}.{n}", width) for n, _ in getattr(module, child).named_parameters()]
    incoming += [Part(f"{prefix}{n}") for n, p in module.named_parameters(recurse=False) if len(p) == heads]
    return UnitGroup(prefix[:-1], "heads", heads, f"{prefix}out.weight", width, tuple(incoming))


def _channels(prefix: str, module: nn.Module) -> UnitGroup:
    channels = module.contract.weight.shape[1]
    copies = module.expand.weight.shape[0] // channels  # 2 before a gated linear unit
    incoming = [Part(f"{prefix}expand.{n}", 1, copies) for n, _ in module.expand.named_parameters()]
    incoming += [Part(f"{prefix}depthwise.{n}") for n, _ in module.depthwise.named_parameters()]
    state = [*module.norm.named_parameters(), *module.norm.named_buffers()]
    incoming += [Part(f"{prefix}norm.{n}") for n, value in state if value.dim() == 1]
    return UnitGroup(prefix[:-1], "channels", channels, f"{prefix}contract.weight", 1, tuple(incoming))


def live_units(group: UnitGroup, state: dict[str, Tensor]) -> Tensor:
    """Bool (units,): those whose outgoing columns are not all zero."""
    columns = state[group.outgoing].flatten(1).ne(0).any(0)
    return columns.view(group.count, group.width).any(1)


def spread_columns(values: Tensor, width: int, num_dims: int) -> Tensor:
    """Values of units over the outgoing matrix's columns, as a view that broadcasts over its rows."""
    columns = values.repeat_interleave(width) if width > 1 else values
    return columns.view(1, -1, *[1] * (num_dims - 2))


def sum_columns(values: Tensor, width: int) -> Tensor:
    """A matrix summed over its rows and over each unit's columns. Returns: (units,)."""
    columns = values.flatten(1).sum(0)
    return columns.view(-1, width).sum(1) if width > 1 else columns
