import json
import math

import pytest

BLOCKS = ("video_frontend.layers.0", "encoder.project", *(f"encoder.blocks.{i}" for i in range(12)), "decoder.blocks.0")


def watch_lines(scale, updates):
    """Norms fall towards the input by a tenth a block, and are those of one tensor a block."""
    for update in updates:
        norms = {block: scale * 0.7 ** (len(BLOCKS) - i) for i, block in enumerate(BLOCKS)}
        record = {"kind": "watch", "num_updates": update}
        for block, norm in norms.items():
            record[f"grad_norm/{block}"] = record[f"grad_norm/{block}.linear.weight"] = norm
            record[f"grad_snr/{block}"] = record[f"grad_snr/{block}.linear.weight"] = 10 * norm
        yield record | {"branch_share/encoder.blocks.0.attention": 0.2, "branch_share/decoder.blocks.0.cross": 0.1}


def histogram_line(update, epoch, with_logits):
    counts = [round(1000 * math.exp(-((i - 31.5) ** 2) / 90)) for i in range(64)]
    table = {block: {"low": -0.3, "high": 0.2 + 0.01 * i, "counts": counts} for i, block in enumerate(BLOCKS)}
    logits = {block: table[block] for block in BLOCKS[2:]} if with_logits else {}
    return {"kind": "histogram", "num_updates": update, "epoch": epoch, "weights": table, "logits": logits}


def training(scale, length, is_sparse):
    records = []
    for epoch in range(1, length // 10 + 1):
        update = 10 * epoch
        for u in range(update - 9, update + 1):
            records.append({"kind": "train", "num_updates": u, "loss": scale * 4 * 0.99**u, "seconds": 2.0 * u})
        if is_sparse:
            density = {"density/block/encoder.blocks.0": 0.8**epoch, "density/block/decoder.blocks.0": 0.9}
            kinds = {"density/type/attention.query": 0.7**epoch, "density/type/feed_forward.0": 0.6}
            records.append(
                {"kind": "sparse", "num_updates": update, "density": 0.8**epoch, "flips": 0.1, **density, **kinds}
            )
        if epoch in (1, 2, 4, 8):
            records.append(histogram_line(update, epoch, is_sparse))
        dev = {
            "loss": scale * 3 * 0.99**update,
            "wer": 100 * 0.99**update,
            "vision_gap": update / 500,
            "blank_share": 0.7,
        }
        records.append({"kind": "dev", "num_updates": update, "seconds": 2.0 * update, **dev})
    return [*watch_lines(scale, range(0, length, 10)), *records]


@pytest.fixture
def make_run(tmp_path):
    """A function that leaves an experiment folder with a metrics.jsonl and returns it."""

    def make(name, records=None, scale=1.0, length=60, is_sparse=False, tail=""):
        folder = tmp_path / "exp" / name
        folder.mkdir(parents=True)
        lines = training(scale, length, is_sparse) if records is None else records
        text = "".join(json.dumps(line) + "\n" for line in lines) + tail
        (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
        return folder

    return make
