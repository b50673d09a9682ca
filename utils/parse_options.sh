# shellcheck shell=bash
# Command-line options of a shell script, declared once: the declaration gives the default, the help and the check.
# Sourced, never run. A script declares with `option` and `flag`, calls `parse_options "$@"` and reads its variables:
# `--stop-stage 3`, `--stop_stage 3`, `--stop-stage=3` all set `stop_stage`. The last one typed wins. What stands before
# a lone `--` is the script's own, what follows is the user's. After each option `on_option NAME VALUE` is called, where
# a script defines it. Written for bash 3.2, which is what macOS has.

OPTION_NAMES=()  # in dashes
OPTION_KINDS=()  # word, whole (number), path (made absolute where it is the caller's), flag, or a list "a|b|c"
OPTION_HELPS=()
PASSED_NAMES=()  # options that a script only hands on (see pass_option), in dashes
PASSED_WORDS=()  # what was typed for them: --name value --name value
# shellcheck disable=SC2034 # read by the script that sources this
TYPED_WORDS=()   # what followed `--`: the user's own words

# option NAME KIND DEFAULT HELP
option() {
    OPTION_NAMES+=("$1")
    OPTION_KINDS+=("$2")
    OPTION_HELPS+=("$4")
    printf -v "${1//-/_}" '%s' "$3"
}

# flag NAME HELP: false unless it is typed
flag() {
    OPTION_NAMES+=("$1")
    OPTION_KINDS+=(flag)
    OPTION_HELPS+=("$2")
    printf -v "${1//-/_}" '%s' false
}

# pass_option NAME...: takes `--NAME value` too and leaves it in PASSED_WORDS
pass_option() { PASSED_NAMES+=("$@"); }

# One line an option, with the value that it has now.
print_options() {
    local i name value
    for i in "${!OPTION_NAMES[@]}"; do
        name=${OPTION_NAMES[i]//-/_}
        value=${!name}
        case ${OPTION_KINDS[i]} in
            flag) printf '  --%-18s %s\n' "${OPTION_NAMES[i]}" "${OPTION_HELPS[i]}" ;;
            *'|'*) printf '  --%-18s %s [%s]\n' "${OPTION_NAMES[i]}" "${OPTION_HELPS[i]}: ${OPTION_KINDS[i]}" "$value" ;;
            *) printf '  --%-18s %s%s\n' "${OPTION_NAMES[i]}" "${OPTION_HELPS[i]}" "${value:+ [$value]}" ;;
        esac
    done
}

parse_options() {
    local word name value after_dashes=false
    while [[ $# -gt 0 ]]; do
        word=$1
        shift
        if [[ $word == -- && $after_dashes == false ]]; then
            after_dashes=true
            # shellcheck disable=SC2034 # as above
            TYPED_WORDS=("$@")
            continue
        fi
        if [[ $word == -h ]]; then word=--help; fi
        if [[ $word != --?* ]]; then option_error "$word is not an option; options begin with --"; fi
        name=${word#--}
        name=${name%%=*}
        name=${name//_/-}
        if [[ $(kind_of "$name") == flag ]]; then
            if [[ $word == *=* ]]; then option_error "--$name takes no value"; fi
            printf -v "${name//-/_}" '%s' true
            continue
        fi
        if [[ -z $(kind_of "$name") ]]; then option_error "--$name is not an option; did you mean --$(nearest_option "$name")?"; fi
        if [[ $word == *=* ]]; then
            value=${word#*=}
        elif [[ $# -gt 0 ]] && ! is_option "$1"; then
            value=$1
            shift
        else
            option_error "--$name needs a value"
        fi
        take_value "$name" "$value" "$after_dashes"
        if [[ $(type -t on_option) == function ]]; then on_option "$name" "$value"; fi
    done
}

# Is the word a known option, and so not the value of the one before it?
is_option() {
    local name=${1#--}
    name=${name%%=*}
    [[ $1 == --* && -n $(kind_of "${name//_/-}") ]]
}

# take_value NAME VALUE IS_TYPED
take_value() {
    local kind value=$2
    kind=$(kind_of "$1")
    case $kind in
        whole) [[ $value =~ ^[0-9]+$ ]] || option_error "--$1 is '$value', expected a whole number" ;;
        *'|'*) [[ "|$kind|" == *"|$value|"* ]] || option_error "--$1 is '$value', expected one of ${kind//|/, }" ;;
        path) if [[ $3 == true ]]; then value=$(resolve_path "$value"); fi ;;
        passed)
            if [[ $3 == true && $1 =~ (^|-)(dir|file|path|list)$ ]]; then value=$(resolve_path "$value"); fi
            PASSED_WORDS+=("--$1" "$value")
            return
            ;;
    esac
    printf -v "${1//-/_}" '%s' "$value"
}

# split_words NAME VALUE: leaves the words of an option's value in WORDS; quotes hold one with spaces together.
split_words() {
    local word lines
    WORDS=()
    if [[ -z ${2//[[:space:]]/} ]]; then return; fi
    lines=$(xargs printf '%s\n' <<<"$2" 2>/dev/null) || option_error "--$1 is '$2', where a quote is not closed"
    while IFS= read -r word; do WORDS+=("$word"); done <<<"$lines"
}

# A recipe runs in its own folder, the user may type elsewhere: a relative path is the recipe's if it exists there, else
# the caller's if it exists there. CALLED_FROM is set by the script before it changes folder.
resolve_path() {
    if [[ -n $1 && $1 != /* && ! -e $1 && -n ${CALLED_FROM:-} && -e $CALLED_FROM/$1 ]]; then
        printf '%s\n' "$CALLED_FROM/$1"
    else
        printf '%s\n' "$1"
    fi
}

kind_of() {
    local i
    for i in "${!OPTION_NAMES[@]}"; do
        if [[ ${OPTION_NAMES[i]} == "$1" ]]; then
            printf '%s\n' "${OPTION_KINDS[i]}"
            return
        fi
    done
    for i in ${PASSED_NAMES[@]+"${PASSED_NAMES[@]}"}; do
        if [[ $i == "$1" ]]; then printf 'passed\n'; fi
    done
}

nearest_option() {
    local name best='' least=1000 distance
    for name in "${OPTION_NAMES[@]}" ${PASSED_NAMES[@]+"${PASSED_NAMES[@]}"}; do
        distance=$(edit_distance "$1" "$name")
        if [[ $distance -lt $least ]]; then
            least=$distance
            best=$name
        fi
    done
    printf '%s\n' "$best"
}

# Levenshtein's distance of two words, one row of the table at a time.
edit_distance() {
    local a=$1 b=$2 i j left diagonal above row=()
    for ((j = 0; j <= ${#b}; j++)); do row[j]=$j; done
    for ((i = 1; i <= ${#a}; i++)); do
        diagonal=${row[0]}
        row[0]=$i
        for ((j = 1; j <= ${#b}; j++)); do
            above=${row[j]}
            left=$((row[j - 1] + 1))
            if [[ ${a:i-1:1} != "${b:j-1:1}" ]]; then diagonal=$((diagonal + 1)); fi
            row[j]=$((left < above + 1 ? left : above + 1))
            if [[ $diagonal -lt ${row[j]} ]]; then row[j]=$diagonal; fi
            diagonal=$above
        done
    done
    printf '%s\n' "${row[${#b}]}"
}

option_error() {
    printf '%s: %s\n%s --help lists the options.\n' "${PROGRAM:-${0##*/}}" "$1" "${PROGRAM:-$0}" >&2
    exit 2
}
