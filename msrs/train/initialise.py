"""Weights of earlier runs as the beginning of another: what fits is taken, what does not is told."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from msrs.errors import DataError, StageError, TrainingError
from msrs.files import read_lines
from msrs.log import LOGGER
from msrs.train.checkpoint import load_weights

HEADS = ("ctc.output.", "decoder.embedding.", "decoder.output.")  # a row a token
STREAMS = ("video", "audio")
SHOWN = 8
OTHER_TOKENS = "other tokens"
LEAST_SHARE = 0.01  # of the weights, that all sources together have to give


@dataclasses.dataclass
class Source:
    """Weights to begin from."""

    path: Path
    weights: dict[str, Tensor]
    tokens: list[str] | None  # None: not known

    @property
    def streams(self) -> list[str]:
        """What the model that had them takes in."""
        return [s for s in STREAMS if any(name.startswith(f"{s}_frontend.") for name in self.weights)]

    def find(self, name: str, streams: Sequence[str]) -> Tensor | None:
        """What stands for parameter `name` of a model of `streams`.

        The encoder of a model of one stream is that stream's encoder in a model with one for each, and the reverse.
        """
        for stream in STREAMS if name not in self.weights else ():
            if name.startswith(f"{stream}_encoder.") and self.streams == [stream]:
                return self.weights.get(name.removeprefix(f"{stream}_"))
            if name.startswith("encoder.") and list(streams) == [stream]:
                return self.weights.get(f"{stream}_{name}")
        return self.weights.get(name)


def read_source(path: str | Path) -> Source:
    """Weights of an experiment folder (those of its `average`) or of a checkpoint file.

    Raises: StageError where the folder holds no trained model; TrainingError where the file holds no weights; DataError
    where it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "checkpoints/average.pt").exists():
            raise StageError(
                f"--init {path}: no checkpoints/average.pt in it; name an experiment that has ended, or a file."
            )
        path = path / "checkpoints/average.pt"
    if not path.exists():
        raise StageError(
            f"--init {path}: there is no such file or folder; name an experiment that has ended, or a file."
        )
    try:
        weights = load_weights(path)
    except (DataError, TrainingError) as error:
        raise type(error)(f"--init {error}") from None
    tokens = path.parent.parent / "tokens/tokens.txt"
    return Source(path, weights, read_lines(tokens) if tokens.exists() else None)


def initialise(model: nn.Module, sources: Sequence[Source], tokens: Sequence[str]) -> None:
    """Copy into the model all that one of the sources has, the first that has it; report the rest.

    Args: tokens, one an output of the model. Where a source has others, its heads are not taken: their rows mean
    something else. Raises: TrainingError where next to nothing of a source fits; biases, scales and counters, which are
    often as long in models of other sizes, do not count.
    """
    streams = [s for s in STREAMS if hasattr(model, f"{s}_frontend")]
    own = model.state_dict()
    counts = dict.fromkeys(range(len(sources)), 0)
    fresh: dict[str, str] = {}
    with torch.no_grad():
        for name, value in own.items():
            reasons = []
            for number, source in enumerate(sources):
                reason, found = _fitting(source, name, value, streams, tokens)
                if found is not None:
                    value.copy_(found)
                    counts[number] += _num_weights(value)
                    break
                reasons.append(reason)
            else:
                fresh[name] = next((reason for reason in reasons if reason != "absent"), "absent")
    total = sum(map(_num_weights, own.values()))
    share = sum(counts.values()) / total
    for number, source in enumerate(sources):
        LOGGER.info("begins from %s: %.1f %% of the weights", source.path, 100 * counts[number] / total)
        # A front-end may be all that is wanted of one of several, and a small part of the model.
        if not counts[number] or share < LEAST_SHARE:
            raise TrainingError(
                f"--init {source.path}: {'next to ' if counts[number] else ''}nothing in it fits this model; it is of another "
                f"kind or size. Its config.yaml has the options under model: that made it."
            )
    if share < 0.5:
        LOGGER.warning("--init gives less than half of the weights (%.1f %%): is it of another size?", 100 * share)
    _report_fresh(fresh)


def _num_weights(value: Tensor) -> int:
    return value.numel() if value.is_floating_point() and value.dim() > 1 else 0


def _fitting(
    source: Source, name: str, value: Tensor, streams: Sequence[str], tokens: Sequence[str]
) -> tuple[str, Tensor | None]:
    found = source.find(name, streams)
    if found is None:
        return "absent", None
    are_others = source.tokens is not None and source.tokens != list(tokens)
    if name.startswith(HEADS) and (are_others or found.shape[:1] != value.shape[:1]):
        return OTHER_TOKENS, None
    if found.shape != value.shape:
        return f"{tuple(found.shape)} there, {tuple(value.shape)} here", None
    return "", found


def _report_fresh(fresh: dict[str, str]) -> None:
    groups: dict[tuple[str, str], int] = {}
    for name, reason in fresh.items():
        key = (".".join(name.split(".")[:2]), reason)
        groups[key] = groups.get(key, 0) + 1
    lines = [f"{part} ({reason})" for part, reason in groups]
    if len(lines) > SHOWN:
        lines = [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"]
    if lines:
        LOGGER.info("left as they are at random: %s", ", ".join(lines))
    if OTHER_TOKENS in fresh.values():
        LOGGER.warning(
            "The tokens are not those of --init: its output layers and token embeddings are not taken over and have to be "
            "learned anew. To keep them, train with its tokenizer (stage 3 is then not needed: copy its tokens folder)."
        )
