# For the SQL tests in bash: source it, then use these. Text passed to sql and its kin is written for the
# namespace mq; the test's own is put in its place.
# shellcheck shell=bash
set -euo pipefail
: "${PGQ_SQL:?the path of the assembled pgq.sql}"
if [ -z "${PGQ_TEST_DSN:-}" ]; then
    echo "PGQ_TEST_DSN is not set: skipped"
    exit 77
fi
export PGOPTIONS="-c client_min_messages=warning"

namespace="test_$(basename "$0" .sh)_$$"
quoted="\"${namespace//\"/\"\"}\""
failures=0
checks=0

use_namespace() {  # NAME: the one that sql means by mq
    namespace=$1
    quoted="\"${namespace//\"/\"\"}\""
}

run_psql() { psql -X -A -t -q -v ON_ERROR_STOP=1 -v VERBOSITY=sqlstate "$PGQ_TEST_DSN" "$@"; }

install_namespace() { run_psql -1 -v namespace="$namespace" -f "$PGQ_SQL" >/dev/null; }

drop_namespace() { run_psql -c "DROP SCHEMA IF EXISTS $quoted CASCADE" >/dev/null 2>&1; }

in_namespace() { printf '%s' "${1//mq./$quoted.}"; }  # TEXT

sql() { run_psql -c "$(in_namespace "$1")"; }  # TEXT

sqlstate() {  # TEXT: the SQLSTATE it ends with, 00000 if none
    local out
    if out=$(run_psql -c "$(in_namespace "$1")" 2>&1 >/dev/null); then
        echo 00000
    else
        sed -n 's/.*ERROR:  *\([0-9A-Z]\{5\}\).*/\1/p' <<<"$out" | head -1
    fi
}

check() {  # WHAT EXPECTED GOT
    checks=$((checks + 1))
    if [ "$2" != "$3" ]; then
        failures=$((failures + 1))
        printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
    fi
}

check_sql() { check "$1" "$2" "$(sql "$1" 2>&1)"; }          # TEXT EXPECTED
check_state() { check "$1" "$2" "$(sqlstate "$1")"; }         # TEXT SQLSTATE

expect() {  # stdin: lines of "SQLSTATE, or =RESULT with rows parted by " / ", or ok", a tab, SQL; by one psql
    local want text state line got='' i=0
    local -a wants=() texts=()
    while IFS=$'\t' read -r want text; do
        if [ -n "$want" ]; then
            wants+=("$want")
            texts+=("$text")
        fi
    done
    while IFS= read -r line; do
        if [[ $line != '@@ '* ]]; then
            got+=${got:+ / }$line
            continue
        fi
        state=${line#@@ }
        case ${wants[i]} in
            =*) if [ "$state" = 00000 ]; then check "${texts[i]}" "${wants[i]#=}" "$got"
                else check "${texts[i]}" "${wants[i]#=}" "SQLSTATE $state"; fi ;;
            ok) check "${texts[i]}" 00000 "$state" ;;
            *) check "${texts[i]}" "${wants[i]}" "$state" ;;
        esac
        got=''
        i=$((i + 1))
    done < <(for text in "${texts[@]}"; do
                 printf '%s;\n\\echo @@ :SQLSTATE\n' "$(in_namespace "$text")"
             done | run_psql -v ON_ERROR_STOP=0 -f - 2>/dev/null)
    check "statements run" "${#wants[@]}" "$i"
}

finish() {
    echo "$checks checks, $failures failed"
    [ "$checks" -gt 0 ] && [ "$failures" -eq 0 ]
}
