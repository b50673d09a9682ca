"""Weights of earlier runs as the beginning of another: what fits is taken, what does not is told."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from msrs.errors import StageError, TrainingError
from msrs.files import read_lines
from msrs.log import LOGGER
from msrs.train.checkpoint import load_weights

HEADS = ("ctc.output.", "decoder.embedding.", "decoder.output.")  # a row a token
STREAMS = ("video", "audio")
SHOWN = 8


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

    Raises: StageError where the folder holds no trained model; TrainingError where the file holds no weights.
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
    except TrainingError as error:
        raise TrainingError(f"--init {error}") from None
    tokens = path.parent.parent / "tokens/tokens.txt"
    return Source(path, weights, read_lines(tokens) if tokens.exists() else None)


def initialise(model: nn.Module, sources: Sequence[Source], tokens: Sequence[str]) -> None:
    """Copy into the model all that one of the sources has, the first that has it; report the rest.

    Args: tokens, one an output of the model. Where a source has others, its heads are not taken: their rows mean
    something else. Raises: TrainingError where nothing fits.
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
                    counts[number] += value.numel()
                    break
                reasons.append(reason)
            else:
                fresh[name] = next((reason for reason in reasons if reason != "absent"), "absent")
    total = sum(value.numel() for value in own.values())
    for number, source in enumerate(sources):
        LOGGER.info("begins from %s: %.1f %% of the weights", source.path, 100 * counts[number] / total)
        if not counts[number]:
            raise TrainingError(f"--init {source.path}: nothing in it fits this model; it is of another kind or size.")
    _report_fresh(fresh)


def _fitting(
    source: Source, name: str, value: Tensor, streams: Sequence[str], tokens: Sequence[str]
) -> tuple[str, Tensor | None]:
    found = source.find(name, streams)
    if found is None:
        return "absent", None
    if name.startswith(HEADS) and source.tokens is not None and source.tokens != list(tokens):
        return "other tokens", None
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
    if any(reason != "absent" and name.startswith(HEADS) for name, reason in fresh.items()):
        LOGGER.warning(
            "The tokens are not those of --init: its output layers and token embeddings are not taken over and have to be "
            "learned anew. To keep them, train with its tokenizer (stage 3 is then not needed: copy its tokens folder)."
        )
