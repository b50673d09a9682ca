"""What a model does on the development set: losses, greedy errors, the vision gap, a few utterances to read."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator

import torch

from msrs.data.dataset import Batch
from msrs.models.losses import Losses
from msrs.models.recogniser import Recogniser
from msrs.score.edit import count_errors
from msrs.search.greedy import ctc_greedy

# What each number of a batch is the mean over; the decoder's targets are the tokens and an end for each utterance.
MEAN_OVER = {"ctc": "tokens", "attention": "targets", "accuracy": "targets", "blank_share": "frames"}


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the mode before is restored."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def permute_videos(batch: Batch) -> Batch:
    """Give every utterance its neighbour's video, cut or padded to its own length; sound and text stay."""
    video = batch.video.roll(1, dims=0).clone()
    for row, length in zip(video, batch.video_lengths.tolist(), strict=True):
        row[length:] = 0.0
    return dataclasses.replace(batch, video=video)


def validate(
    model: Recogniser,
    batches: Iterable[Batch],
    decode: Callable[[list[int]], str],
    show: int,
    gather: Callable[[tuple], list[tuple]] = lambda own: [own],
    num_own: int | None = None,
) -> tuple[dict[str, float], list[tuple[str, str, str]]]:
    """Losses in nats a token, greedy CTC word and character errors, vision gap.

    The vision gap is the loss with the videos exchanged within each batch minus the loss: zero while the model
    speaks without looking. A batch of one utterance cannot be exchanged and is left out of both.
    Args: show, utterances to give back; gather, brings together what processes found that have other batches each;
    num_own, where these have to make the same passes: how many of the batches count, while the rest keeps company.
    Returns: numbers by name; the first `show` utterances as (utt_id, reference, hypothesis).
    """
    sums: dict[str, float] = {}
    seen: dict[str, float] = {}  # the same of what can be exchanged,
    exchanged: dict[str, float] = {}  # and of that with the other videos
    texts: list[tuple[str, str, str]] = []
    with evaluating(model):
        for number, batch in enumerate(batches):
            memory, lengths = model.encode(batch)
            losses = model.losses(batch, memory, lengths)
            if batch.video is not None and (len(batch) > 1 or num_own is not None):
                exchanged_losses = model(permute_videos(batch))
            if num_own is not None and number >= num_own:
                continue
            _add(sums, losses, len(batch), int(lengths.sum()))
            if batch.video is not None and len(batch) > 1:
                _add(seen, losses, len(batch), int(lengths.sum()))
                _add(exchanged, exchanged_losses, len(batch), int(lengths.sum()))
            hypotheses = ctc_greedy(model.ctc, memory, lengths)
            # The reference is what the tokenizer makes of it, so that case and punctuation are those of the hypothesis.
            references = [row[:length].tolist() for row, length in zip(batch.tokens, batch.token_lengths, strict=True)]
            rows = zip(batch.utt_ids, references, hypotheses, strict=True)
            texts += [(utt_id, decode(reference), decode(tokens)) for utt_id, reference, tokens in rows]
    found = gather((sums, seen, exchanged, texts))
    sums, seen, exchanged = (_total([row[i] for row in found]) for i in range(3))
    texts = [text for row in found for text in row[3]]
    metrics = _means(sums, model.config.ctc_weight)
    if exchanged:
        metrics["vision_gap"] = (
            _means(exchanged, model.config.ctc_weight)["loss"] - _means(seen, model.config.ctc_weight)["loss"]
        )
    texts.sort()
    references, hypotheses = [text for _, text, _ in texts], [hypothesis for _, _, hypothesis in texts]
    for name, unit in (("wer", "words"), ("cer", "characters")):
        metrics[name] = count_errors(references, hypotheses, unit).rate or 0.0
    return metrics, texts[:show]


def _add(sums: dict[str, float], losses: Losses, num_utterances: int, num_frames: int) -> None:
    counts = {"tokens": losses.num_tokens, "targets": losses.num_tokens + num_utterances, "frames": num_frames}
    for name, counted in MEAN_OVER.items():
        if (value := getattr(losses, name)) is not None:
            sums[name] = sums.get(name, 0.0) + float(value) * counts[counted]
    for name, count in counts.items():
        sums[name] = sums.get(name, 0.0) + count


def _total(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(own.get(name, 0.0) for own in found) for own in found for name in own}


def _means(sums: dict[str, float], ctc_weight: float) -> dict[str, float]:
    """The loss and the numbers of `MEAN_OVER`."""
    means = {name: sums[name] / max(1, sums[counted]) for name, counted in MEAN_OVER.items() if name in sums}
    weight = ctc_weight if "attention" in means else 1.0
    return {"loss": weight * means["ctc"] + (1.0 - weight) * means.get("attention", 0.0), **means}
