"""One side of the training bench: a model with its optimiser that takes steps when told to."""

import argparse
import dataclasses
import resource
import time
from collections import defaultdict

import torch
from peer import build_peer, peer_loss
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from msrs.data.dataset import Batch
from msrs.frontends.video import VideoResNet
from msrs.frontends.waveform import WaveformResNet
from msrs.memory import keep_freed_memory
from msrs.models.recogniser import Recogniser, RecogniserConfig
from msrs.nets.conformer import Conformer
from msrs.nets.transformer_decoder import TransformerDecoder
from msrs.optim.optimizers import OptimizerConfig, make_optimizer

CLIP_NORM = 10.0
FRAMES_PER_TOKEN = 4


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of either side's network."""

    size: int
    num_heads: int
    feed_forward_size: int
    num_blocks: int
    num_decoder_blocks: int
    vocabulary_size: int


def draw_batch(options: argparse.Namespace) -> Batch:
    """The batch of all sides, from the same seed."""
    generator = torch.Generator().manual_seed(0)
    shortest = max(8, round((1.0 - options.spread) * options.frames))
    lengths = torch.randint(shortest, options.frames + 1, (options.batch,), generator=generator)
    lengths[0] = options.frames
    token_lengths = lengths // FRAMES_PER_TOKEN
    highest = options.sizes.vocabulary_size - 1
    tokens = torch.randint(1, highest, (options.batch, int(token_lengths.max())), generator=generator)
    names = [str(number) for number in range(options.batch)]
    batch = Batch(names, names, tokens, token_lengths)
    if options.modality == "video":
        batch.video, batch.video_lengths = (
            torch.randn(options.batch, options.frames, 88, 88, generator=generator),
            lengths,
        )
    else:
        batch.audio = torch.randn(options.batch, options.frames * 640, generator=generator)
        batch.audio_lengths = lengths * 640
    return batch.to(options.device)


def build_ours(options: argparse.Namespace) -> Recogniser:
    """Our recogniser at the sizes asked for; dropout and losses are the peer's."""
    sizes = options.sizes
    same = {
        "size": sizes.size, "num_heads": sizes.num_heads, "feed_forward_size": sizes.feed_forward_size,
        "checkpoint": options.checkpoint,
    }  # fmt: skip
    encoder = Conformer.Config(**same, num_blocks=sizes.num_blocks)
    decoder = TransformerDecoder.Config(**same, num_blocks=sizes.num_decoder_blocks)
    frontends = {
        "video_frontend": VideoResNet.Config(checkpoint=options.checkpoint),
        "audio_frontend": WaveformResNet.Config(checkpoint=options.checkpoint),
    }
    config = RecogniserConfig(encoder=encoder, decoder=decoder, **frontends)
    return Recogniser(config, options.modality, sizes.vocabulary_size)


class Side:
    """A model, its optimiser, its batch. Args: name such as `ours bfloat16`; options of the bench."""

    def __init__(self, name: str, options: argparse.Namespace):
        torch.set_num_threads(options.threads)
        if name.startswith("ours") and options.device == "cpu":
            keep_freed_memory()  # as msrs-train does
        torch.manual_seed(0)
        self.device, self.is_ours = options.device, name.startswith("ours")
        self.autocast = torch.autocast(self.device, torch.bfloat16, enabled="bfloat16" in name)
        self.batch = draw_batch(options)
        if self.is_ours:
            self.model = build_ours(options).to(self.device)
            settings = OptimizerConfig(fused=self.device == "cuda")
            self.optimizer = make_optimizer(self.model, settings)
        else:
            sizes = dataclasses.asdict(options.sizes)
            self.model = build_peer(options.peer, options.modality, sizes, sizes.pop("vocabulary_size")).to(self.device)
            self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-3, betas=(0.9, 0.98), weight_decay=0.03)
            places = torch.arange(self.batch.tokens.shape[1], device=self.device)[None]
            self.padded = self.batch.tokens.masked_fill(places >= self.batch.token_lengths[:, None], -1)
        if name.endswith("compiled"):
            for block in (*self.model.encoder.blocks, *self.model.decoder.blocks):
                block.compile(dynamic=False)
        self.num_parameters = sum(parameter.numel() for parameter in self.model.parameters())

    def loss(self) -> Tensor:
        """The training objective of the batch."""
        with self.autocast:
            if self.is_ours:
                return self.model(self.batch).total
            values = self.batch.video if self.batch.video is not None else self.batch.audio
            lengths = self.batch.video_lengths if self.batch.video is not None else self.batch.audio_lengths
            return peer_loss(self.model, values, lengths, self.padded)

    def step(self) -> None:
        """Forward, backward, clipping, update."""
        self.optimizer.zero_grad()
        self.loss().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()

    def clock(self) -> float:
        """Seconds: of the processor on a CPU, where other programs do not count; on the wall for a GPU."""
        if self.device == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def turn(self, num_steps: int) -> dict[str, object]:
        """Some steps. Returns: `seconds` of each; `peak_megabytes`, of the allocator on a GPU, else of the process."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.step()  # fills the allocator, which the last turn has emptied
        seconds = []
        for _ in range(num_steps):
            start = self.clock()
            self.step()
            seconds.append(self.clock() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if self.device == "cuda":
            peak = torch.cuda.max_memory_allocated() / 2**20
            torch.cuda.empty_cache()  # the other side's turn
        return {"seconds": seconds, "peak_megabytes": peak, "matmul_rate": self.matmul_rate()}

    def matmul_rate(self) -> float:
        """Operations a second of one large matrix product in this side's precision: what the device gives today."""
        size = 8192 if self.device == "cuda" else 512
        dtype = torch.bfloat16 if self.autocast._enabled else torch.float32
        a = torch.ones(size, size, device=self.device, dtype=dtype)
        rates = []
        for _ in range(5):
            start = self.clock()
            a @ a
            rates.append(2 * size**3 / max(1e-9, self.clock() - start))
        return max(rates)

    def count_flops(self) -> dict[str, object]:
        """Operations of the forward and backward pass of one step (products and convolutions), as this side does them."""
        with FlopCounterMode(display=False) as counter:
            self.loss().backward()
        self.optimizer.zero_grad()
        return {"flops": counter.get_total_flops()}

    def profile(self) -> dict[str, str]:
        """Where a step goes: seconds by part, then the costliest operations."""
        parts: dict[str, float] = defaultdict(float)
        hooks, starts = [], {}
        for name, module in self.model.named_children():
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: starts.update({name: self.clock()})))
            hooks.append(module.register_forward_hook(
                lambda *_, name=name: parts.update({name: parts[name] + self.clock() - starts[name]})
            ))  # fmt: skip
        times = [self.clock()]
        loss = self.loss()
        for act in (
            loss.backward,
            lambda: nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM),
            self.optimizer.step,
        ):
            times.append(self.clock())
            act()
        times.append(self.clock())
        for hook in hooks:
            hook.remove()
        lines = [f"  forward of {name:18} {seconds:8.4f} s" for name, seconds in parts.items()]
        named = zip(("forward, whole", "backward", "clipping", "update"), times, times[1:])
        lines += [f"  {name:29} {end - start:8.4f} s" for name, start, end in named]
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (self.device == "cuda")
        with profile(activities=kinds) as profiler:
            self.step()
        order = "self_cuda_time_total" if self.device == "cuda" else "self_cpu_time_total"
        table = profiler.key_averages().table(sort_by=order, row_limit=15, max_name_column_width=40)
        return {"table": "\n".join([*lines, table])}
