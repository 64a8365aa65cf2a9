# shellcheck shell=bash
# Completion of agentos(1) for bash.
#
# Installed as /usr/share/bash-completion/completions/agentos; `source` does too. A test holds it against `agentos --help`.

_agentos_verbs="run check doctor demo verify status task cancel send enqueue handoffs messages dead-letters show requeue purge locks queues segments start stop restart kill pause resume reload skills rewards goals reflections log rollback export import events exec"

# Those whose first word is an agent's name.
_agentos_of_agents=" status task cancel send handoffs messages dead-letters start stop restart kill pause resume skills rewards goals reflections log rollback export exec "

_agentos_options() {
    case $1 in
    run) echo "--data --listen --help" ;;
    check|doctor|verify|cancel|requeue|purge|reload|rollback|export|import|exec) echo "--data --help" ;;
    demo) echo "--help --keep" ;;
    status|handoffs|messages|dead-letters|show|locks|queues|segments|skills|rewards|goals|reflections|log|events) echo "--data --help --json" ;;
    send|enqueue) echo "--data --help --priority --ttl" ;;
    task) echo "--data --help --id --priority --ttl --lock --wait" ;;
    start|stop|restart|kill|pause|resume) echo "--data --help --no-wait" ;;
    esac
}

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
    COMPREPLY=()
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $previous in
    --data)
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        return
        ;;
    --priority)
        mapfile -t COMPREPLY < <(compgen -W "high normal low" -- "$current")
        return
        ;;
    --id | --ttl | --lock) return ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --data | --id | --ttl | --lock | --priority)
            [[ ${COMP_WORDS[i + 1]} != = ]] || ((i++))
            ((i++))
            ;;
        -*) ;;
        *)
            words=$((words + 1))
            [[ -n $verb ]] || verb=${COMP_WORDS[i]}
            ;;
        esac
    done
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$([[ -n $verb ]] && _agentos_options "$verb" || echo "--data --help --version")" -- "$current")
    elif [[ -z $verb ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$_agentos_verbs" -- "$current")
    elif [[ $words -eq 1 && $_agentos_of_agents == *" $verb "* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_agentos_agents)" -- "$current")
    fi
}

complete -F _agentos agentos
