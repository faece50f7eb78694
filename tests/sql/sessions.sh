# For the SQL tests in which sessions interleave: source it behind lib.sh. Each session is a psql that stays where it is.
# shellcheck shell=bash
declare -A session_in session_out session_pid
session_files=$(mktemp -d)

open_session() {  # NAME...
    local name in out
    for name in "$@"; do
        mkfifo "$session_files/$name.in" "$session_files/$name.out"
        exec {out}<>"$session_files/$name.out"
        run_psql -v ON_ERROR_STOP=0 -f "$session_files/$name.in" >"$session_files/$name.out" 2>/dev/null &
        session_pid[$name]=$!
        exec {in}>"$session_files/$name.in"
        session_in[$name]=$in session_out[$name]=$out
        ask "$name" "SET application_name = 'session_$$_$name'"
    done
}

close_sessions() {
    local name fd
    for name in "${!session_pid[@]}"; do
        fd=${session_in[$name]}
        echo '\q' >&"$fd" || true
        exec {fd}>&-
        wait "${session_pid[$name]}" || true
        fd=${session_out[$name]}
        exec {fd}<&-
    done
    session_pid=()
    rm -rf "$session_files"
}

post() { printf '%s;\n\\echo @@ :SQLSTATE\n' "$(in_namespace "$2")" >&"${session_in[$1]}"; }  # NAME TEXT: does not wait

answer() {  # NAME: what came of the text before, to got: rows parted by " / "; and to state: the SQLSTATE
    local line
    got='' state='no answer'
    while IFS= read -r -t 20 -u "${session_out[$1]}" line; do
        if [[ $line = '@@ '* ]]; then
            state=${line#@@ }
            return 0
        fi
        got+=${got:+ / }$line
    done
}

ask() { post "$1" "$2"; answer "$1"; }  # NAME TEXT

judge_answer() {  # WHAT WANT: as expect has it: =RESULT, ok or an SQLSTATE
    case $2 in
        =*) if [ "$state" = 00000 ]; then check "$1" "${2#=}" "$got"; else check "$1" "${2#=}" "SQLSTATE $state"; fi ;;
        ok) check "$1" 00000 "$state" ;;
        *) check "$1" "$2" "$state" ;;
    esac
}

play() {  # stdin: lines of NAME, WANT, SQL; parted by tabs
    local name want text
    while IFS=$'\t' read -r name want text; do
        [ -n "$name" ] || continue
        ask "$name" "$text"
        judge_answer "$name: $text" "$want"
    done
}

waits() {  # NAME: the text that was posted waits for a lock
    local i
    for ((i = 0; i < 500; i++)); do
        if [ "$(run_psql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'session_$$_$1' AND wait_event_type = 'Lock'")" = 1 ]; then
            checks=$((checks + 1))
            return 0
        fi
        sleep 0.01
    done
    check "session $1" 'waits for a lock' 'does not'
}

# SQL as a role: the SQLSTATE, or the last line of the result.
as() {  # ROLE TEXT
    run_psql -v ON_ERROR_STOP=0 -v role="$1" -f - 2>/dev/null <<SQL | tail -1
SET ROLE :"role";
$(in_namespace "$2");
SELECT :'SQLSTATE' AS state, :'SQLSTATE' <> '00000' AS failed \gset
\if :failed
\echo :state
\endif
SQL
}
