#!/usr/bin/env bash
# GRID, real people: ./run.sh --grid-dir FOLDER [--modality video|audio|audiovisual]; ./run.sh --help lists the options.
set -euo pipefail
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# A tree with its own lists may have a set of speakers that are in no other; it is tested on too.
test_sets="test"
grid=${GRID_DIR:-}
for ((i = 1; i <= $#; i++)); do
    next=$((i + 1))
    case ${!i} in
        --grid-dir | --grid_dir) grid=${!next:-} ;;
        --grid-dir=* | --grid_dir=*) grid=${!i#*=} ;;
    esac
done
if [[ -f $grid/split/unseen.txt || -d $recipe/data/unseen ]]; then test_sets="test unseen"; fi

exec "$recipe/../../utils/avsr.sh" "$recipe" \
    --test-sets "$test_sets" \
    --crop-args "--max-faces 1 --min-frames 70" \
    --token-type char \
    --local-options "grid-dir split max-missing" \
    -- "$@"
