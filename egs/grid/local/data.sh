#!/usr/bin/env bash
# Stage 0: data directories from a GRID tree; all options go to data.py (--help tells them).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=utils/path.sh
source ../../utils/path.sh # for who types it by hand
exec python3 local/data.py "$@"
