#!/usr/bin/env bash
# Makes the folder of a new recipe that runs as it is on a list of three columns; local/data.py is what one edits.
set -euo pipefail

usage() {
    cat <<'END'
Usage: utils/new_recipe.sh NAME

Makes egs/NAME with run.sh, conf/, local/data.sh, local/data.py and README.md. It runs as it is on a list of recordings,
one a line:  <speaker>-<rest>  <media file>  <transcript>  with tabs between the columns:
    egs/NAME/run.sh --list my_recordings.tsv
For a corpus with a layout of its own, edit egs/NAME/local/data.py.
END
}

fail() { printf 'new_recipe: %s\n' "$*" >&2 && exit 1; }

case ${1:-} in
    --help | -h) usage && exit 0 ;;
    "") usage >&2 && exit 2 ;;
esac
name=$1
[[ $name =~ ^[a-z][a-z0-9_]*$ ]] || fail "'$name' is no good name; small letters, digits and _ make one."
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
recipe=$root/egs/$name
[[ ! -e $recipe ]] || fail "$recipe exists already."

work=$root/egs/.$name.new
rm -rf "$work"
mkdir -p "$work/conf" "$work/local"
for file in train.yaml decode.yaml; do cp "$root/egs/mini/conf/$file" "$work/conf/$file"; done

cat >"$work/run.sh" <<'END'
#!/usr/bin/env bash
# NAME, from recordings to RESULTS.md: ./run.sh --list recordings.tsv; ./run.sh --help lists the options.
set -euo pipefail
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$recipe/../../utils/avsr.sh" "$recipe" \
    --test-sets test \
    --token-type unigram --token-size 200 \
    --local-options "list dev-share test-share" \
    -- "$@"
END

cat >"$work/local/data.sh" <<'END'
#!/usr/bin/env bash
# Stage 0: writes data/train, data/dev and data/test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=utils/path.sh
source ../../utils/path.sh # for who types it by hand
exec python3 local/data.py "$@"
END

cat >"$work/local/data.py" <<'END'
"""Stage 0 of NAME: a list of recordings becomes data/train, data/dev and data/test, no speaker in two of them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from msrs.command import CommandParser, run_command
from msrs.data.datadir import DataDir, split, write_datadir
from msrs.errors import DataError
from msrs.files import read_lines
from msrs.log import LOGGER


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry. Returns: the exit code."""
    parser = CommandParser("local/data.py", __doc__)
    parser.add_argument("--list", required=True, help="lines of utt_id, media file, transcript, with tabs between them")
    parser.add_argument("--dev-share", type=float, default=0.1, help="share of the utterances in data/dev")
    parser.add_argument("--test-share", type=float, default=0.1, help="share of the utterances in data/test")
    return run_command(parser, prepare, argv)


def prepare(options: argparse.Namespace) -> None:
    """Read the list, hold speakers out for dev and test, write the three sets."""
    everything = read_list(Path(options.list))
    rest, test = split(everything, "data/rest", "data/test", options.test_share)
    train, dev = split(rest, "data/train", "data/dev", options.dev_share / (1 - options.test_share))
    for data in (train, dev, test):
        write_datadir(data)
        LOGGER.info("%s: %d utterances, %d speakers", data.path, len(data.text), len(set(data.utt2spk.values())))


def read_list(path: Path) -> DataDir:
    """All utterances of the list; media are looked for beside it. Raises: DataError naming the line that is wrong."""
    data = DataDir(Path("data/all"), text={}, utt2spk={})
    for number, line in enumerate(read_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) != 3 or "-" not in columns[0]:
            raise DataError(f"{path}:{number}: expected <speaker>-<rest>, media file and transcript, with tabs between.")
        utt, media, text = columns
        if utt in data.text:
            raise DataError(f"{path}:{number}: {utt} is there twice.")
        file = str(path.parent / media)
        data.text[utt] = text
        data.utt2spk[utt] = utt.partition("-")[0]
        data.video[utt] = data.audio[utt] = file  # sound and pictures from the same file
    return data


if __name__ == "__main__":
    sys.exit(main())
END

cat >"$work/README.md" <<'END'
# NAME

What the corpus is, who speaks, its licence, and where to get it.

    ./run.sh --list recordings.tsv

A line of the list: `<speaker>-<rest>`, media file (relative to the list), transcript, with tabs between the columns.
Whole speakers are held out for dev and test, so at least three are needed. Figures: RESULTS.md, written by stage 5.
END

for file in run.sh local/data.sh local/data.py README.md; do
    content=$(<"$work/$file")
    printf '%s\n' "${content//NAME/$name}" >"$work/$file"
done
chmod +x "$work/run.sh" "$work/local/data.sh"
mv "$work" "$recipe"
printf 'new_recipe: made egs/%s; next: egs/%s/run.sh --list recordings.tsv\n' "$name" "$name"
