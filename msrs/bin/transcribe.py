"""msrs-transcribe: what is said in a video file, whatever its size and frame rate."""

import argparse
import sys
from collections.abc import Sequence

from msrs.command import CommandParser, run_command


def parser() -> CommandParser:
    """The options of msrs-transcribe."""
    options = CommandParser(
        "msrs-transcribe",
        "Print what is said in video files: face, mouth crop, model, text.",
        "msrs-transcribe film.mp4 --model exp/train_audiovisual --times",
    )
    add = options.add_argument
    add("clips", nargs="+", metavar="CLIP", help="video file; for a model of sound alone, a sound file")
    add("--model", required=True, metavar="EXP", help="experiment folder (stage 4), exp/<tag>")
    add("--audio", metavar="FILE", help="sound of the one CLIP, where it is not in it")
    add(
        "--streams",
        choices=("video", "audio", "audiovisual"),
        help="what an audio-visual model is to read; left out: both, or the pictures alone of a CLIP without sound",
    )
    add("--config", help="YAML with the options of the search, such as conf/decode.yaml")
    add("--decode-args", nargs="*", default=[], metavar="KEY=VALUE", help='overrides, for example "beam_size=5"')
    add("--checkpoint", default="average", help="name of a file in <EXP>/checkpoints without .pt, or a path")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU where there is one")
    add("--nbest", type=int, default=1, help="lines a clip; more than one come with their scores")
    add(
        "--max-seconds",
        type=float,
        metavar="N",
        help="read longer clips in pieces of at most so long, cut where it is quiet or the mouth is still; left out: 1.25 "
        "times the longest utterance of training, 16 where the folder does not say",
    )
    add("--times", action="store_true", help="a line a piece, with its beginning and end in seconds")
    return options


def work(options: argparse.Namespace) -> int:
    """Print a line a clip, or a piece of it, its name before it where there are several.

    Returns: 1 where a clip could not be used.
    """
    from msrs.api import Recognizer, join_pieces
    from msrs.config import split_words
    from msrs.data.kaldi_table import on_one_line
    from msrs.errors import ConfigError, MediaError
    from msrs.log import LOGGER
    from msrs.search.options import load_search

    if options.audio and len(options.clips) > 1:
        raise ConfigError("--audio belongs to one clip; give a single CLIP with it.")
    words = split_words("--decode-args", options.decode_args)
    search = load_search(options.config, [*words, f"nbest={options.nbest}"])
    where = (options.model, search, options.checkpoint, options.device)
    recognizer = Recognizer.from_experiment(*where, max_seconds=options.max_seconds, streams=options.streams)
    failures = 0
    for clip in options.clips:
        pieces = []
        name = [on_one_line(clip)] if len(options.clips) > 1 else []
        try:
            for piece in recognizer.pieces(clip, options.audio):
                pieces.append(piece)
                if options.times:
                    times = [f"{seconds:.2f}" for seconds in piece[:2]]
                    print_lines(piece.transcripts, options.nbest > 1, *name, *times)
        except MediaError as error:
            LOGGER.error("%s", error)
            failures += 1
            continue
        if not options.times:
            print_lines(join_pieces(pieces, options.nbest), options.nbest > 1, *name)
    return 1 if failures else 0


def print_lines(transcripts: Sequence[tuple], with_scores: bool, *before: str) -> None:
    """A line a transcript, after the words `before`."""
    for one in transcripts:
        score = [f"{one.hypothesis.score:.3f}"] if with_scores else []
        print(*before, *score, one.text, sep="\t", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    return run_command(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
