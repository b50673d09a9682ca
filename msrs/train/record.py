"""What a run was trained on, in numbers: `data.json` of its folder."""

import json
from pathlib import Path

from msrs.data.cut import FPS
from msrs.data.dataset import UtteranceDataset
from msrs.files import write_text

NAME = "data.json"


def write_record(exp: Path, train_set: UtteranceDataset, dev_set: UtteranceDataset) -> None:
    """Write how much each set holds, and how long its longest utterance is."""
    sets = {"train": train_set, "dev": dev_set}
    record = {
        name: {
            "folder": str(one.folder),
            "utterances": len(one),
            "seconds": sum(one.num_frames) / FPS,
            "longest_seconds": max(one.num_frames) / FPS,
        }
        for name, one in sets.items()
    }
    write_text(exp / NAME, json.dumps(record, indent=1) + "\n")


def longest_seconds(exp: str | Path) -> float | None:
    """The longest utterance that a run was trained on; None where its folder does not say."""
    path = Path(exp) / NAME
    return json.loads(path.read_text(encoding="utf-8"))["train"]["longest_seconds"] if path.exists() else None
