"""A physically narrower dense model: units whose outgoing weights are all zero are cut out."""

from torch import Tensor, nn

from msrs.sparse.units import UnitGroup, find_units, live_units


def narrow(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Cut dead units out of `model`, in place; its outputs in evaluation stay what they were.

    For a model in which a neuron mask stands (`finish: sparse`); one unit of each group stays in any case.
    Returns: module name -> (units left, units before), for the groups that shrank.
    """
    state = dict(model.named_parameters())
    result = {}
    for group in find_units(model):
        keep = live_units(group, state)
        keep[0] |= not bool(keep.any())
        if not bool(keep.all()):
            _cut(model, group, keep)
            result[group.module] = (int(keep.sum()), group.count)
    return result


def fit_to_state(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Give a model built at full width the widths of a narrowed model's state dict, in place, so that it loads.

    Nothing happens where the widths agree already; the values of what is left mean nothing until they are loaded.
    """
    for group in find_units(model):
        if group.outgoing not in state:
            continue
        count = state[group.outgoing].shape[1] // group.width
        if 0 < count < group.count:
            keep = next(model.parameters()).new_zeros(group.count).bool()
            keep[:count] = True
            _cut(model, group, keep)


def _cut(model: nn.Module, group: UnitGroup, keep: Tensor) -> None:
    """Keep the given units of a group."""
    columns = keep.repeat_interleave(group.width)
    _set(model, group.outgoing, model.get_parameter(group.outgoing).data[:, columns])
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    for part in group.incoming:
        _set(model, part.name, tensors[part.name].data[part.rows(keep.to(tensors[part.name].device))])
    module = model.get_submodule(group.module)
    if group.kind == "heads":
        module.num_heads = int(keep.sum())
    for child in module.modules():
        if isinstance(child, nn.Linear):
            child.out_features, child.in_features = child.weight.shape
        elif isinstance(child, nn.Conv1d) and child.groups > 1:
            child.in_channels = child.out_channels = child.groups = len(child.weight)
        elif isinstance(child, nn.modules.batchnorm._BatchNorm):
            child.num_features = len(child.running_mean)


def _set(model: nn.Module, name: str, values: Tensor) -> None:
    """Put other values, of any shape, under a parameter's or buffer's name."""
    owner, _, leaf = name.rpartition(".")
    module = model.get_submodule(owner)
    values = values.clone()
    if leaf in module._parameters:
        setattr(module, leaf, nn.Parameter(values, requires_grad=module._parameters[leaf].requires_grad))
    else:
        module._buffers[leaf] = values
