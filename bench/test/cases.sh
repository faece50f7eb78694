#!/usr/bin/env bash
# Some of pgq-bench's cases, for a second each: they print what they should, and leave nothing behind.
#   PGQ_TEST_DSN=conninfo cases.sh PROGRAM
set -euo pipefail
program=$1
[ -n "${PGQ_TEST_DSN:-}" ] || exit 77
faults=0

fault() {
    printf 'fault: %s\n' "$*" >&2
    faults=$((faults + 1))
}

sql() {
    psql -X -q -At -v ON_ERROR_STOP=1 -d "$PGQ_TEST_DSN" -c "$1"
}

# measured argument...: exit status 0, and a last line with a ratio above 0.
measured() {
    local out
    if ! out=$("$program" -d "$PGQ_TEST_DSN" --seconds 1 "$@"); then
        fault "pgq-bench $* failed"
    elif [[ ! $(tail -n 1 <<<"$out") =~ ^ratio\ [0-9]+\.[0-9]{3}$ || $out == *$'\nratio 0.000' ]]; then
        fault "pgq-bench $*: its last line is \"$(tail -n 1 <<<"$out")\", not a ratio"
    fi
    printf '%s\n' "$out"
}

clean() {
    local left
    left=$(sql "SELECT string_agg(nspname, ' ') FROM pg_namespace WHERE nspname IN ('pgq_bench', 'pgq_bench_empty', 'pgq_bench_floor')")
    [ -z "$left" ] || fault "$1 has left $left"
}

measured send
measured pop-batch --batch 10 --clients 2
measured topic --batch 10
out=$(measured scope)
printf '%s\n' "$out"
# Counted, so they are the same on every machine: the work's row and the claim, and by hand the COMMIT as well.
[ "$(grep -oE 'round trips [0-9.]+' <<<"$out" | tr '\n' ' ')" = 'round trips 2 round trips 3 ' ] || fault "a scope has other round trips than 2, and by hand 3"
clean "a run"

json=$("$program" -d "$PGQ_TEST_DSN" --seconds 1 --json lease --batch 10) || fault "lease --json failed"
ratio=$(sql "SELECT (j->>'ratio')::numeric > 0 AND (j->'sides'->'floor'->>'rate')::numeric > 0 AND j->>'case' = 'lease'
             FROM (SELECT '${json//\'/}'::json) t (j)")
[ "$ratio" = t ] || fault "lease --json says $json"

# Ended in the middle, it cleans up all the same.
"$program" -d "$PGQ_TEST_DSN" --seconds 600 send >/dev/null &
pid=$!
until [ "$(sql "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgq_bench_floor'")" = 1 ]; do
    kill -0 "$pid" || break
    sleep 0.1
done
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
[ "$status" -eq 143 ] || fault "after SIGTERM its exit status is $status, not 143"
clean "SIGTERM"

# What is not its own it leaves alone.
sql 'CREATE SCHEMA pgq_bench'
if said=$("$program" -d "$PGQ_TEST_DSN" --seconds 1 send 2>&1); then
    fault "it took somebody else's schema"
fi
[[ $said == *'the schema "pgq_bench" is there and is not of this program'* ]] || fault "it says $said"
sql 'DROP SCHEMA pgq_bench'
[ "$faults" -eq 0 ]
