#!/usr/bin/env bash
# LRS3, talks: ./run.sh --lrs3-dir FOLDER [--modality video|audio|audiovisual]; ./run.sh --help lists the options.
set -euo pipefail
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$recipe/../../utils/avsr.sh" "$recipe" \
    --test-sets test \
    --token-type unigram --token-size 5000 \
    --local-options "lrs3-dir train-parts max-seconds num-dev max-missing nj" \
    -- "$@"
