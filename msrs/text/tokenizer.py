"""The units that a model writes: SentencePiece pieces, characters or whole words, behind one class."""

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

import sentencepiece

from msrs.config import to_yaml
from msrs.errors import ConfigError, DataError, StageError
from msrs.files import atomic_path, read_lines, write_text
from msrs.log import LOGGER
from msrs.text.normalise import RULE_SETS, UNKNOWN_MARK, Rules, find_rules, normalise

UnitType = Literal["unigram", "bpe", "char", "word"]
UNIT_TYPES: tuple[str, ...] = get_args(UnitType)
BLANK, UNKNOWN, END = "<blank>", "<unk>", "<sos/eos>"
SPACE = "\u2581"  # SentencePiece writes a space as ▁


class Tokenizer:
    """Text <-> ids of units.

    Ids are not SentencePiece's: 0 is `<blank>`, 1 is `<unk>`, 2 ... V-2 are the model's pieces in its own order (its
    piece k, counted from its `<unk>` = 0, has id k + 1), and V-1 is `<sos/eos>`, which both starts and ends a decoder's
    sequence. `tokens.txt` lists the units in this order, one a line.

    Args: model, a serialised SentencePiece model whose only control piece is `<unk>` with id 0; rules, applied to
    every text before it is cut.
    """

    blank_id = 0
    unk_id = 1

    def __init__(self, model: bytes, rules: Rules):
        self.model = model
        self.rules = rules
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        pieces = [self._processor.id_to_piece(k) for k in range(1, self._processor.get_piece_size())]
        self.units = [BLANK, UNKNOWN, *pieces, END]
        self._ids = {piece: i for i, piece in enumerate(pieces, start=2)}
        # Where whole words are the units, an unknown one is a word of its own, not a part of its neighbour.
        whole_words = all(piece[0] == SPACE and len(piece) > 1 for piece in pieces)
        self._readings = {self.unk_id: SPACE * whole_words + UNKNOWN_MARK, self.blank_id: "", self.eos_id: ""}

    @property
    def size(self) -> int:
        """V, the number of units with the three special ones."""
        return len(self.units)

    @property
    def sos_id(self) -> int:
        """Id of the unit that starts a decoder's input; the same as `eos_id`."""
        return len(self.units) - 1

    @property
    def eos_id(self) -> int:
        """Id of the unit that ends a decoder's output."""
        return len(self.units) - 1

    def split(self, text: str) -> list[str]:
        """The units of `text` as strings; what the model does not know stands as it was written."""
        pieces = self._processor.encode(normalise(text, self.rules), out_type=str)
        # SentencePiece joins neighbouring unknown words into one piece.
        return [part for p in pieces for part in ([p] if p in self._ids else re.findall("▁?[^▁]+|▁", p))]

    def encode(self, text: str) -> list[int]:
        """Ids of the units of `text`, without `<sos/eos>`; unknown ones are `unk_id`."""
        return [self._ids.get(unit, self.unk_id) for unit in self.split(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; blank and sos/eos are left out, an unknown unit reads `⁇`.

        Raises: IndexError on an id outside 0 ... V-1.
        """
        ids = [int(i) for i in ids]
        if ids and not 0 <= min(ids) <= max(ids) < self.size:
            raise IndexError(f"unit ids run from 0 to {self.size - 1}, given {min(ids)} ... {max(ids)}.")
        text = "".join(self._readings.get(i, self.units[i]) for i in ids)
        return " ".join(text.replace(SPACE, " ").split())

    def save(self, folder: str | Path) -> None:
        """Write `spm.model`, `tokens.txt` and `rules.yaml`."""
        folder = Path(folder)
        with atomic_path(folder / "spm.model") as temporary:
            temporary.write_bytes(self.model)
        write_text(folder / "tokens.txt", "".join(f"{unit}\n" for unit in self.units))
        write_text(folder / "rules.yaml", to_yaml(self.rules))

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read what `save` wrote. Raises: StageError if it is not there, DataError if its files do not agree."""
        folder = Path(folder)
        missing = [name for name in ("spm.model", "tokens.txt", "rules.yaml") if not (folder / name).is_file()]
        if missing:
            raise StageError(f"{folder}: not a tokenizer ({', '.join(missing)} missing); run stage 3 (msrs-tokenize).")
        try:
            tokenizer = cls((folder / "spm.model").read_bytes(), find_rules(folder / "rules.yaml"))
        except (RuntimeError, OSError) as error:
            raise DataError(f"{folder}/spm.model: not a SentencePiece model ({error}); run stage 3 again.") from None
        if tokenizer.units != read_lines(folder / "tokens.txt"):
            raise DataError(f"{folder / 'tokens.txt'}: lists other units than spm.model; run stage 3 again.")
        return tokenizer


def train_tokenizer(
    texts: Iterable[str],
    folder: str | Path,
    type: UnitType,
    size: int | None = None,
    rules: Rules = RULE_SETS["upper"],
) -> Tokenizer:
    """Learn the units of `texts`, which must be training texts alone, and write them to `folder`.

    Args: size, units wanted with the three special ones; None, for char and word alone, takes all that occur, and a
    smaller size keeps the most frequent. A size beyond what the texts hold is cut to it, which the log says.
    Raises: ConfigError on a size too small, naming the least; DataError where no text is left after normalisation.
    """
    lines = [line for line in (normalise(text, rules) for text in texts) if line]
    if not lines:
        raise DataError("no training text is left after normalisation; check the text and the rules.")
    _check_size(type, size, lines)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type=type,
        **({"use_all_vocab": True} if size is None else {"vocab_size": size - 2, "hard_vocab_limit": False}),
        normalization_rule_name="identity",  # our rules are the only ones
        add_dummy_prefix=type != "char",  # characters need no space before the first word
        character_coverage=1.0,
        max_sentence_length=1 << 24,  # bytes; longer lines would be left out without a word
        num_threads=1,  # the pieces depend on the number of threads
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    tokenizer = Tokenizer(model.getvalue(), rules)
    if size is not None and tokenizer.size < size:
        LOGGER.warning("%d units were asked for; the training text holds no more than %d", size, tokenizer.size)
    tokenizer.save(folder)
    return tokenizer


def _check_size(type: str, size: int | None, lines: list[str]) -> None:
    if type not in UNIT_TYPES:
        raise ConfigError(f"{type!r} is not a type of units; known: {', '.join(UNIT_TYPES)}.")
    if size is None:
        if type in ("unigram", "bpe"):
            raise ConfigError(f"{type} units need a size, for example --size 500.")
        return
    # Subwords must be able to spell every word: each character and the space are units, beside the three special ones.
    least = len(set("".join(lines)) | {" "}) + 3 if type in ("unigram", "bpe") else 4
    if size < least:
        raise ConfigError(f"--size {size} is too small for {type} units of this text; the least is {least}.")
