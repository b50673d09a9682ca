"""msrs-score, the last part of stage 5: word and character errors of a decoded set, or two sets compared."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from msrs.command import CommandParser, run_command
from msrs.config import load_document
from msrs.environment import describe as describe_environment
from msrs.errors import ConfigError, StageError
from msrs.log import LOGGER
from msrs.score.compare import compare_folders, compare_speakers, describe
from msrs.score.edit import Unit
from msrs.score.result import Score, score, write_score
from msrs.score.table import COUNT_HEADER, confusion_table, count_cells, find_confusions, speaker_table, text_table
from msrs.text.normalise import find_rules
from msrs.text.transcripts import read_transcripts


def main(argv: Sequence[str] | None = None) -> int:
    """The command's door."""
    parser = CommandParser(
        "msrs-score",
        "Count word and character errors of a decoded set, or compare two such counts (stage 5, after msrs-decode).",
        "msrs-score --ref data/test/text --hyp exp/train_video/decode_decode/test/text",
    )
    add = parser.add_argument
    add("--ref", metavar="FILE", help="reference transcripts, `utt_id words` a line")
    add("--hyp", metavar="FILE", help="hypotheses in the same form")
    add(
        "--out",
        metavar="FOLDER",
        help="where ref.trn, hyp.trn, alignment.txt and result.json go; left out: beside --hyp",
    )
    add("--rules", default="upper", help="normalisation of both: upper, lower, verbatim or a YAML file")
    add(
        "--utt2spk",
        metavar="FILE",
        help="speakers; left out: utt2spk beside --ref, else the ids up to their first dash",
    )
    add("--options", metavar="FILE", help="YAML file with the options of the search, kept in result.json")
    add("--command", metavar="TEXT", help="command to keep in result.json; left out: this one")
    add("--seed", type=int, default=0, help="seed of the bootstrap")
    add("--compare", nargs=2, metavar=("A", "B"), help="two folders that hold a result.json of the same set")
    arguments = sys.argv[1:] if argv is None else list(argv)
    return run_command(parser, lambda options: work(options, shlex.join(["msrs-score", *arguments])), argv)


def work(options: argparse.Namespace, command: str) -> None:
    """Score, or compare where that was asked for."""
    if options.compare:
        a, b = options.compare
        print(compare_speakers(a, b), describe(compare_folders(a, b, options.seed), a, b), sep="\n\n")
        return
    if not options.ref or not options.hyp:
        raise ConfigError("msrs-score needs --ref and --hyp, or --compare A B.")
    if not Path(options.hyp).is_file():
        raise StageError(f"{options.hyp}: no such file; run the first part of stage 5 (msrs-decode).")
    beside = Path(options.ref).with_name("utt2spk")
    speakers = options.utt2spk or (beside if beside.is_file() else None)
    result = score(
        read_transcripts(options.ref),
        read_transcripts(options.hyp),
        find_rules(options.rules),
        read_transcripts(speakers) if speakers else None,
    )
    record = {
        "command": options.command or command,
        "environment": describe_environment(),
        "options": load_document(options.options).values if options.options else {},
    }
    written = write_score(options.out or Path(options.hyp).parent, result, record, options.seed)
    report(result, {unit: written[unit]["interval"] for unit in ("words", "characters")})


def report(result: Score, intervals: Mapping[Unit, Sequence[float] | None]) -> None:
    """Print the tables; log what a reader of the rate must know."""
    for utt_ids, what in (
        (result.missing, "have no hypothesis and count as deleted"),
        (result.empty, "have no word in the reference"),
    ):
        if utt_ids:
            LOGGER.warning("%d utterances %s, first %s", len(utt_ids), what, ", ".join(utt_ids[:5]))
    rows = [
        [name, *count_cells(result.total(unit), intervals[unit])]
        for name, unit in (("WER", "words"), ("CER", "characters"))
    ]
    print(text_table(["", *COUNT_HEADER], rows))
    if len(set(result.speakers)) > 1:
        print("", speaker_table(result.by_speaker()), sep="\n")
    confusions = find_confusions(result.alignments, most=10)
    if confusions:
        print("", confusion_table(confusions), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
