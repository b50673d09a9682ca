#!/usr/bin/env bash
# All that is to be measured where a GPU is at hand, in one command of at most nine minutes; started again, it goes on.
set -euo pipefail

usage() {
    cat <<'END'
Usage: tools/bench/gpu.sh [--out DIR] [--peer DIR] [--dump DIR --tokens-root DIR [--list YAML]] [--seconds N] [--tiny]

  --out DIR          results: a JSON file and a log a step, lengths.png, and gpu.md with tables (default: bench_gpu)
  --peer DIR         checkout of github mpc001/auto_avsr, to be measured beside; see tools/bench/peer.py
  --dump DIR         GRID's dump folder (stage 2) with its sets: the last step trains the list of runs on it
  --tokens-root DIR  folder that holds GRID's tokens_* (stage 3)
  --list YAML        the list of runs (default: egs/grid/conf/ablation/lips.yaml)
  --seconds N        stop after so long (default: 540)
  --tiny             a dry run on the CPU at a tiny size

A step that is done has its JSON file and is passed over. PYTHON names the interpreter (default: python).
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=bench_gpu peer="" dump="" tokens="" seconds=540 tiny=""
list=$root/egs/grid/conf/ablation/lips.yaml
while [[ $# -gt 0 ]]; do
    case $1 in
        --help | -h) usage && exit 0 ;;
        --tiny) tiny=1 && shift ;;
        --out) out=$2 && shift 2 ;;
        --peer) peer=$(realpath "$2") && shift 2 ;;
        --dump) dump=$(realpath "$2") && shift 2 ;;
        --tokens-root) tokens=$(realpath "$2") && shift 2 ;;
        --list) list=$(realpath "$2") && shift 2 ;;
        --seconds) seconds=$2 && shift 2 ;;
        *) printf 'gpu.sh: unknown option %s\n' "$1" >&2 && usage >&2 && exit 2 ;;
    esac
done

if [[ (-n $dump && -z $tokens) || (-z $dump && -n $tokens) ]]; then
    printf 'gpu.sh: --dump and --tokens-root go together: give both, or none to leave out the list of runs\n' >&2
    exit 2
fi

python=${PYTHON:-python}
bench=$root/tools/bench
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
mkdir -p "$out"
out=$(realpath "$out")
started=$SECONDS
failed=()

# step NAME COMMAND...: the last line of what the command prints becomes NAME.json, the whole NAME.log
step() {
    local name=$1 left=$((seconds - SECONDS + started))
    shift
    if [[ -s $out/$name.json ]]; then
        printf '== %s: done before\n' "$name"
        return
    fi
    if ((left < 5)); then
        printf '== %s: no time left; start again\n' "$name"
        failed+=("$name")
        return
    fi
    printf '== %s (%s s left)\n' "$name" "$left"
    if timeout "$left" "$@" >"$out/$name.log" 2>"$out/$name.err" && tail -n 1 "$out/$name.log" >"$out/$name.part"; then
        mv "$out/$name.part" "$out/$name.json"
        sed 's/^/   /; $d' "$out/$name.log"
    else
        printf '   failed or out of time; the last lines of %s.log and .err:\n' "$out/$name"
        tail -q -n 8 "$out/$name.log" "$out/$name.err" | cut -c 1-200 | sed 's/^/   /'
        failed+=("$name")
    fi
}

beside=()
if [[ -n $peer ]]; then beside=(--peer "$peer"); fi
if [[ -n $tiny ]]; then
    size=(--tiny --device cpu --threads 1)
    paths=(--device cpu --no-compile)
    train=(--batch 2 --frames 10 --steps 1 --precisions float32)
    sparse=(--size 64 --num-blocks 1 --batch 2 --steps 1)
    decode=(--batch 1 --frames 8 --beams 2 --turns 1)
    lengths=(--lengths 8 --precision float32)
else
    size=(--full --device cuda)
    paths=(--device cuda)
    train=(--batch 16 --frames 100 --steps 4 --turn 5)
    sparse=(--size 768 --num-blocks 12 --device cuda --steps 20)
    decode=(--batch 16 --frames 150 --beams 1 10 40 --turns 2)
    lengths=(--lengths 100 200 400 800 1600 3200)
fi

step device "$python" -c 'import json; from msrs.environment import describe, devices; print(json.dumps(describe() | {"devices": ", ".join(devices())}))'
step paths "$python" "$bench/paths.py" "${paths[@]}"
step train "$python" "$bench/train.py" "${size[@]}" "${train[@]}" ${beside[@]+"${beside[@]}"}
step sparse "$python" "$bench/sparse.py" "${sparse[@]}"
step decode "$python" "$bench/decode.py" "${size[@]}" "${decode[@]}"
step lengths "$python" "$bench/lengths.py" "${size[@]}" "${lengths[@]}" --plot "$out/lengths.png"
if [[ -z $tiny ]]; then
    step train_compiled "$python" "$bench/train.py" "${size[@]}" "${train[@]}" --precisions bfloat16 --compile --profile
fi
# The last step: what two cores cannot do. Its runs go on where they were stopped.
if [[ -n $dump && -n $tokens ]]; then
    gpu=(--ngpu 1 --jobs 2)
    if [[ -n $tiny ]]; then gpu=(--ngpu 0 --jobs 1); fi
    step grid bash -c '"$@" && printf "{\"page\": \"%s\"}\n" results/'"$(basename "$list" .yaml)"'.md' grid \
        "$python" "$root/utils/ablation.py" --list "$list" --feats "$dump" --tokens-root "$tokens" \
        --exp "$out/exp" --out "$out/results" "${gpu[@]}"
fi
"$python" "$bench/gpu_table.py" "$out" >"$out/gpu.md"
printf 'gpu.sh: %s has the tables\n' "$out/gpu.md"
if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'gpu.sh: not done: %s; the same command goes on\n' "${failed[*]}" >&2
    exit 1
fi
