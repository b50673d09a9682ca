"""egs/lrs3: its text files, its cuts and its sets one by one, then a small tree of its layout from films to scores."""

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from msrs.config import load
from msrs.data.ark import ArkReader
from msrs.data.cut import to_frames
from msrs.data.datadir import read_datadir, validate_datadir
from msrs.data.dataset import Batch
from msrs.data.media import count_frames, read_audio, read_video, write_video
from msrs.errors import DataError
from msrs.log import LOGGER
from msrs.models.recogniser import Recogniser
from msrs.optim.optimizers import make_optimizer
from msrs.train.options import TrainConfig

ROOT = Path(__file__).resolve().parents[2]


def load_door():
    spec = importlib.util.spec_from_file_location("lrs3_data", ROOT / "egs/lrs3/local/data.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


door = load_door()
WHOLE = """Text:  WORD {FRAME} IT'S 46
Conf:  4
Ref:  abcdefghijk

FRAME   X   Y   W   H
000123  0.31    0.12    0.34    0.34

WORD START END ASDSCORE
WORD 0.11 0.42 7.1
FRAME 0.42 0.61 7.1
{IT'S} 0.60 0.80 7.1
{} 0.80 0.90 7.1
46 1.00 1.30 -2.5
"""


@pytest.fixture
def log(caplog):
    """What a command logs; the package's logger does not propagate once it has been started."""
    LOGGER.addHandler(caplog.handler)
    yield caplog
    LOGGER.removeHandler(caplog.handler)


# Text files


def transcript(folder, content):
    path = folder / "00001.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return door.read_transcript(path)


@pytest.mark.parametrize(
    "content",
    [WHOLE, WHOLE.replace("\n", "\r\n"), b"\xef\xbb\xbf" + WHOLE.encode(), WHOLE.lower(), WHOLE.replace("\n\n", "\n")],
    ids=["as published", "windows", "byte order mark", "small letters", "no empty lines"],
)
def test_a_text_file_is_read_whatever_its_ends_and_letters(tmp_path, content):
    text, words = transcript(tmp_path, content)
    assert text == ["WORD", "FRAME", "IT'S", "46"]
    assert [word.text for word in words] == text
    assert words[0] == ("WORD", 0.11, 0.42)
    assert words[-1] == ("46", 1.0, 1.3)


def test_sections_may_be_missing(tmp_path):
    assert transcript(tmp_path, "Text:  HELLO AGAIN\nConf:  4\n") == (["HELLO", "AGAIN"], [])
    assert transcript(tmp_path, "Text: HELLO\n") == (["HELLO"], [])
    assert transcript(tmp_path, "WORD START END\nHELLO 0.1 0.4\n") == ([], [("HELLO", 0.1, 0.4)])
    assert transcript(tmp_path, "Text:\nConf:  4\n") == ([], [])
    assert transcript(tmp_path, "") == ([], [])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("AGAIN 0.5", "expected `WORD START END`"),
        ("AGAIN 0.5 x", "expected `WORD START END`"),
        ("AGAIN 0.5 nan", "ends at NAN"),
        ("AGAIN 0.9 0.5", "begins at 0.9 and ends at 0.5"),
        ("AGAIN 0.2 0.5", "begins before HELLO has ended"),
    ],
)
def test_a_wrong_row_is_told_with_its_line(tmp_path, row, message):
    with pytest.raises(DataError, match=message) as error:
        transcript(tmp_path, f"Text:  HELLO AGAIN\nWORD START END\nHELLO 0.1 0.4\n{row}\n")
    assert "00001.txt:4: " in str(error.value)


# Cuts


def spoken(*times):
    return [door.Word(f"W{i}", start, end) for i, (start, end) in enumerate(times)]


def texts(stretches):
    return [stretch.text for stretch in stretches]


def test_what_fits_is_one_piece_with_some_silence_around_it():
    [piece] = door.cut_at_words(spoken((3.0, 3.4), (3.5, 4.0)), 20.0, 16.0)
    assert (piece.start_seconds, piece.end_seconds, piece.text) == (2.5, 4.5, "W0 W1")
    [piece] = door.cut_at_words(spoken((0.1, 0.4)), 0.6, 16.0)
    assert (piece.start_seconds, piece.end_seconds) == (0.0, 0.6)


def test_cuts_lie_in_the_middle_of_pauses_and_leave_the_rest_of_long_ones_out():
    short, long = (door.cut_at_words(spoken((0, 3), (3 + pause, 6 + pause)), 20.0, 5.0) for pause in (0.4, 4.0))
    assert [(s.start_seconds, s.end_seconds) for s in short] == [(0.0, 3.2), (3.2, 6.9)]
    assert [(s.start_seconds, s.end_seconds) for s in long] == [(0.0, 3.5), (6.5, 10.5)]


def test_a_pause_is_preferred_to_running_speech_and_few_cuts_to_many():
    # Ten words of a second; the pause stands after the third, where a greedy cut would come after the sixth.
    ends = np.cumsum([1.0] * 10)
    shift = [0.0] * 3 + [0.5] * 7
    words = spoken(*((float(end - 1 + s), float(end + s)) for end, s in zip(ends, shift, strict=True)))
    assert texts(door.cut_at_words(words, 10.5, 7.5)) == ["W0 W1 W2", "W3 W4 W5 W6 W7 W8 W9"]
    assert len(door.cut_at_words(words, 10.5, 10.5)) == 1


def test_words_that_no_cut_can_help_are_refused():
    with pytest.raises(DataError, match="W1 lasts 17.0 s"):
        door.cut_at_words(spoken((0, 1), (1, 18), (18, 19)), 20.0, 16.0)
    with pytest.raises(DataError, match=r"go on to 9.00 s, the recording ends at 5.00 s"):
        door.cut_at_words(spoken((0, 1), (8, 9)), 5.0, 16.0)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_times_no_word_is_lost_doubled_or_cut(seed):
    rng = np.random.default_rng(seed)
    max_seconds = float(rng.choice([2.0, 3.7, 16.0]))
    durations = rng.uniform(0.0, 0.9, 150)
    pauses = rng.choice([-0.03, 0.0, 0.05, 0.3, 1.7, 40.0], 150, p=[0.05, 0.6, 0.15, 0.14, 0.05, 0.01])
    starts = np.maximum(np.cumsum(np.concatenate([[0.2], durations[:-1]]) + pauses), 0).round(2)
    ends = (starts + durations).round(2)
    words = spoken(*((s, e) for s, e in zip(starts.tolist(), ends.tolist(), strict=True)))
    length = float(ends.max() + rng.choice([0.0, 3.0]))
    pieces = door.cut_at_words(words, length, max_seconds)
    assert [word for piece in pieces for word in piece.words] == words
    assert " ".join(texts(pieces)) == " ".join(word.text for word in words)
    for piece in pieces:
        assert 0.04 <= piece.end_seconds - piece.start_seconds <= max_seconds
        assert to_frames(piece.end_seconds) - to_frames(piece.start_seconds) <= int(np.ceil(25 * max_seconds))
        assert piece.start_seconds <= piece.words[0].start_seconds + 0.0206  # half of the overlap, and a rounding
        assert piece.end_seconds >= piece.words[-1].end_seconds - 0.0206
    for first, second in itertools.pairwise(pieces):
        assert first.end_seconds <= second.start_seconds
    assert pieces[0].start_seconds >= 0.0
    assert pieces[-1].end_seconds <= round(length, 3) + 1e-9


def span_seconds(words, first, last):
    """Length of the piece words[first:last], by the rule of half a pause and half a second."""
    before = (words[first].start_seconds - words[first - 1].end_seconds) / 2 if first else words[0].start_seconds
    after = (words[last].start_seconds - words[last - 1].end_seconds) / 2 if last < len(words) else 99.0
    return words[last - 1].end_seconds + min(0.5, after) - words[first].start_seconds + min(0.5, before)


def test_cuts_are_the_cheapest_of_all_that_there_are():
    rng = np.random.default_rng(5)
    for _ in range(20):
        starts = (np.cumsum(0.6 + rng.choice([0.0, 0.1, 0.4, 0.8], 8))).round(2).tolist()
        words = spoken(*((start, round(start + 0.6, 2)) for start in starts))
        prices = [1 + 4 / (1 + (b.start_seconds - a.end_seconds) / 0.1) for a, b in itertools.pairwise(words)]
        sums = []
        for cuts in itertools.chain.from_iterable(itertools.combinations(range(1, 8), n) for n in range(8)):
            if all(span_seconds(words, i, j) <= 4.003 for i, j in itertools.pairwise((0, *cuts, 8))):
                sums.append(sum(prices[cut - 1] for cut in cuts))
        borders = np.cumsum([len(piece.words) for piece in door.cut_at_words(words, 99.0, 4.003)])[:-1]
        assert sum(prices[border - 1] for border in borders) == pytest.approx(min(sums))


# Sets


def make_tree(root, clips):
    """A tree of films that are one byte; clips: `part/speaker/name` -> text."""
    for clip, text in clips.items():
        path = root / clip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".mp4").write_bytes(clip.encode())
        path.with_suffix(".txt").write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def lengths(monkeypatch):
    """Lengths of films by their folder's name; 10 seconds for the others."""
    known = {}
    monkeypatch.setattr(door, "media_seconds", lambda path: known.get(Path(path).parent.name, 10.0))
    return known


SMALL = {f"trainval/t{i}/5000{j}": f"Text:  SENTENCE {i} {j}\n" for i in range(4) for j in range(2)}
SMALL |= {f"test/u{i}/00001": f"Text:  TEST {i}\n" for i in range(2)}
SMALL |= {f"pretrain/{s}/00001": "WORD START END\nA 1.0 2.0\nB 2.5 8.0\n" for s in ("p0", "t0", "t1", "t2", "t3")}


def run(tree, out, *words):
    return door.main(["--lrs3-dir", str(tree), "--out", str(out), *words])


def test_the_sets_of_a_small_tree(tmp_path, lengths, log):
    tree = make_tree(tmp_path / "lrs3", SMALL)
    assert run(tree, tmp_path / "data", "--max-seconds", "7") == 0
    train, dev, test = (read_datadir(tmp_path / "data" / name) for name in ("train", "dev", "test"))
    [held_out] = set(dev.utt2spk.values())  # a tenth of eight utterances is one speaker's
    assert held_out in {"t0", "t1", "t2", "t3"}
    assert len(dev.text) == 2
    assert set(train.utt2spk.values()) == {"p0", "t0", "t1", "t2", "t3"} - {held_out}
    assert "lacks their 1 pretrain clips" in log.text
    assert set(test.text) == {"u0-test-00001", "u1-test-00001"}
    assert not dev.segments
    assert not test.segments
    assert train.text["p0-pretrain-00001-000"] == "A"
    assert train.text["p0-pretrain-00001-001"] == "B"
    segment = train.segments["p0-pretrain-00001-001"]
    assert (segment.recording, segment.start_seconds, segment.end_seconds) == ("p0-pretrain-00001", 2.25, 8.5)
    whole = next(utt for utt in train.text if "-trainval-" in utt)
    assert (train.segments[whole].start_seconds, train.segments[whole].end_seconds) == (0.0, 10.0)
    ctm = (tmp_path / "data/train/words.ctm").read_text().splitlines()
    assert ctm[:2] == ["p0-pretrain-00001-000 1 0.500 1.000 A", "p0-pretrain-00001-001 1 0.250 5.500 B"]
    assert validate_datadir(tmp_path / "data/dev") == []
    assert validate_datadir(tmp_path / "data/train", with_media=False) == []


def test_trainval_alone_makes_whole_recordings(tmp_path, lengths):
    tree = make_tree(tmp_path / "lrs3", {clip: text for clip, text in SMALL.items() if "pretrain" not in clip})
    assert run(tree, tmp_path / "data", "--train-parts", "trainval") == 0
    train = read_datadir(tmp_path / "data/train")
    assert len(train.text) == 6
    assert not train.segments
    assert run(tree, tmp_path / "data") == 1  # which asks for pretrain


def test_held_out_speakers_depend_on_their_names_alone():
    clips = [door.Clip("trainval", f"v{i:03d}", f"5000{j}", "", "") for i in range(300) for j in range(8)]
    chosen = door.choose_dev_speakers(clips, 100)
    assert len(chosen) == 13
    assert door.choose_dev_speakers(reversed(clips), 100) == chosen
    fewer = door.choose_dev_speakers([clip for clip in clips if clip.speaker not in chosen], 100)
    assert not fewer & chosen
    assert len(door.choose_dev_speakers(clips, 1_000_000)) == 30  # a tenth


def test_odd_clips_are_put_aside_with_their_reasons(tmp_path, lengths, log):
    odd = {
        "pretrain/p1/00001": "Text:  NO TIMES\n",
        "pretrain/p2/00001": "Text:  NO TIMES BUT SHORT\n",
        "pretrain/p3/00001": "Text:  A C\nWORD START END\nA 1.0 2.0\nB 2.5 8.0\n",
        "pretrain/p4/00001": "WORD START END\nA 1.0\n",
        "pretrain/p5/00001": "WORD START END\nA 1.0 12.0\n",
        "pretrain/p6/00001": "Text:\n",
        "pretrain/p7/00001": "Text:  A\x07\n",
        "pretrain/p8/00 01": "Text:  A\n",
    }
    tree = make_tree(tmp_path / "lrs3", SMALL | odd)
    lengths |= {"p1": 30.0, "p2": 15.0}
    (tree / "pretrain/p9").mkdir()
    (tree / "pretrain/p9/00001.mp4").touch()
    (tree / "pretrain/p9/00002.TXT").touch()
    (tree / "pretrain/p9/notes.md").touch()
    (tree / "pretrain/p9/._00003.mp4").touch()
    assert run(tree, tmp_path / "data") == 1
    assert "--max-missing is 0.05" in log.text
    assert run(tree, tmp_path / "data", "--max-missing", "0.6") == 0
    rows = (tmp_path / "data/train/skipped.tsv").read_text().splitlines()
    reasons = dict(row.split("\t") for row in rows)
    expected = {
        "p1-pretrain-00001": "its 30.0 s are over --max-seconds",
        "p4-pretrain-00001": "00001.txt:2: expected `WORD START END`",
        "p5-pretrain-00001": "go on to 12.00 s, the recording ends at 10.00 s",
        "p6-pretrain-00001": "no words in it",
        "p7-pretrain-00001": "a control character",
        "p8-pretrain-00 01": "white space in its name",
        "p9-pretrain-00001": "there is no 00001.txt",
        "p9-pretrain-00002": "there is no 00002.mp4",
    }
    assert reasons.pop("id") == "reason"
    assert set(reasons) == set(expected)
    assert {name for name, part in expected.items() if part not in reasons[name]} == set()
    train = read_datadir(tmp_path / "data/train")
    assert train.text["p2-pretrain-00001-000"] == "NO TIMES BUT SHORT"
    assert train.text["p3-pretrain-00001-000"] == "A B"  # the WORD block counts ...
    remarks = (tmp_path / "data/train/remarks.tsv").read_text()
    assert "p3-pretrain-00001\t" in remarks  # ... and is told
    assert len(remarks.splitlines()) == 2


@pytest.mark.parametrize(
    ("clips", "words", "message"),
    [
        (None, [], "no such folder"),
        ([], [], "has no folder pretrain and no trainval and no test"),
        (["test/u0/00001"], [], "has test, but no folder pretrain and no trainval"),
        (["test/u0/00001", "trainval/t0/50001"], [], "--train-parts trainval"),
        (["lrs3_v0.4/test/u0/00001", "lrs3_v0.4/trainval/t0/50001"], [], "Did you mean"),
        (["test/u0/00001", "trainval/t0/50001"], ["--train-parts", "trainval"], "trainval has one speaker (t0)"),
        (["test/u0/00001", "trainval/u0/50001", "trainval/t0/50001"], ["--train-parts", "trainval"], "for example u0"),
    ],
)
def test_a_wrong_folder_is_told(tmp_path, lengths, log, clips, words, message):
    tree = tmp_path / "lrs3"
    if clips is not None:
        tree.mkdir()
        make_tree(tree, dict.fromkeys(clips, "Text:  A\n"))
    assert run(tree, tmp_path / "data", *words) == 1
    assert message in log.text
    assert not (tmp_path / "data").exists()


def test_empty_parts_and_no_folder_at_all_are_told(tmp_path, log, monkeypatch):
    for part in door.PARTS:
        (tmp_path / "lrs3" / part / "t0").mkdir(parents=True)
    assert run(tmp_path / "lrs3", tmp_path / "data") == 1
    assert "pretrain: no clip <video id>/<clip>.mp4" in log.text
    monkeypatch.delenv("LRS3_DIR", raising=False)
    assert door.main([]) == 1
    assert "Give --lrs3-dir FOLDER, or set LRS3_DIR" in log.text
    assert "can no longer be downloaded" in log.text


@pytest.mark.parametrize("words", [["--max-seconds", "1"], ["--max-seconds", "nan"], ["--num-dev", "0"], ["--nj", "x"]])
def test_wrong_numbers_are_refused(words, capsys):
    with pytest.raises(SystemExit) as stop:
        door.main(words)
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err


# Configurations


@pytest.mark.parametrize(
    ("modality", "count"), [("video", 250_383_410), ("audio", 243_049_202), ("audiovisual", 443_977_138)]
)
def test_the_full_configuration_has_the_published_number_of_weights(modality, count):
    options = load(TrainConfig, ROOT / "egs/lrs3/conf/train_full.yaml")
    with torch.device("meta"):
        model = Recogniser(options.model, modality, 5049)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert options.batching.max_frames * options.train.accumulate == 51_200


@pytest.mark.parametrize("modality", ["video", "audio", "audiovisual"])
def test_the_full_configuration_takes_a_step(modality):
    if free_memory_bytes() < 14e9:
        pytest.skip("weights, gradients and moments of the largest model take 7 GB, and as much room is to be left")
    options = load(TrainConfig, ROOT / "egs/lrs3/conf/train_full.yaml")
    torch.manual_seed(0)
    model = Recogniser(options.model, modality, 5049).train()
    optimizer = make_optimizer(model, options.optim)
    lengths = torch.tensor([6, 4])
    batch = Batch(
        utt_ids=["a", "b"], texts=["", ""], tokens=torch.tensor([[7, 4000], [9, 0]]), token_lengths=torch.tensor([2, 1]),
        video=torch.randn(2, 6, 88, 88), video_lengths=lengths, audio=torch.randn(2, 6 * 640), audio_lengths=lengths * 640,
    )  # fmt: skip
    losses = model(batch)
    losses.total.backward()
    before = {name: parameter.flatten()[:8].clone() for name, parameter in model.named_parameters()}
    optimizer.step()
    assert losses.total.isfinite()
    moved = [name for name, p in model.named_parameters() if not torch.equal(p.flatten()[:8], before[name])]
    assert len(moved) > 0.9 * len(before)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def free_memory_bytes():
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), float("inf"))


# From films to scores

TINY = "train.max_epochs=1 train.accumulate=1 schedule.warmup_updates=0 batching.max_frames=400 sparse.epochs=1 "
TINY += "model.encoder.num_blocks=1 model.decoder.num_blocks=1"
FRAMES = 75  # of a clip of GRID


def read_alignment(path):
    rows = [line.split() for line in path.read_text().splitlines()]
    return [
        (word.upper(), int(start) / 25000, int(end) / 25000) for start, end, word in rows if word not in ("sil", "sp")
    ]


def write_clip(grid, names, path, has_times=True, dress=lambda text: text):
    """A film of the named clips of s1 one after another, and its text file in LRS3's form. Returns: the timed words."""
    pictures, sounds, words = [], [], []
    for number, name in enumerate(names):
        film = next((grid / "video/s1").glob(f"{name}.*"))
        own = [picture[64:288, 33:257] for picture in read_video(film)]  # as a face track: the face fills the middle
        pictures += (own + [own[-1]] * FRAMES)[:FRAMES]
        sounds.append(np.pad(read_audio(film), (0, FRAMES * 640))[: FRAMES * 640])
        shift = number * FRAMES / 25
        words += [(w, round(s + shift, 2), round(e + shift, 2)) for w, s, e in read_alignment(alignment(grid, name))]
    write_video(path.with_suffix(".mp4"), pictures, audio=np.concatenate(sounds))
    text = f"Text:  {' '.join(word for word, _, _ in words)}\nConf:  3\n"
    if has_times:
        text += "\nWORD START END ASDSCORE\n" + "".join(f"{w} {s:.2f} {e:.2f} 5.2\n" for w, s, e in words)
    path.with_suffix(".txt").write_bytes(dress(text).encode())
    return words


def alignment(grid, name):
    return grid / f"alignments/s1/{name}.align"


def odd_dress(text):
    """Windows line ends, braces, and the block of the text-only release."""
    frames = "FRAME \tX \tY \tW \tH\n" + "".join(f"{i:06d} \t0.3 \t0.1 \t0.3 \t0.4\n" for i in range(3))
    head, block = text.split("\n\n")
    first = head.split()[1]
    return f"{head.replace(first, '{' + first + '}', 1)}\n\n{frames}\n{block}".replace("\n", "\r\n")


class Corpus:
    """A small tree in LRS3's layout: two long recordings, three sentences of trainval, two of test, and odd files."""

    def __init__(self, root, grid):
        self.root = root
        lines = (grid / "split/train.txt").read_text().split()
        names = iter(
            sorted(line.partition("/")[2] for line in lines if alignment(grid, line.partition("/")[2]).exists())
        )
        films = {
            "pretrain/5tQOwRxDpJs/00001": (4, True, str),
            "pretrain/-aBcDeFgH_1/00002": (3, True, odd_dress),
            "trainval/5tQOwRxDpJs/50001": (1, False, str),
            "trainval/00j9bKdiOjk/50001": (1, True, str),
            "trainval/zW9xQ3hTTzI/50003": (1, False, str),
            "test/Lm_-7dHfN0A/00001": (1, False, str),
            "test/Lm_-7dHfN0A/00002": (1, True, str),
        }
        self.words = {}
        for film, (count, has_times, dress) in films.items():
            (root / film).parent.mkdir(parents=True, exist_ok=True)
            part, speaker, name = film.split("/")
            chosen = list(itertools.islice(names, count))
            self.words[f"{speaker}-{part}-{name}"] = write_clip(grid, chosen, root / film, has_times, dress)
        (root / "pretrain/-aBcDeFgH_1/00003.mp4").write_bytes(b"no text beside it")
        (root / "pretrain/-aBcDeFgH_1/00004.mp4").write_bytes(b"no film")
        (root / "pretrain/-aBcDeFgH_1/00004.txt").write_text("Text:  NOTHING\n")


@pytest.fixture(scope="module")
def corpus(grid, tmp_path_factory):
    return Corpus(tmp_path_factory.mktemp("lrs3 tree"), grid)


@pytest.fixture(scope="module")
def recipe(copy_recipe, corpus, face_model):
    """The recipe after all stages."""
    recipe = copy_recipe("lrs3")
    recipe.words = ("--lrs3-dir", str(corpus.root), "--max-seconds", "5", "--max-missing", "0.4", "--nj", "2")
    searching = ("--decode-args", "beam_size=2 max_length_ratio=0.2")
    recipe.printed = recipe.run(*recipe.words, "--train-args", TINY, *searching)
    return recipe


def test_all_words_of_long_recordings_are_in_one_piece_each(recipe, corpus):
    train = read_datadir(recipe.folder / "data/train")
    for recording, words in corpus.words.items():
        if "-pretrain-" not in recording:
            continue
        pieces = [train.segments[utt] for utt in train.recordings[recording]]
        assert len(pieces) >= 2
        assert " ".join(train.text[utt] for utt in train.recordings[recording]) == " ".join(w for w, _, _ in words)
        for _, start, end in words:
            assert sum(p.start_seconds <= start and end <= p.end_seconds for p in pieces) == 1
            assert sum(p.start_seconds < end and start < p.end_seconds for p in pieces) == 1
        assert max(piece.end_seconds - piece.start_seconds for piece in pieces) <= 5.0
    assert all(utt.startswith(f"{speaker}-") for utt, speaker in train.utt2spk.items())


def test_dev_has_a_speaker_of_its_own_and_odd_files_are_told(recipe):
    sets = {name: read_datadir(recipe.folder / "data" / name) for name in ("train", "dev", "test")}
    speakers = {name: set(data.utt2spk.values()) for name, data in sets.items()}
    assert len(speakers["dev"]) == 1
    assert not speakers["train"] & (speakers["dev"] | speakers["test"])
    assert len(sets["test"].text) == 2
    rows = (recipe.folder / "data/train/skipped.tsv").read_text()
    assert "-aBcDeFgH_1-pretrain-00003\tthere is no 00003.txt" in rows
    assert "-aBcDeFgH_1-pretrain-00004\t" in rows


def test_crops_and_dumps_are_whole(recipe):
    for name in ("train", "dev", "test"):
        data = read_datadir(recipe.folder / "data" / name)
        crops = dict(
            line.split(" ", 1) for line in (recipe.folder / f"dump/crop/{name}/crop.scp").read_text().splitlines()
        )
        assert set(crops) == set(data.recordings)
        assert {count_frames(recipe.folder / path) % FRAMES for path in crops.values()} == {0}
        feats = recipe.folder / "dump/feats" / name
        counts = {u: int(n) for u, n in (line.split() for line in (feats / "utt2num_frames").read_text().splitlines())}
        assert set(counts) == set(data.text)
        for utt, segment in data.segments.items():
            expected = to_frames(segment.end_seconds) - to_frames(segment.start_seconds)
            assert counts[utt] == (FRAMES if "-trainval-" in utt else expected)


def test_the_sound_of_a_piece_is_that_of_its_words(recipe, corpus, monkeypatch):
    monkeypatch.chdir(recipe.folder)
    train = read_datadir("data/train")
    sounds = ArkReader("dump/feats/train/audio.scp")
    utt, segment = next((utt, s) for utt, s in train.segments.items() if s.start_seconds > 0)
    whole = read_audio(train.audio[segment.recording])
    first = to_frames(segment.start_seconds) * 640
    assert np.abs(sounds[utt] / 32768.0 - whole[first : first + len(sounds[utt])]).max() < 1e-3


def test_scores_are_written(recipe):
    results = (recipe.folder / "RESULTS.md").read_text()
    for name in ("dev", "test"):
        assert (recipe.folder / f"exp/train_audiovisual/decode_decode/{name}/result.json").is_file()
        assert f"| {name} " in results


def test_stage_0_again_with_one_process_writes_the_same(recipe):
    names = [
        f"data/{name}/{file}" for name in ("train", "dev", "test") for file in ("text", "words.ctm", "skipped.tsv")
    ]
    before = {name: (recipe.folder / name).read_bytes() for name in (*names, "data/train/segments")}
    recipe.run(*recipe.words, "--stop-stage", "0", "--nj", "1")
    assert {name: (recipe.folder / name).read_bytes() for name in before} == before


def test_a_wrong_folder_stops_stage_0_with_its_exit_code(recipe):
    printed = recipe.run("--lrs3-dir", str(recipe.folder / "conf"), "--stop-stage", "0", code=1)
    assert "has no folder pretrain and no trainval and no test" in printed
    assert "stage 0 (data) failed with exit code 1" in printed
