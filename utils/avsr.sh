#!/usr/bin/env bash
# The stage driver of every recipe: parses options, gates stages, makes folders; Python does the rest.
# A recipe's run.sh ends in  exec "$recipe/../../utils/avsr.sh" "$recipe" <its own settings> -- "$@"
# shellcheck disable=SC2154 # the options' variables are assigned by `option` and `flag`
set -euo pipefail

utils=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=utils/parse_options.sh
source "$utils/parse_options.sh"

option stage whole 0 "first stage"
option stop-stage whole 5 "last stage"
option modality "video|audio|audiovisual" audiovisual "what the model takes in"
option ngpu whole "" "GPUs of a machine to train on (where empty: all that there are)"
option processes whole "" "training processes of a machine without GPUs (where empty: one)"
option num-nodes whole 1 "machines to train on; without Slurm, stage 4 is to be started on each of them"
flag shard "stage 4: each process holds a part of the model, for one that does not fit a GPU"
option rendezvous word "" "HOST:PORT where these machines find each other"
option cmd "local|slurm" local "where stage 4 trains: here, or as a job of Slurm"
option slurm-args word "" "settings of that job, such as \"partition=gpu time=2880 comment='my run'\""
option nj whole "$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)" "processes at once, where work can be shared out"
option seed whole "" "seed of training, in place of the configuration's"
option train-set word train "name of the training set"
option dev-set word dev "name of the development set"
option test-sets word test "names of the test sets, in one word"
option local-options word "" "names of further options that are handed on to local/data.sh, in one word"
option local-data-args word "" "words for local/data.sh beside those options; quotes hold one with spaces together"
option face-model path "" "face model, in place of the one that set-up fetched"
option max-skipped word "" "share of a set that stages 1 and 2 may put aside each, such as 0.05"
option crop-args word "" "words for msrs-crop, such as \"--max-faces 1 --crf 20\", in place of the recipe's"
option token-type word unigram "unit of the text: unigram, bpe, char or word"
option token-size whole 500 "number of units; to be left out for char and word: all"
option train-config path conf/train.yaml "configuration of the model and its training"
option train-args word "" "settings laid over it: \"optim.lr=3e-4 augment.noise.folder='/my noise'\""
option decode-config path conf/decode.yaml "configuration of the search"
option decode-args word "" "settings laid over it"
option noise path "" "stage 5: noise added to the sound: white, babble, or a folder of recordings"
option snr-db word "-5 0 5 10 15 20" "levels of that noise in decibels, in one word; each is decoded and scored"
option babble-from word "" "set whose utterances make the babble (where empty: the set that is decoded)"
option streams word "" "stage 5: what an audio-visual model reads, such as \"audiovisual video audio\"; each is decoded and scored"
option init word "" "stage 4: experiments or checkpoints whose weights a new run begins with, in one word"
flag from-scratch "stage 4: begin anew where a run has begun already; that one is set aside as EXP.old1"
option tag word "" "name of the experiment (where empty: <train-config>_<modality>)"
option dumpdir word dump "folder of what stages 1 and 2 write"
option expdir word exp "folder of the experiments"
flag dry-run "print the commands, run none"
flag help "print this"

on_option() {
    local name names
    case $1 in
        local-options)
            read -ra names <<<"$2"
            pass_option ${names[@]+"${names[@]}"}
            ;;
        streams)
            read -ra names <<<"$2"
            for name in "${names[@]-}"; do # of no name at all, the empty one
                if [[ " video audio audiovisual " != *" $name "* ]]; then
                    option_error "--streams is '$2', expected some of video, audio, audiovisual in one word"
                fi
            done
            ;;
        snr-db)
            if [[ -z ${2//[[:space:]]/} ]]; then
                option_error "--snr-db is '$2', expected levels in decibels in one word, such as \"0 10 clean\""
            fi
            ;;
        *-args | init) split_words "$1" "$2" ;; # so that a mistake is told before any work
        # Another unit has another number of units: the recipe's does not hold for the one that a user types.
        token-type) token_size= ;;
    esac
}

usage() {
    cat <<END
Usage: $PROGRAM [options]

Stages: 0 data, 1 crop (mouths), 2 dump (archives), 3 tokens, 4 train, 5 decode and score. Without options all are run.
A stage that is done is passed over; one that was stopped goes on. Options may be written with - or _.

END
    print_options
    if [[ ${#PASSED_NAMES[@]} -gt 0 ]]; then
        printf '\nOptions of stage 0 (local/data.sh --help explains them): %s\n' "${PASSED_NAMES[*]/#/--}"
    fi
    cat <<END

Examples:
  $PROGRAM --modality video
  $PROGRAM --stage 4 --tag longer --train-args "train.max_epochs=60"
  $PROGRAM --stage 5 --noise babble --snr-db "0 10 clean"
END
}

say() { printf '%s: %s\n' "${PWD##*/}" "$*" >&2; }

# Print a command, and run it unless this is a dry run.
run() {
    local line
    printf -v line '%q ' "$@"
    if [[ $dry_run == true ]]; then
        printf '%s\n' "${line% }"
    else
        printf '\n$ %s\n' "${line% }" >&2
        "$@"
    fi
}

# run_pooled COMMAND...: the command makes --nj processes itself; each of them keeps to one thread.
run_pooled() { OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} run "$@"; }

# Is this stage asked for? From here on a failure is this stage's.
begin() {
    if [[ $stage -gt $1 || $stop_stage -lt $1 ]]; then return 1; fi
    current=$1
    current_name=$2
    hint=
    started=$SECONDS
}

finish() {
    if [[ $dry_run == false ]]; then say "stage $current ($current_name) took $((SECONDS - started)) s"; fi
    current=
}

tell_failure() {
    local code=$? word line skip=false
    if [[ $code -eq 0 || -z $current ]]; then return; fi
    line=$PROGRAM
    for word in ${TYPED_WORDS[@]+"${TYPED_WORDS[@]}"}; do
        if [[ $skip == true ]]; then
            skip=false
        elif [[ $word == --stage ]]; then
            skip=true
        elif [[ $word != --stage=* ]]; then
            line+=$(printf ' %q' "$word")
        fi
    done
    say "stage $current ($current_name) failed with exit code $code; the reason stands above. To run it again and go on:"
    printf '    %s --stage %s\n' "$line" "$current" >&2
    if [[ -n $hint ]]; then say "$hint"; fi
}

CALLED_FROM=$PWD
if [[ $# -gt 0 && $1 != -* ]]; then
    cd "$1"
    shift
fi
if [[ ! -x run.sh ]]; then
    PROGRAM=$utils/avsr.sh
elif [[ $PWD == "$CALLED_FROM" ]]; then
    PROGRAM=./run.sh
else
    PROGRAM=${PWD#"$CALLED_FROM"/}/run.sh
fi
TYPED_WORDS=("$@") # where no `--` tells the user's words from the recipe's, all are taken for the user's
parse_options "$@"
if [[ $stage -gt $stop_stage || $stage -gt 5 ]]; then
    option_error "--stage $stage with --stop-stage $stop_stage: there is no stage from the one to the other"
fi
if [[ $help == true ]]; then
    usage
    exit 0
fi

read -ra test_names <<<"$test_sets"
sets=("$train_set" "$dev_set")
for name in ${test_names[@]+"${test_names[@]}"}; do
    if [[ " ${sets[*]} " != *" $name "* ]]; then sets+=("$name"); fi
done
crops=$dumpdir/crop
# A folder for each choice of streams: runs of several modalities, side by side too, never make each other's dump anew.
feats=$dumpdir/feats
if [[ $modality != audiovisual ]]; then feats+=_$modality; fi
tokens=data/tokens_$token_type$token_size
config_name=${train_config##*/}
experiment=$expdir/${tag:-${config_name%.*}_$modality}
decode_name=${decode_config##*/}
decode_name=${decode_name%.*}

current=
trap tell_failure EXIT
if [[ $dry_run == false ]]; then
    # shellcheck source=utils/path.sh
    source "$utils/path.sh"
fi

if begin 0 data; then
    words=()
    for name in ${PASSED_NAMES[@]+"${PASSED_NAMES[@]}"}; do
        # An option that the driver has as well (--nj, --seed) is handed on with its value.
        variable=${name//-/_}
        if [[ " ${OPTION_NAMES[*]} " == *" $name "* && -n ${!variable} ]]; then words+=("--$name" "${!variable}"); fi
    done
    split_words local-data-args "$local_data_args"
    run_pooled local/data.sh ${words[@]+"${words[@]}"} ${PASSED_WORDS[@]+"${PASSED_WORDS[@]}"} ${WORDS[@]+"${WORDS[@]}"}
    hint="Where the sets below data/ were mended (msrs-validate --fix), go on with --stage 1: stage 0 writes them anew."
    run_pooled msrs-validate --nj "$nj" "${sets[@]/#/data/}"
    finish
fi

if begin 1 crop; then
    if [[ $modality == audio ]]; then
        say "stage 1 (crop): nothing to do for sound alone"
    else
        split_words crop-args "$crop_args"
        for name in "${sets[@]}"; do
            run_pooled msrs-crop --data "data/$name" --out "$crops/$name" --nj "$nj" \
                ${max_skipped:+--max-skipped "$max_skipped"} ${face_model:+--face-model "$face_model"} \
                ${WORDS[@]+"${WORDS[@]}"}
        done
    fi
    finish
fi

if begin 2 dump; then
    for name in "${sets[@]}"; do
        words=(--data "data/$name" --out "$feats/$name" --modality "$modality" --nj "$nj")
        if [[ -n $max_skipped ]]; then words+=(--max-skipped "$max_skipped"); fi
        if [[ $modality != audio ]]; then words+=(--crop "$crops/$name"); fi
        run_pooled msrs-dump "${words[@]}"
    done
    finish
fi

if begin 3 tokens; then
    run msrs-tokenize --text "data/$train_set/text" --type "$token_type" ${token_size:+--size "$token_size"} \
        --out "$tokens" --check "data/$dev_set/text"
    finish
fi

if begin 4 train; then
    words=()
    if [[ $num_nodes -gt 1 ]]; then words+=(--num-nodes "$num_nodes"); fi
    if [[ $shard == true ]]; then words+=(--shard); fi
    if [[ $cmd != local ]]; then words+=(--cmd "$cmd"); fi
    if [[ $from_scratch == true ]]; then words+=(--from-scratch); fi
    split_words init "$init"
    if [[ ${#WORDS[@]} -gt 0 ]]; then words+=(--init "${WORDS[@]}"); fi
    run msrs-train --config "$train_config" --train "$feats/$train_set" --dev "$feats/$dev_set" --tokens "$tokens" \
        --exp "$experiment" --modality "$modality" ${seed:+--seed "$seed"} ${ngpu:+--ngpu "$ngpu"} \
        ${processes:+--processes "$processes"} ${words[@]+"${words[@]}"} ${rendezvous:+--rendezvous "$rendezvous"} \
        ${slurm_args:+--slurm-args "$slurm_args"} ${train_args:+--train-args "$train_args"}
    finish
fi

if begin 5 decode; then
    printf -v command '%q ' "$PROGRAM" ${TYPED_WORDS[@]+"${TYPED_WORDS[@]}"}
    command=${command% }
    levels=("") # without noise
    if [[ -n $noise ]]; then read -ra levels <<<"$snr_db"; fi
    readings=(audiovisual) # all that the model takes in
    if [[ -n $streams ]]; then read -ra readings <<<"$streams"; fi
    for reading in ${readings[@]+"${readings[@]}"}; do
        if [[ $reading == video && -n $noise ]]; then
            say "noise changes nothing of what --streams video reads: passed over"
            continue
        fi
        for level in ${levels[@]+"${levels[@]}"}; do
            decoding=$decode_name
            words=()
            if [[ $reading != audiovisual ]]; then
                decoding+=_$reading
                words+=(--streams "$reading")
            fi
            if [[ -n $level ]]; then
                decoding+=_snr${level}_$(basename "$noise")
                words+=(--noise "$noise" --snr-db "$level")
                if [[ -n $babble_from ]]; then words+=(--babble-from "$feats/$babble_from"); fi
            fi
            for name in "${sets[@]:1}"; do
                dumped=$feats/$name
                # What is not read need not be there: a dump of the one stream does as well.
                if [[ $reading != audiovisual && ! -d $dumped && -d ${feats}_$reading/$name ]]; then
                    dumped=${feats}_$reading/$name
                fi
                out=$experiment/decode_$decoding/$name
                run msrs-decode --exp "$experiment" --feats "$dumped" --config "$decode_config" --name "$decoding" \
                    ${words[@]+"${words[@]}"} ${decode_args:+--decode-args "$decode_args"}
                # Against the texts of stage 0: what an earlier stage put aside counts as not understood.
                run msrs-score --ref "data/$name/text" --hyp "$out/text" --out "$out" \
                    --rules "$experiment/tokens/rules.yaml" --utt2spk "data/$name/utt2spk" \
                    --options "$out/search.yaml" --command "$command"
            done
        done
    done
    run msrs-results --exp "$expdir" --out RESULTS.md
    finish
fi
