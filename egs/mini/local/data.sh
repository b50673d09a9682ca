#!/usr/bin/env bash
# Stage 0: renders the clips, writes data/train, data/dev, data/test and data/heldout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=utils/path.sh
source ../../utils/path.sh # for who types it by hand
exec python3 local/data.py "$@"
