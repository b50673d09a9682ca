#!/usr/bin/env bash
# All checks, as CI runs them: set-up, lint and format of Python, lint of shell, tests.
set -euo pipefail

usage() {
    cat <<'END'
Usage: tools/run_tests.sh [--fast] [words for pytest]

  --fast   leave out test/recipes (whole recipes from recordings to scores)

Makes the environment first where it is missing. Examples:
  tools/run_tests.sh --fast -x             stop at the first failure
  tools/run_tests.sh test/text -k coverage some tests only
The number of processes is that of the cores; MSRS_TEST_JOBS sets another.
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
words=()
for word in "$@"; do
    case $word in
        --help | -h) usage && exit 0 ;;
        --fast) words+=(--ignore="$root/test/recipes") ;;
        *) words+=("$word") ;;
    esac
done

# shellcheck source=utils/path.sh
source "$root/utils/path.sh"
cd "$root"
# Tests run in processes side by side, so each of them keeps to one thread.
export OMP_NUM_THREADS=1
jobs=${MSRS_TEST_JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
failed=()

# check NAME COMMAND...: goes on after a failure, so that one run shows all of them
check() {
    printf '== %s\n' "$1"
    "${@:2}" || failed+=("$1")
}

check "ruff check" ruff check .
check "ruff format" ruff format --check .
shell_files=(.ci/run)
while IFS= read -r file; do shell_files+=("$file"); done < <(find tools utils egs test -name '*.sh' -type f)
check "shellcheck" shellcheck -x "${shell_files[@]}"
check "pytest" python -m pytest -n "$jobs" --dist worksteal ${words[@]+"${words[@]}"}

if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'run_tests: failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
