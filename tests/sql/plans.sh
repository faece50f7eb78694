#!/bin/bash
# The plan of every statement on mq.message that sending and taking run, whatever the table looks like and
# whatever the session's plan_cache_mode is: one index each, and none other.
#
# A state is a function that fills the table; a step is a labelled part of steps(), with the indexes that
# it must be seen to use in wanted(). To let the matrix grow, add to these.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
rows=${PGQ_PLAN_ROWS:-300000}
modes='auto force_custom_plan force_generic_plan'
states='empty vacuumed grown ready never_analyzed stale dead delayed'
scratch=$(mktemp -d)
holder=

release() {
    if [ -n "$holder" ]; then
        exec 7>&-
        wait "$holder" || true
        holder=
    fi
}
trap 'release; drop_namespace; rm -rf "$scratch"' EXIT

if [ "$(sqlstate "LOAD 'auto_explain'")" != 00000 ]; then
    echo "this role may not load auto_explain: skipped"
    exit 77
fi

fill() {  # STATE DUE: that many rows, without going through the functions
    sql "INSERT INTO mq.message (id, position, sent, queue_id, priority, state, kind, due, payload)
         SELECT p, p, now(), q.id, 999, $1, 1, $2, 'x'
         FROM mq.queue q, (SELECT nextval('mq.position') AS p FROM generate_series(1, $rows)) s WHERE q.name = 'q'"
}

hold() {  # a transaction with an xid, which keeps vacuum from removing what is deleted from now on
    mkfifo "$scratch/hold"
    PGAPPNAME=$namespace run_psql -f "$scratch/hold" >/dev/null &
    holder=$!
    exec 7>"$scratch/hold"
    rm "$scratch/hold"
    echo "BEGIN; SELECT pg_current_xact_id();" >&7
    until [ "$(run_psql -c "SELECT count(*) FROM pg_stat_activity
                            WHERE application_name = '$namespace' AND backend_xid IS NOT NULL")" -gt 0 ]; do :; done
}

state_empty() { :; }
state_vacuumed() { sql "VACUUM ANALYZE mq.message"; }
state_grown() { sql "VACUUM ANALYZE mq.message"; }  # filled while the sessions run: see script
state_never_analyzed() { fill 0 NULL; }
state_ready() { fill 0 NULL; sql "VACUUM ANALYZE mq.message"; }
state_stale() { sql "VACUUM ANALYZE mq.message"; fill 0 NULL; }
state_delayed() { fill 1 "now() + interval '1 day' + p * interval '1 s'"; sql "VACUUM ANALYZE mq.message"; }
state_dead() {
    fill 0 NULL
    sql "VACUUM ANALYZE mq.message"
    hold
    sql "DELETE FROM mq.message"
    sql "VACUUM mq.message"
}

steps() {  # psql's; the labels go to stderr, as the plans do
    cat <<'SQL'
\warn @@ enqueue
SELECT mq.enqueue('q', 'x');
\warn @@ enqueue_many
SELECT mq.enqueue_many('q', '{a,b,c,d,e,f}');
\warn @@ pop
SELECT mq.pop('q');
\warn @@ ack
SELECT mq.ack(id, attempts) FROM mq.dequeue('q');
\warn @@ nack
SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('q');
\warn @@ lost
BEGIN; SELECT mq.dequeue('q'); ROLLBACK;
SELECT mq.pop('q');
\warn @@ enqueue_delayed
SELECT mq.enqueue('q', 'x', delay => 0.001);
SELECT pg_sleep(0.002);
\warn @@ promotion
SELECT mq._promote_queue('q', '-infinity');
\warn @@ doze
SELECT mq.doze('q');
SELECT mq.awake('q');
\warn @@ cancel
SELECT mq.cancel(id) FROM mq.enqueue('q', 'x') id;
\warn @@ cursor
SELECT last_value AS head FROM mq.position \gset
SELECT mq.enqueue('q', 'x'), mq.enqueue('q', 'x');
BEGIN;
SELECT id, attempts FROM mq._claim('q', 1, false, '{999}', ARRAY[:head]::bigint[], NULL, true, true) WHERE NOT report \gset
SELECT mq._ack(:id);
SELECT id, attempts FROM mq._claim('q', 1, false, '{5,999}', ARRAY[:head, :head]::bigint[], NULL, true, true) WHERE NOT report \gset
SELECT mq._nack(:id, :attempts, 'e');
COMMIT;
SQL
}

wanted() {  # STEP: the indexes to be seen
    case $1 in
        enqueue | enqueue_many | enqueue_delayed) ;;
        pop) echo message_due message_pkey message_ready ;;
        ack | nack | lost) echo message_due message_pkey message_ready ;;
        promotion) echo message_due message_pkey ;;
        doze) echo message_due ;;
        cancel) echo message_pkey ;;
        cursor) echo message_pkey message_ready ;;
    esac
}

script() {  # STATE MODE
    printf '%s\n' "LOAD 'auto_explain'; SET client_min_messages = log; SET plan_cache_mode = $2;" \
        "SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;" \
        "SET auto_explain.log_analyze = on; SET auto_explain.log_buffers = on; SET auto_explain.log_timing = off;"
    # More than five times: then auto weighs a generic plan.
    for _ in 1 2 3 4 5 6 7; do in_namespace "$(steps)"; echo; done
    if [ "$1" = grown ]; then
        # What was planned while the table was small must serve when it is not.
        printf '%s\n' ". $PWD/lib.sh" "use_namespace '$namespace'" "rows=$rows" "$(declare -f fill)" \
            'fill 0 NULL' >"$scratch/grow.sh"
        echo "\\! bash $scratch/grow.sh"
        in_namespace "$(steps)"
        echo
    fi
}

# The log to lines: "STEP scan INDEX", "STEP bad WHAT", "STEP buffers INDEX NUMBER", "STEP plans COUNT".
digest() {
    awk '
    function flush(   want, i, line) {
        if (!inplan) return
        plans[step]++
        want = "message_pkey"
        if (query ~ /ORDER BY m\.priority, m\.position/) want = "message_ready"
        if (query ~ /ORDER BY m\.due/) want = "message_due"
        touched = 0
        for (i = 1; i <= n; i++) {
            line = nodes[i]
            if (line ~ / on message/ && line ~ /Scan/) {
                touched = 1
                if (line ~ ("Index (Only )?Scan using " want " on message")) print step, "scan", want
                else print step, "bad", line
            }
        }
        if (touched && sorted) print step, "bad", "a sort in: " query
        if (jit) print step, "bad", "JIT in: " query
        if (touched && buffers >= 0) print step, "buffers", want, buffers
        inplan = 0
    }
    /^@@ / { flush(); step = $2; next }
    /LOG:  duration:/ { flush(); inplan = 1; n = 0; query = ""; sorted = 0; jit = 0; buffers = -1; next }
    /^[A-Z]+:  / && !/LOG:/ { if (/ERROR:/) print step, "bad", $0; flush(); next }
    inplan && /\(cost=/ { nodes[++n] = $0; if (/(^|-> *)(Incremental )?Sort /) sorted = 1; next }
    inplan && /Buffers:/ && buffers < 0 {
        buffers = 0
        if (match($0, /hit=[0-9]+/)) buffers += substr($0, RSTART + 4, RLENGTH - 4)
        if (match($0, /read=[0-9]+/)) buffers += substr($0, RSTART + 5, RLENGTH - 5)
        next
    }
    inplan && /JIT:/ { jit = 1 }
    inplan && n == 0 { query = query " " $0 }
    END { flush(); for (step in plans) print step, "plans", plans[step] }
    ' "$1"
}

judge() {  # STATE MODE FILE
    local step label most
    label="$1, $2"
    check "$label: no other access" '' "$(grep ' bad ' "$3" | sort | uniq -c | head -20)"
    for step in $(steps | sed -n 's/^\\warn @@ //p'); do
        check "$label: $step: plans were seen" yes "$(grep -q "^$step plans" "$3" && echo yes)"
        check "$label: $step: indexes" "$(wanted "$step")" \
            "$(awk -v s="$step" '$1 == s && $2 == "scan" { print $3 }' "$3" | sort -u | tr '\n' ' ' | sed 's/ $//')"
    done
    most=$(awk '$1 == "cursor" && $2 == "buffers" && $4 > m { m = $4 } END { print m + 0 }' "$3")
    check "$label: a claim from a cursor touches less than 60 buffers ($most)" yes \
        "$([ "$most" -gt 0 ] && [ "$most" -lt 60 ] && echo yes)"
    case $1 in
        ready | stale | never_analyzed | grown | delayed)
            check "$label: the rows are there" yes \
                "$([ "$(sql "SELECT count(*) FROM mq.message")" -gt $((rows - 1000)) ] && echo yes)" ;;
    esac
    if [ "$1" = dead ]; then
        most=$(awk '$1 == "pop" && $2 == "buffers" && $4 > m { m = $4 } END { print m + 0 }' "$3")
        check "$label: and one from the start walks over the dead ($most)" yes \
            "$([ "$most" -gt $((rows / 1000)) ] && echo yes)"
    fi
}

for state in ${PGQ_PLAN_STATES:-$states}; do
    for mode in $modes; do
        case $mode,$state in
        *,ready | *,dead | *,delayed) [ "$mode" = auto ] && build=yes || build= ;;  # one table for all modes
        *) build=yes ;;  # the first look at the table belongs to the state
        esac
        if [ "$build" ]; then
            release
            drop_namespace
            install_namespace
            sql "ALTER TABLE mq.message SET (autovacuum_enabled = off)"
            sql "SELECT mq.create_queue('q')" >/dev/null
            "state_$state"
        fi
        script "$state" "$mode" >"$scratch/script.sql"
        run_psql -v VERBOSITY=default -f "$scratch/script.sql" >/dev/null 2>"$scratch/log" || true
        digest "$scratch/log" >"$scratch/digest"
        judge "$state" "$mode" "$scratch/digest"
    done
done
finish
