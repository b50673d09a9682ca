"""Long utterances out of short ones: a dump whose clips are others' clips put one behind the other."""

import itertools
from pathlib import Path

import numpy as np
import yaml

from msrs.config import load_document
from msrs.data.ark import ArkWriter
from msrs.data.augment import AugmentConfig
from msrs.data.dataset import UtteranceDataset, read_table
from msrs.data.kaldi_table import write_table
from msrs.errors import DataError
from msrs.files import write_text
from msrs.log import LOGGER
from msrs.seeding import keyed_seed
from msrs.stage_mark import StageMark, content_digest

TABLES = ("text", "utt2spk", "utt2num_frames")


def join_clips(source: str | Path, target: str | Path, count: int) -> None:
    """Write a dump of `count` clips of one speaker at a time, or pass over one that is current.

    Which clips come together is drawn by a hash of their names; what is left of a speaker is left out. Pictures are stored
    raw, since another encoding would change them.
    Args: source, a dump folder of stage 2; target, the folder to write.
    Raises: StageError where stage 2 has not been run; DataError where no speaker has so many clips, on a damaged dump, on
    a full disk.
    """
    source, target = Path(source), Path(target)
    streams = [stream for stream in ("video", "audio") if (source / f"{stream}.scp").exists()]
    modality = streams[0] if len(streams) == 1 else "audiovisual"
    clips = UtteranceDataset(source, lambda text: [], modality, AugmentConfig())
    speakers = read_table(source / "utt2spk")
    clips.check_list("utt2spk", speakers)
    made_of = {"count": count, "dump": content_digest(source, "dump")}
    # Named as the mark of stage 2, so that training and decoding notice other clips.
    mark = StageMark(target, "dump", [source / name for name in TABLES], made_of)
    if mark.reason_to_run() is None and (target / "utt2num_frames").exists():
        return
    groups = _groups({utt_id: speakers[utt_id] for utt_id in clips.utt_ids}, count)
    if not groups:
        raise DataError(f"{source}: no speaker has {count} clips to join.")
    described = load_document(source / "feats.yaml").values
    mark.clear()
    (target / "utt2num_frames").unlink(missing_ok=True)
    for stream in streams:
        with ArkWriter(target / f"{stream}.ark", target / f"{stream}.scp") as ark:
            for name, parts in groups.items():
                stored = (clips.frames(part) if stream == "video" else clips.audio[part] for part in parts)
                ark.write(name, np.concatenate(list(stored)))
    texts = {name: " ".join(clips.texts[part] for part in parts) for name, parts in groups.items()}
    write_table(target / "text", {name: " ".join(text.split()) for name, text in texts.items()})
    write_table(target / "utt2spk", {name: speakers[parts[0]] for name, parts in groups.items()})
    num_frames = dict(zip(clips.utt_ids, clips.num_frames, strict=True))
    frames = {name: sum(num_frames[part] for part in parts) for name, parts in groups.items()}
    described |= {"video_format": "raw"} if "video" in streams else {}
    described |= {"num_utterances": len(groups), "num_frames": sum(frames.values()), "num_skipped": 0}
    write_text(target / "feats.yaml", yaml.safe_dump(described, sort_keys=False))
    write_table(target / "utt2num_frames", frames)
    mark.write()
    left = len(clips) - count * len(groups)
    LOGGER.info("%s: %d utterances of %d clips each, %d clips left out", target, len(groups), count, left)


def _groups(speakers: dict[str, str], count: int) -> dict[str, tuple[str, ...]]:
    order = sorted(speakers, key=lambda utt_id: (speakers[utt_id], keyed_seed(0, "join", utt_id), utt_id))
    groups = {}
    for _, own in itertools.groupby(order, key=speakers.__getitem__):
        for parts in zip(*[iter(own)] * count, strict=False):
            groups["+".join(parts)] = parts
    return groups
