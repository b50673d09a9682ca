#!/usr/bin/env bash
# Synthetic talking heads that speak digits, from nothing to RESULTS.md: ./run.sh; ./run.sh --help lists the options.
set -euo pipefail
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$recipe/../../utils/avsr.sh" "$recipe" \
    --test-sets "test heldout" \
    --crop-args "--max-faces 1" \
    --token-type word \
    --local-options "nj size num-train num-dev num-test num-heldout min-digits max-digits" \
    -- "$@"
