#!/usr/bin/env bash
# Stage 0: data directories from a GRID tree; all options go to data.py (--help tells them).
set -euo pipefail
exec python3 "$(dirname "$0")/data.py" "$@"
