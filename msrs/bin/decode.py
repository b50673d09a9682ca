"""msrs-decode: the first part of stage 5, from a trained model and a dump to text."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from msrs.command import CommandParser, run_command


def parser() -> CommandParser:
    """The options of msrs-decode."""
    options = CommandParser(
        "msrs-decode",
        "Decode a set with a trained model (stage 5). Started again, it goes on.",
        "msrs-decode --exp exp/train_video --feats dump/feats_video/test --config conf/decode.yaml --name decode",
    )
    add = options.add_argument
    add("--exp", required=True, help="experiment folder (stage 4), exp/<tag>")
    add("--feats", required=True, help="dump folder of the set (stage 2), dump/feats/<set>")
    add("--config", help="YAML with the options of the search, such as conf/decode.yaml")
    add("--name", help="results go to <exp>/decode_<name>/<set>; left out: default[_<STREAMS>][_snr<SNR>_<NOISE>]")
    add("--decode-args", nargs="*", default=[], metavar="KEY=VALUE", help='overrides, for example "beam_size=5"')
    add("--checkpoint", default="average", help="name of a file in <exp>/checkpoints without .pt, or a path")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU where there is one")
    streams = ("video", "audio", "audiovisual")
    add("--streams", choices=streams, help="what an audio-visual model is to read; left out: both, audiovisual")
    add("--noise", metavar="NOISE", help="noise added to the sound: white, babble, or a folder of recordings")
    add("--snr-db", metavar="SNR", help="power of the utterance over that of the noise in decibels, such as 0 or -5")
    add("--babble-from", metavar="DUMP", help="dump whose utterances make the babble; left out: --feats itself")
    add("--batch-size", type=int, help="utterances decoded together, for speed alone; left out: 16, or --config's")
    return options


def work(options: argparse.Namespace) -> None:
    """Read the options of the search and decode."""
    from msrs.api import decode_experiment
    from msrs.config import split_words
    from msrs.data.noise import fixed_noise
    from msrs.errors import ConfigError
    from msrs.search.options import load_search

    words = split_words("--decode-args", options.decode_args)
    if options.batch_size is not None:
        words.append(f"batch_size={options.batch_size}")
    search = load_search(options.config, words)
    if (options.noise is None) != (options.snr_db is None):
        raise ConfigError("--noise and --snr-db go together: which noise, and how loud.")
    if options.babble_from and options.noise != "babble":
        raise ConfigError("--babble-from says whose voices are heard; it goes with --noise babble.")
    name, noise = "default", None
    if options.streams not in (None, "audiovisual"):
        name += f"_{options.streams}"
    if options.noise is not None:
        noise = fixed_noise(options.noise, options.snr_db)
        name += f"_snr{options.snr_db}_{Path(options.noise).name}"
    where = (options.exp, options.feats, options.name or name)
    decode_experiment(*where, search, options.checkpoint, options.device, noise, options.babble_from, options.streams)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns: the exit code."""
    return run_command(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
