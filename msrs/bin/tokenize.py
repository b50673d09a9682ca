"""msrs-tokenize, stage 3: learn the units of the training text."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from msrs.command import CommandParser, run_command
from msrs.config import to_dict
from msrs.errors import StageError
from msrs.files import remove_half_written
from msrs.log import LOGGER
from msrs.stage_mark import StageMark
from msrs.text.coverage import measure_coverage
from msrs.text.normalise import find_rules, normalise_all
from msrs.text.tokenizer import UNIT_TYPES, Tokenizer, train_tokenizer
from msrs.text.transcripts import read_transcripts


def main(argv: Sequence[str] | None = None) -> int:
    """The command's door."""
    parser = CommandParser(
        "msrs-tokenize",
        "Learn the units of the training text, print the folder that they are in (stage 3).",
        "msrs-tokenize --text data/train/text --type unigram --size 500 --check data/dev/text",
    )
    add = parser.add_argument
    add("--text", required=True, metavar="FILE", help="transcripts of the training set, `utt_id words` a line")
    add("--type", choices=UNIT_TYPES, default="unigram", help="unit of the text")
    add("--size", type=int, help="number of units with the three special ones; left out, for char and word: all")
    add("--rules", default="upper", help="normalisation: upper, lower, verbatim or a YAML file")
    add("--out", metavar="FOLDER", help="folder to write; left out: OUT_ROOT/tokens_TYPESIZE")
    add("--out-root", default="data", metavar="FOLDER", help="parent of the default folder")
    add("--check", nargs="*", default=[], metavar="FILE", help="other transcripts: report what of them is unknown")
    return run_command(parser, tokenize, argv)


def tokenize(options: argparse.Namespace) -> None:
    """Train unless the folder is current, report the coverage, print the folder."""
    folder = Path(options.out or Path(options.out_root) / f"tokens_{options.type}{options.size or ''}")
    rules = find_rules(options.rules)
    if not Path(options.text).is_file():
        raise StageError(f"{options.text}: no such file; run stage 0 (data) first.")
    shape = {"type": options.type, "size": options.size, "rules": to_dict(rules)}
    mark = StageMark(folder, "tokenize", [options.text], shape | {"sentencepiece": sentencepiece.__version__})
    reason = mark.reason_to_run()
    to_check = list(options.check)
    if reason is None:
        LOGGER.info("%s is current; passing over", folder)
        tokenizer = Tokenizer.load(folder)
    else:
        LOGGER.info("%s: %s", folder, reason)
        mark.clear()
        remove_half_written(folder)
        texts, empty = normalise_all(read_transcripts(options.text), rules)
        if empty:
            LOGGER.warning("%d texts are empty after normalisation, first %s", len(empty), ", ".join(empty[:5]))
        tokenizer = train_tokenizer(texts.values(), folder, options.type, options.size, rules)
        mark.write()
        to_check.insert(0, options.text)
    LOGGER.info("%d %s units, rules `%s`", tokenizer.size, options.type, rules.name)
    for path in to_check:
        coverage = measure_coverage(tokenizer, read_transcripts(path).values())
        examples = ", ".join(f"{unit} ({n})" for unit, n in coverage.unknown.most_common(10))
        message = f"{path}: {coverage.num_units} units, {100 * coverage.unknown_share:.2f} % unknown"
        LOGGER.info("%s%s", message, f": {examples}" if examples else "")
    print(folder.as_posix())


if __name__ == "__main__":
    sys.exit(main())
