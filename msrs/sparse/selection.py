"""Which parameters a sparse method works on, told by name patterns and by what owns them."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from msrs.errors import ConfigError

BLOCKS = (
    "encoder.blocks.*",
    "encoder.layers.*",  # the recurrent encoder's matrices
    "video_encoder.blocks.*",
    "video_encoder.layers.*",
    "audio_encoder.blocks.*",
    "audio_encoder.layers.*",
    "decoder.blocks.*",
)
FRONTENDS = ("*frontend.*",)

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NEVER = (nn.Embedding, nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


def choose_parameters(
    model: nn.Module, include: Sequence[str], exclude: Sequence[str] = (), frontends: bool = False
) -> dict[str, nn.Parameter]:
    """The trainable matrices whose names match, in the model's order; a tied parameter comes once, by its first name.

    Matrices are weights of two or more dimensions; convolutions count where their kernel is 1 and ungrouped, those of
    a front-end whatever their kernel. Norms, biases, embeddings and depthwise kernels are never chosen.
    Raises: ConfigError where a pattern that the user wrote matches no such matrix, or nothing is chosen.
    """
    owners = {f"{prefix}.{name}".lstrip("."): module for prefix, module in model.named_modules() for name in
              dict(module.named_parameters(recurse=False))}  # fmt: skip
    patterns = [*include, *(FRONTENDS if frontends else ())]
    matrices = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and _is_matrix(name, parameter, owners.get(name), _matches(name, FRONTENDS))
    }
    chosen = {n: p for n, p in matrices.items() if _matches(n, patterns) and not _matches(n, exclude)}
    idle = [] if tuple(include) == BLOCKS else [p for p in include if not any(fnmatchcase(n, p) for n in matrices)]
    idle += [p for p in exclude if not any(fnmatchcase(n, p) for n in owners)]
    if idle or not chosen:
        what = f"the pattern {idle[0]!r} names no matrix" if idle else "no matrix is chosen"
        shown = ", ".join(list(matrices)[:6]) or "none"
        raise ConfigError(
            f"sparse: {what} of this model; set sparse.include and sparse.exclude to patterns such as "
            f"'encoder.blocks.*'. Matrices of the model: {shown}{', ...' if len(matrices) > 6 else ''}."
        )
    return chosen


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_matrix(name: str, parameter: torch.Tensor, owner: nn.Module | None, in_frontend: bool) -> bool:
    last = name.rpartition(".")[2]
    if parameter.dim() < 2 or "weight" not in last or isinstance(owner, _NEVER):
        return False
    if isinstance(owner, _CONVOLUTIONS):
        return owner.groups == 1 and (in_frontend or set(owner.kernel_size) == {1})
    return True


def layer_of(name: str) -> str:
    """The block that a parameter belongs to: the name up to its first number, else its first two parts.

    >>> layer_of("encoder.blocks.3.attention.query.weight"), layer_of("frontend.conv.weight")
    ('encoder.blocks.3', 'frontend.conv')
    """
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return ".".join(parts[: number + 1] if number is not None else parts[: min(2, len(parts) - 1)])


def kind_of(name: str) -> str:
    """The module's type, the same in every block: the name after its first number, without `weight`.

    >>> kind_of("encoder.blocks.3.attention.query.weight"), kind_of("decoder.blocks.0.feed_forward.3.weight")
    ('attention.query', 'feed_forward.3')
    """
    rest = name[len(layer_of(name)) + 1 :]
    return rest.removesuffix(".weight") or rest
