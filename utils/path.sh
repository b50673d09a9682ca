# shellcheck shell=bash
# Sourced by every recipe: the environment (made when it is not there), the locale, threads.

msrs_environment=$("$(dirname "${BASH_SOURCE[0]}")/../tools/setup_env.sh") || return
export PATH="$msrs_environment/bin:$PATH"
unset PYTHONPATH PYTHONHOME # another installation's packages must not come before this environment's
export LC_ALL=C.UTF-8 PYTHONUTF8=1
# numpy's matrices are small here: threads make them slower, and sums in another order make them differ.
export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
# A waiting thread of torch's spins for milliseconds before it sleeps; where other programs want the cores, that made
# training four times slower. Some ten microseconds are enough where nobody else does.
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-10000}
