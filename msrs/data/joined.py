"""Long utterances out of short ones: a dump whose clips are others' clips put one behind the other."""

import itertools
from pathlib import Path

import numpy as np
import yaml

from msrs.data.ark import ArkReader, ArkWriter
from msrs.data.kaldi_table import write_table
from msrs.data.media import read_video_array
from msrs.errors import DataError
from msrs.files import read_lines, write_text
from msrs.log import LOGGER
from msrs.seeding import keyed_seed
from msrs.stage_mark import StageMark

TABLES = ("text", "utt2spk", "utt2num_frames")


def join_clips(source: str | Path, target: str | Path, count: int) -> None:
    """Write a dump of `count` clips of one speaker at a time, or pass over one that is current.

    Which clips come together is drawn by a hash of their names; what is left of a speaker is left out. Pictures are stored
    raw, since another encoding would change them.
    Args: source, a dump folder of stage 2; target, the folder to write.
    Raises: DataError where no speaker has so many clips, on a damaged dump, on a full disk.
    """
    source, target = Path(source), Path(target)
    mark = StageMark(target, "join", [source / name for name in TABLES], {"count": count})
    if mark.reason_to_run() is None and (target / "utt2num_frames").exists():
        return
    texts, speakers, num_frames = (
        dict(line.split(maxsplit=1) for line in read_lines(source / name) if " " in line) for name in TABLES
    )
    groups = _groups(speakers, count)
    if not groups:
        raise DataError(f"{source}: no speaker has {count} clips to join.")
    mark.clear()
    (target / "utt2num_frames").unlink(missing_ok=True)
    for stream in ("video", "audio"):
        if (source / f"{stream}.scp").exists():
            clips = ArkReader(source / f"{stream}.scp")
            with ArkWriter(target / f"{stream}.ark", target / f"{stream}.scp") as ark:
                for name, parts in groups.items():
                    ark.write(name, np.concatenate([_decoded(clips[part]) for part in parts]))
    write_table(
        target / "text", {name: " ".join(texts.get(part, "") for part in parts) for name, parts in groups.items()}
    )
    write_table(target / "utt2spk", {name: speakers[parts[0]] for name, parts in groups.items()})
    frames = {name: sum(int(num_frames[part]) for part in parts) for name, parts in groups.items()}
    described = yaml.safe_load((source / "feats.yaml").read_text(encoding="utf-8")) | {
        "video_format": "raw", "num_utterances": len(groups), "num_frames": sum(frames.values()), "num_skipped": 0,
    }  # fmt: skip
    write_text(target / "feats.yaml", yaml.safe_dump(described, sort_keys=False))
    write_table(target / "utt2num_frames", frames)
    mark.write()
    left = len(speakers) - count * len(groups)
    LOGGER.info("%s: %d utterances of %d clips each, %d clips left out", target, len(groups), count, left)


def _groups(speakers: dict[str, str], count: int) -> dict[str, tuple[str, ...]]:
    order = sorted(speakers, key=lambda utt_id: (speakers[utt_id], keyed_seed(0, "join", utt_id), utt_id))
    groups = {}
    for _, own in itertools.groupby(order, key=speakers.__getitem__):
        for parts in zip(*[iter(own)] * count, strict=False):
            groups["+".join(parts)] = parts
    return groups


def _decoded(stored: np.ndarray) -> np.ndarray:
    is_encoded = stored.ndim == 1 and stored.dtype == np.uint8
    return read_video_array(stored.tobytes()) if is_encoded else stored
