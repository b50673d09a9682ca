#!/usr/bin/env python3
"""Every fast path of training on a device, against the plain one in float64 on the CPU: losses, gradients, updates.

tools/bench/paths.py --device cuda
"""

import argparse
import copy
import dataclasses
import json
import statistics
import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from msrs.command import CommandParser, run_command
from msrs.data.dataset import Batch
from msrs.models.recogniser import Recogniser, RecogniserConfig
from msrs.nets.conformer import Conformer
from msrs.nets.ctc import CTCHead
from msrs.nets.transformer_decoder import TransformerDecoder
from msrs.optim.optimizers import OptimizerConfig, make_optimizer

# Largest relative difference of the gradients that is still rounding.
TOLERANCES = {"float32": 1e-3, "bfloat16": 0.3}
FRAMES, SIDE_PX = (20, 11, 15), 48
# A ReLU that rounding carries over its kink turns a small batch's gradient by 1e-3: the median of several batches counts.
NUM_BATCHES = 3
V = 20


def make_model(**options: object) -> Recogniser:
    """A small recogniser with all parts of the full one and no dropout."""
    torch.manual_seed(0)
    same = {"size": 64, "num_heads": 4, "feed_forward_size": 128, "dropout": 0.0, "attention_dropout": 0.0, **options}
    parts = {
        "encoder": Conformer.Config(**same, num_blocks=3, norm_eps=1e-5),
        "decoder": TransformerDecoder.Config(**same, num_blocks=2),
        "ctc": CTCHead.Config(dropout=0.0),
        "ctc_weight": 0.3,
    }
    return Recogniser(RecogniserConfig(**parts), "audiovisual", V)


def make_batch(dtype: torch.dtype, seed: int = 1) -> Batch:
    """Three clips of different length."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(FRAMES)
    names = [str(frames) for frames in FRAMES]
    video = torch.randn(len(FRAMES), max(FRAMES), SIDE_PX, SIDE_PX, generator=generator).to(dtype)
    audio = torch.randn(len(FRAMES), max(FRAMES) * 640, generator=generator).to(dtype)
    for row, frames in enumerate(FRAMES):
        video[row, frames:], audio[row, frames * 640 :] = 0.0, 0.0
    tokens = torch.randint(1, V - 1, (len(FRAMES), 5), generator=generator)
    return Batch(names, names, tokens, torch.tensor([5, 3, 4]), video, lengths, audio, lengths * 640)


def gradients(model: Recogniser, batch: Batch, precision: str = "") -> tuple[float, Tensor]:
    """The loss, and all gradients as one float64 vector on the CPU."""
    device = next(model.parameters()).device.type
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
        loss = model(batch).total
    loss.backward()
    return float(loss.detach()), torch.cat([p.grad.detach().double().cpu().flatten() for p in model.parameters()])


def compare_gradients(device: str, with_compiled: bool) -> list[dict[str, object]]:
    """A row a path: relative difference of loss and gradients, medians over the batches."""
    seeds = range(1, NUM_BATCHES + 1)
    references = [gradients(make_model().double(), make_batch(torch.float64, seed)) for seed in seeds]
    paths = [(name, precision) for precision in TOLERANCES for name in ("plain", "checkpoint", "compiled")]
    rows = []
    for name, precision in paths:
        if name == "compiled" and not with_compiled:
            continue
        model = make_model(checkpoint=name == "checkpoint").to(device)
        if name == "compiled":
            for block in (*model.video_encoder.blocks, *model.audio_encoder.blocks, *model.decoder.blocks):
                block.compile(dynamic=False)
        errors, loss_errors = [], []
        for seed, (reference_loss, reference) in zip(seeds, references, strict=True):
            model.zero_grad()
            loss, found = gradients(model, make_batch(torch.float32, seed).to(device), precision)
            errors.append(float((found - reference).norm() / reference.norm()))
            loss_errors.append(abs(loss - reference_loss) / reference_loss)
        error = statistics.median(errors)
        rows.append({
            "path": f"{name}, {precision}", "loss_error": statistics.median(loss_errors), "error": error,
            "largest_error": max(errors), "tolerance": TOLERANCES[precision], "is_equal": error < TOLERANCES[precision],
        })  # fmt: skip
    return rows


def compare_updates(device: str) -> dict[str, object]:
    """The fused optimiser against the plain one in float64, after five updates with the same gradients."""
    torch.manual_seed(0)
    plain = nn.Linear(40, 30).double()
    fast = copy.deepcopy(plain).float().to(device)
    optimizers = [make_optimizer(model, OptimizerConfig()) for model in (plain, fast)]
    start = torch.cat([p.detach().flatten() for p in plain.parameters()])
    for _ in range(5):
        for p, q in zip(plain.parameters(), fast.parameters()):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.to(q)
        for optimizer in optimizers:
            optimizer.step()
    ends = [torch.cat([p.detach().double().cpu().flatten() for p in model.parameters()]) for model in (plain, fast)]
    error = float((ends[1] - ends[0]).norm() / (ends[0] - start).norm())
    return {"path": "update, float32", "error": error, "tolerance": 1e-3, "is_equal": error < 1e-3}


def compare_steps(device: str) -> dict[str, object]:
    """The decoder a token at a time on the device against whole sentences in float64."""
    model = make_model().double().eval()
    batch = make_batch(torch.float64)
    with torch.no_grad():
        memory, lengths = model.encode(batch)
        tokens = torch.cat([torch.full((len(batch), 1), V - 1), batch.tokens], 1)
        whole = model.decoder(tokens, torch.full((len(batch),), tokens.shape[1]), memory, lengths).log_softmax(-1)
        fast = copy.deepcopy(model).float().to(device)
        memory, lengths = fast.encode(dataclasses.replace(make_batch(torch.float32)).to(device))
        state = fast.decoder.prepare(memory, lengths)
        steps = []
        for place in range(tokens.shape[1]):
            log_probs, state = fast.decoder.step(tokens[:, place : place + 1].to(device), state)
            steps.append(log_probs[:, 0])
    error = float((torch.stack(steps, 1).double().cpu() - whole).abs().max())
    return {"path": "decoder by steps, float32", "error": error, "tolerance": 1e-3, "is_equal": error < 1e-3}


def work(options: argparse.Namespace) -> int:
    """Compare and print. Returns: 1 where a path differs by more than rounding."""
    torch.backends.cudnn.allow_tf32 = False
    rows = compare_gradients(options.device, not options.no_compile)
    rows += [compare_updates(options.device), compare_steps(options.device)]
    for row in rows:
        print(
            f"{row['path']:28}{row['error']:12.3g} of {row['tolerance']:g}  {'equal' if row['is_equal'] else 'DIFFERS'}"
        )
    print(json.dumps({"device": options.device, "paths": rows}))
    return 0 if all(row["is_equal"] for row in rows) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    parser = CommandParser("tools/bench/paths.py", "Fast paths against float64 on the CPU.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda", help="where the fast paths run")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    return run_command(parser, work, argv)


if __name__ == "__main__":
    sys.exit(main())
