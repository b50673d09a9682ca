"""Decoding a set with a stand-in for the model: batches, stops, too little memory."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from msrs.data.dataset import Utterance
from msrs.errors import DataError
from msrs.search.decode_set import decode_set, is_current, plan_decoding
from msrs.search.hypothesis import Hypothesis
from msrs.search.options import SearchConfig
from msrs.stage_mark import StageMark

OPTIONS = SearchConfig(batch_size=4)


class Dump(SimpleNamespace):
    """Utterances whose video is their own number of frames."""

    def __init__(self, num_frames):
        names = [f"s-{i:02d}" for i in range(len(num_frames))]
        super().__init__(utt_ids=names, num_frames=num_frames, folder=Path("dump/feats/test"))

    def __len__(self):
        return len(self.utt_ids)

    def __getitem__(self, key):
        epoch, index = key
        assert epoch is None
        return Utterance(self.utt_ids[index], "", [], torch.zeros(self.num_frames[index], 2, 2), None)


class Model:
    """Writes an utterance's number of frames; dies at its n-th batch, or where a batch is too large."""

    def __init__(self, die_at=None, room=100):
        self.batches, self.die_at, self.room = [], die_at, room

    def __call__(self, batch):
        if len(batch) > self.room:
            raise torch.cuda.OutOfMemoryError
        if len(self.batches) == self.die_at:
            raise KeyboardInterrupt
        self.batches.append(batch.utt_ids)
        return [[Hypothesis((length,), -1.0, {})] for length in batch.video_lengths.tolist()]


def spell(tokens):
    return " ".join(map(str, tokens))


def mark_of(folder, **options):
    return StageMark(folder, "decode", [], options)


def texts(folder):
    return (folder / "text").read_text(encoding="utf-8").splitlines()


def test_writes_all_utterances_whatever_their_batch(tmp_path):
    dump = Dump([5, 3, 9, 3, 4, 1, 7])
    model = Model()
    decode_set(model, spell, dump, OPTIONS, tmp_path, mark_of(tmp_path))
    assert texts(tmp_path) == [f"s-{i:02d} {n}" for i, n in enumerate(dump.num_frames)]
    assert [len(batch) for batch in model.batches] == [4, 3]
    assert is_current(tmp_path, mark_of(tmp_path))
    assert not is_current(tmp_path, mark_of(tmp_path, beam_size=5))
    (tmp_path / "nbest.jsonl").unlink()
    assert not is_current(tmp_path, mark_of(tmp_path))


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    dump = Dump(list(range(1, 13)))
    with pytest.raises(KeyboardInterrupt):
        decode_set(Model(die_at=2), spell, dump, OPTIONS, tmp_path, mark_of(tmp_path))
    assert not (tmp_path / "text").exists()
    assert not is_current(tmp_path, mark_of(tmp_path))
    model = Model()
    decode_set(model, spell, dump, OPTIONS, tmp_path, mark_of(tmp_path))
    assert model.batches == [["s-08", "s-09", "s-10", "s-11"]]
    assert texts(tmp_path) == [f"s-{i:02d} {i + 1}" for i in range(12)]


def test_a_full_disk_is_told_with_the_file_and_leaves_no_text(tmp_path):
    class Filling(Model):
        def __call__(self, batch):
            if self.batches:  # the disk is full from here on
                (tmp_path / "nbest.partial.jsonl").unlink()
                (tmp_path / "nbest.partial.jsonl").symlink_to("/dev/full")
            return super().__call__(batch)

    dump = Dump(list(range(1, 9)))
    with pytest.raises(DataError, match=r"nbest.partial.jsonl: the disk is full.*Free some space and start again"):
        decode_set(Filling(), spell, dump, OPTIONS, tmp_path, mark_of(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["nbest.partial.jsonl"]
    decode_set(Model(), spell, dump, OPTIONS, tmp_path, mark_of(tmp_path))
    assert len(texts(tmp_path)) == 8


@pytest.mark.parametrize("is_done", [False, True])
def test_what_a_killed_decoding_or_scoring_left_half_written_goes(tmp_path, is_done):
    if is_done:
        decode_set(Model(), spell, Dump([3]), OPTIONS, tmp_path, mark_of(tmp_path))
    (tmp_path / ".result.7.tmp.json").touch()
    assert is_current(tmp_path, mark_of(tmp_path)) == is_done
    assert not (tmp_path / ".result.7.tmp.json").exists()


def test_what_other_options_left_is_not_taken(tmp_path):
    dump = Dump(list(range(1, 9)))
    with pytest.raises(KeyboardInterrupt):
        decode_set(Model(die_at=1), spell, dump, OPTIONS, tmp_path, mark_of(tmp_path))
    model = Model()
    decode_set(model, spell, dump, OPTIONS, tmp_path, mark_of(tmp_path, beam_size=5))
    assert sum(map(len, model.batches)) == 8


def test_batches_are_halved_where_memory_is_too_small(tmp_path):
    dump = Dump([3, 1, 2, 5, 4, 9, 8])
    model = Model(room=2)
    decode_set(model, spell, dump, OPTIONS, tmp_path, mark_of(tmp_path))
    assert max(map(len, model.batches)) == 2
    assert texts(tmp_path) == [f"s-{i:02d} {n}" for i, n in enumerate(dump.num_frames)]


def test_an_utterance_too_long_for_the_memory_is_named(tmp_path):
    with pytest.raises(DataError, match="s-00: too long for the GPU's memory"):
        decode_set(Model(room=0), spell, Dump([3, 4]), OPTIONS, tmp_path, mark_of(tmp_path))


def test_an_empty_dump_is_told(tmp_path):
    with pytest.raises(DataError, match="no utterance to decode"):
        decode_set(Model(), spell, Dump([]), OPTIONS, tmp_path, mark_of(tmp_path))


def test_batches_keep_to_the_budget_but_a_long_utterance_goes_alone():
    num_frames = [10, 90, 500, 10, 12, 95]
    options = SearchConfig(batch_size=3, batch_frames=200)
    batches = plan_decoding(num_frames, options)
    assert sorted(i for batch in batches for i in batch) == list(range(6))
    assert all(len(b) <= 3 and len(b) * max(num_frames[i] for i in b) <= 200 or b == [2] for b in batches)


def test_numbers_behind_the_text_are_kept(tmp_path):
    decode_set(Model(), spell, Dump([3]), OPTIONS, tmp_path, mark_of(tmp_path))
    line = json.loads((tmp_path / "nbest.jsonl").read_text(encoding="utf-8"))
    assert line == {
        "utt_id": "s-00",
        "num_frames": 3,
        "nbest": [{"text": "3", "score": -1.0, "scores": {}, "tokens": [3]}],
    }
    assert "batch_size: 4" in (tmp_path / "search.yaml").read_text(encoding="utf-8")
