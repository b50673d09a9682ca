"""What a run was trained on, in numbers, and what it began from: `data.json` of its folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msrs.data.cut import FPS
from msrs.data.dataset import UtteranceDataset
from msrs.errors import TrainingError
from msrs.files import write_text

NAME = "data.json"


def write_record(exp: Path, train_set: UtteranceDataset, dev_set: UtteranceDataset, origin: Sequence[str] = ()) -> None:
    """Write how much each set holds, how long its longest utterance is, and the files that the run's weights come from."""
    sets = {"train": train_set, "dev": dev_set}
    record: dict[str, object] = {
        name: {
            "folder": str(one.folder),
            "utterances": len(one),
            "seconds": sum(one.num_frames) / FPS,
            "longest_seconds": max(one.num_frames) / FPS,
        }
        for name, one in sets.items()
    }
    record["init"] = list(origin)
    write_text(exp / NAME, json.dumps(record, indent=1) + "\n")


def recorded_origin(exp: Path) -> list[str]:
    """The files that a run's weights come from (--init); none where its folder does not say."""
    return _read(exp).get("init", [])


def longest_seconds(exp: str | Path) -> float | None:
    """The longest utterance that a run was trained on; None where its folder does not say."""
    return _read(Path(exp)).get("train", {}).get("longest_seconds")


def _read(exp: Path) -> dict[str, Any]:
    """The record, empty where there is none. Raises: TrainingError where the file holds something else."""
    path = exp / NAME
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict):
        raise TrainingError(f"{path} is damaged; delete it: it only says what the run was trained on.")
    return record
