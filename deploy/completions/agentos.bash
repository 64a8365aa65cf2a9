# shellcheck shell=bash
# Completion of agentos(1) for bash. The verbs and their options are asked of the program itself (`agentos help --table`).
#
# Installed as /usr/share/bash-completion/completions/agentos; `source` does too.

# The data directory as the words so far have it: --data DIR, --data=DIR, DATA_DIR, /data.
_agentos_data() {
    local data=${DATA_DIR:-/data} i
    for ((i = 1; i < ${#COMP_WORDS[@]} - 1; i++)); do
        [[ ${COMP_WORDS[i]} == --data ]] || continue
        data=${COMP_WORDS[i + 1]}
        [[ $data != = ]] || data=${COMP_WORDS[i + 2]}
    done
    printf '%s' "${data/#\~/$HOME}"
}

_agentos_agents() {
    local folder
    for folder in "$(_agentos_data)"/agents/*/; do
        [[ -d $folder ]] && basename -- "$folder"
    done
}

_agentos() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb="" words=0 i
    local name arguments options verbs="" values="" own="--data --help --version" takes=""
    COMPREPLY=()
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    while IFS=$'\t' read -r name arguments options _; do
        verbs+=" $name"
        values+=" $options"
    done < <("${COMP_WORDS[0]/#\~/$HOME}" help --table 2>/dev/null)
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -*)
            [[ "$values " == *" ${COMP_WORDS[i]}= "* ]] || continue # a switch
            [[ ${COMP_WORDS[i + 1]} != = ]] || ((i++))
            ((i++))
            ;;
        *)
            words=$((words + 1))
            [[ -n $verb ]] || verb=${COMP_WORDS[i]}
            ;;
        esac
    done
    case $previous in
    --data)
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        return
        ;;
    --priority)
        mapfile -t COMPREPLY < <(compgen -W "high normal low" -- "$current")
        return
        ;;
    -*) [[ "$values " != *" $previous= "* ]] || return ;;
    esac
    while IFS=$'\t' read -r name arguments options _; do
        [[ $name == "$verb" ]] || continue
        own=${options//=/}
        takes=$arguments
    done < <("${COMP_WORDS[0]/#\~/$HOME}" help --table 2>/dev/null)
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$own" -- "$current")
    elif [[ -z $verb ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$current")
    elif [[ $takes =~ ^\[?AGENT && ($words -eq 1 || $takes == AGENT...) ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_agentos_agents)" -- "$current")
    elif [[ $takes =~ ^\[?VERB && $words -eq 1 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$current")
    fi
}

complete -F _agentos agentos
