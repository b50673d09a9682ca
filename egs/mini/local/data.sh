#!/usr/bin/env bash
# Stage 0: renders the clips, writes data/train, data/dev, data/test and data/heldout.
set -euo pipefail
exec python local/data.py "$@"
