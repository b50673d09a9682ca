#!/usr/bin/env bash
# Makes the environment, or finds it made. Progress goes to standard error, the environment's folder to standard output.
set -euo pipefail

TORCH_VERSION=2.13.0 # the version that the published numbers were made with; setup.py says what else works
CPU_INDEX=https://download.pytorch.org/whl/cpu
EXTRAS=all,dev

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${MSRS_VENV:-$root/.venv}
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
python=$venv/bin/python
stamp=$venv/.msrs-ready     # what this environment was made from
made=$venv/.msrs-made       # this script made the folder and may make it anew
doubtful=$venv/.msrs-doubtful # pip is at work here; if it still stands at the next start, pip was killed

usage() {
    cat <<END
Usage: tools/setup_env.sh [--help]

Makes the Python environment of msrs from wheels alone: no compiler, no system package, and the CPU build of
torch where there is no NVIDIA GPU. Fetches the face model. A second run finds it all there and ends at once.

Variables (all optional):
  MSRS_VENV    folder of the environment [<checkout>/.venv]; one that exists already is added to, never removed
  MSRS_PYTHON  the Python to make it with [the first of python3.11, 3.12, 3.10, python3 that runs and is 3.10-3.12]
  MSRS_TORCH   what pip is told to install for torch, for example
               "torch==2.13.0 --index-url https://download.pytorch.org/whl/cu126" for an older GPU driver
END
}

say() { printf 'setup_env: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

fingerprint() {
    printf '%s\n' "$root"
    cat "$root/setup.py" "$root/tools/setup_env.sh" | cksum
}

# Nothing to do: made from these very files, its Python still runs, and the face model is where it was.
is_ready() {
    [[ -f $stamp && $(sed '$d' "$stamp") == "$(fingerprint)" && -f $(tail -n 1 "$stamp") ]] && "$python" -c '' 2>/dev/null
}

# A name on the PATH is not enough: a version manager's stand-in may be there and refuse to run.
is_usable() { "$1" -c "import ensurepip, sys, venv; sys.exit(not $2)" >/dev/null 2>&1; }

find_python() {
    local name
    if [[ -n ${MSRS_PYTHON:-} ]]; then
        is_usable "$MSRS_PYTHON" 'sys.version_info >= (3, 10)' ||
            fail "MSRS_PYTHON=$MSRS_PYTHON does not run, is older than 3.10 or lacks the modules venv and ensurepip."
        base=$MSRS_PYTHON
        return
    fi
    for name in python3.11 python3.12 python3.10 python3; do
        if is_usable "$name" '(3, 10) <= sys.version_info[:2] <= (3, 12)'; then
            base=$name
            return
        fi
    done
    fail "no Python 3.10, 3.11 or 3.12 with the modules venv and ensurepip was found on the PATH. Install one (from" \
        "python.org, conda, uv or pyenv; on Debian and Ubuntu: apt install python3-venv), or name it: MSRS_PYTHON=/path/to/python3.11"
}

# One set-up at a time; the lock belongs to the open file and so ends with this process, however that ends.
hold_lock() {
    mkdir -p "$(dirname "$venv")"
    exec 9>"$venv.lock"
    "$base" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return
    say "another set-up is at work on $venv; waiting for it"
    "$base" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' 2>/dev/null || say "locks do not work here; going on without one"
}

make_venv() {
    if [[ -f $made && -f $doubtful ]] || { [[ -f $made ]] && ! "$python" -c '' 2>/dev/null; }; then
        say "$venv was left half made; making it anew"
        rm -rf "$venv"
    fi
    if [[ ! -x $python ]]; then
        if [[ -d $venv && -n $(ls -A "$venv") ]]; then
            fail "$venv exists and is no Python environment; move it away or name another folder in MSRS_VENV."
        fi
        say "making $venv with $("$base" -V) ($(command -v "$base"))"
        mkdir -p "$venv"
        touch "$made" "$doubtful"
        "$base" -m venv "$venv"
        rm "$doubtful"
    fi
    "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >&2
}

# Settings of the caller's that would send packages elsewhere are left out; indexes and constraints are kept.
run_pip() { env -u PYTHONPATH -u PYTHONHOME PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 "$python" -m pip "$@"; }

# Wheels only: a source package would need a compiler. With bars on a terminal; in a log, what pip says is shown only if it
# fails.
install() {
    local words=(install --only-binary=:all: --log "$venv/setup.log" "$@") output=$venv/.pip-output code=0
    touch "$doubtful"
    if [[ -t 2 ]]; then
        run_pip "${words[@]}" >&2 || code=$?
    else
        run_pip "${words[@]}" -qq >"$output" 2>&1 || { code=$? && cat "$output" >&2; }
    fi
    # pip undoes its own failures (1, 2); anything else means that it was killed and left a package half there.
    if [[ $code -le 2 ]]; then rm -f "$doubtful"; fi
    return "$code"
}

has_torch() { "$python" -c 'import sys, torch; sys.exit(tuple(map(int, torch.__version__.split(".")[:2])) < (2, 4))' 2>/dev/null; }
has_gpu() { command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; }

# Does pip, with these options and as this machine has it configured, come to a torch without the CUDA libraries? Asked
# without a download.
finds_cpu_build() {
    run_pip install --dry-run --no-deps -qq --only-binary=:all: --report - "$@" "torch==$TORCH_VERSION" 2>/dev/null | "$python" -c '
import json, sys
needs = json.load(sys.stdin)["install"][0]["metadata"].get("requires_dist", [])
sys.exit(any(need.startswith(("nvidia", "cuda")) for need in needs))' 2>/dev/null
}

install_torch() {
    if [[ -n ${MSRS_TORCH:-} ]]; then
        local words
        read -ra words <<<"$MSRS_TORCH"
        say "torch: as MSRS_TORCH says ($MSRS_TORCH)"
        install "${words[@]}"
    elif has_torch; then
        say "torch: here already"
    elif has_gpu; then
        say "torch: the CUDA build, for the GPU of this machine (some gigabytes)"
        install "torch==$TORCH_VERSION" || return
        "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
            say "torch does not see the GPU: its driver may be too old for this build; tools/setup_env.sh --help, MSRS_TORCH, says what to do"
    elif [[ $(uname -s) != Linux ]] || finds_cpu_build; then
        say "torch: the CPU build"
        install "torch==$TORCH_VERSION"
    elif finds_cpu_build --index-url "$CPU_INDEX" --timeout 15 --retries 1; then
        say "torch: the CPU build, from $CPU_INDEX"
        install --index-url "$CPU_INDEX" "torch==$TORCH_VERSION"
    else
        say "torch: only the CUDA build can be had for $("$python" -V) here ($CPU_INDEX gave no answer): about 3 GB to" \
            "download and 6 GB on disk. It runs without a GPU too; going on with it"
        install "torch==$TORCH_VERSION"
    fi
}

# The configured file, the cached one, or a new one; stage 1 looks in the same places and tries again by itself.
find_face_model() {
    "$python" -c '
import sys
from msrs.errors import MsrsError
from msrs.faces.face_model import resolve_face_model
try:
    print(resolve_face_model().resolve())
except MsrsError as error:
    sys.exit(f"setup_env: {error}")'
}

if [[ $# -gt 0 ]]; then
    case $1 in
        --help | -h) usage && exit 0 ;;
        *) usage >&2 && fail "$1 is not an option" ;;
    esac
fi
if is_ready; then
    printf '%s\n' "$venv"
    exit 0
fi
base=
find_python
hold_lock
if ! is_ready; then
    seconds=$SECONDS
    failed="the environment is not complete; run the same command again once the cause is gone (details: $venv/setup.log)"
    make_venv
    say "1 of 4: pip and setuptools"
    # pip 24 asks an index for a wheel's metadata instead of the wheel; setuptools 77 needs no package named wheel.
    install "pip>=24" "setuptools>=77" || fail "$failed"
    say "2 of 4: torch"
    install_torch || fail "$failed"
    say "3 of 4: msrs and what it needs"
    install --no-build-isolation -e "${root}[$EXTRAS]" || fail "$failed"
    say "4 of 4: face model"
    if face_model=$(find_face_model); then
        { fingerprint && printf '%s\n' "$face_model"; } >"$stamp.new"
        mv "$stamp.new" "$stamp"
    else
        say "going on without a face model; nothing but stage 1 on new recordings needs it, and the next set-up tries again"
    fi
    say "ready after $((SECONDS - seconds)) s: $venv"
fi
printf '%s\n' "$venv"
