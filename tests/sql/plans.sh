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
states='empty vacuumed grown ready never_analyzed stale dead delayed leased expired blocked keyed crowd one_key'
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

fill() {  # STATE DUE [KEYS [QUEUE [COUNT]]]: that many rows, without going through the functions; p: the position
    sql "INSERT INTO mq.message (id, position, sent, queue_id, priority, state, kind, due, payload, order_key, dedup_key)
         SELECT p, p, now(), q.id, 999, $1, 1, $2, 'x', ${3:-NULL, NULL}
         FROM mq.queue q, (SELECT nextval('mq.position') AS p FROM generate_series(1, ${5:-$rows})) s
         WHERE q.name = '${4:-q}'"
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
state_leased() { fill 2 "now() + interval '1 day' + p * interval '1 s'" NULL,NULL q $((rows / 3)); sql "VACUUM ANALYZE mq.message"; }
state_expired() { state_leased; }
again_expired() { fill 2 "now() - interval '1 day' + p * interval '1 ms'" NULL,NULL q 1500; }
state_blocked() {  # a thousand keys, the first message of each leased
    fill 3 NULL "'k' || p % 1000, NULL" q $((rows / 3))
    sql "UPDATE mq.message SET state = 2, due = now() + interval '1 day'
         WHERE id IN (SELECT min(id) FROM mq.message GROUP BY order_key)"
    sql "VACUUM ANALYZE mq.message"
}
state_keyed() {  # every message has keys of its own
    fill 0 NULL "'k' || p, 'k' || p" q $((rows / 3))
    sql "INSERT INTO mq.dedup_window SELECT queue_id, dedup_key, id, now() + interval '1 day' FROM mq.message"
    sql "VACUUM ANALYZE mq.message, mq.dedup_window"
}
state_crowd() {  # all of it in other queues, which have few keys
    fill 0 NULL NULL,NULL r $((rows / 12))
    fill 1 "now() + interval '1 day' + p * interval '1 s'" NULL,NULL r $((rows / 12))
    fill 2 "now() + interval '1 day' + p * interval '1 s'" NULL,NULL r $((rows / 12))
    fill 3 NULL "'a', NULL" r $((rows / 12))
    sql "INSERT INTO mq.dedup_window SELECT queue_id, 'w' || id, id, now() + interval '1 day' FROM mq.message LIMIT $((rows / 12))"
    sql "VACUUM ANALYZE mq.message, mq.dedup_window"
}
state_one_key() { fill 3 NULL "'a', NULL" r $((rows / 3)); sql "VACUUM ANALYZE mq.message"; }
state_dead() {
    fill 0 NULL NULL,NULL q $((rows / 3))
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
\warn @@ receive
SELECT mq.enqueue_many('q', '{a,b,c,d,e,f,g,h}');
SELECT array_agg(id) AS ids, array_agg(attempts) AS attempts FROM mq.receive('q', 8, 60) \gset
\warn @@ ack_lease
SELECT mq.ack((:'ids'::bigint[])[1], (:'attempts'::integer[])[1]);
SELECT mq.ack_many((:'ids'::bigint[])[2:3], (:'attempts'::integer[])[2:3]);
\warn @@ extend
SELECT mq.extend((:'ids'::bigint[])[4], (:'attempts'::integer[])[4], 60);
\warn @@ release
SELECT mq.release((:'ids'::bigint[])[4], (:'attempts'::integer[])[4]);
\warn @@ nack_lease
SELECT mq.nack_many((:'ids'::bigint[])[5:6], (:'attempts'::integer[])[5:6], 'e');
SELECT mq.nack((:'ids'::bigint[])[7], (:'attempts'::integer[])[7], 'e', delay => 0.001);
SELECT mq.nack((:'ids'::bigint[])[8], (:'attempts'::integer[])[8], 'e', requeue => false);
\warn @@ short_lease
SELECT mq.enqueue('q', 'x', priority => 0, requeue_priority => 1000);
SELECT mq.receive('q', 1, 0.001);
SELECT pg_sleep(0.002);
\warn @@ expiry
SELECT mq._promote_queue('q', '-infinity');
\warn @@ unique
SELECT mq.enqueue_unique('q', 'x', gen_random_uuid()::text);
\warn @@ unique_again
SELECT mq.enqueue_unique('q', 'x', 'the same');
SELECT mq.enqueue_unique('q', 'x', 'the same');
\warn @@ unique_window
SELECT mq.enqueue_unique('q', 'x', gen_random_uuid()::text, 0.001);
\warn @@ ordered
SELECT mq.enqueue('q', 'x', order_key => 'a', priority => 0), mq.enqueue('q', 'x', order_key => 'a', priority => 0);
\warn @@ ordered_receive
SELECT id, attempts FROM mq.receive('q', 1, 60) \gset
\warn @@ ordered_ack
SELECT mq.ack(:id, :attempts);
\warn @@ ordered_pop
SELECT mq.pop('q');
\warn @@ reschedule
SELECT mq.reschedule(id, 0) FROM mq.enqueue('q', 'x', delay => 600) id;
\warn @@ cancel_delayed
SELECT mq.cancel(id) FROM mq.enqueue('q', 'x', delay => 600) id;
\warn @@ receive_id
SELECT mq.receive_id(id, 0.001) FROM mq.enqueue('q', 'x') id;
\warn @@ brief
SELECT mq.enqueue('s', 'x', ttl => 0.001);
SELECT pg_sleep(0.002);
\warn @@ clean
SELECT mq.clean('s');
\warn @@ cursor
SELECT last_value AS head FROM mq.position \gset
SELECT mq.enqueue('q', 'x'), mq.enqueue('q', 'x');
BEGIN;
SELECT id, attempts FROM mq._claim('q', 1, 0::smallint, NULL, NULL, '{999}', ARRAY[:head]::bigint[], NULL, true, true) WHERE NOT report \gset
SELECT mq._ack(:id);
SELECT id, attempts FROM mq._claim('q', 1, 0::smallint, NULL, NULL, '{5,999}', ARRAY[:head, :head]::bigint[], NULL, true, true) WHERE NOT report \gset
SELECT mq._nack(:id, :attempts, 'e', NULL, NULL);
COMMIT;
\warn @@ cursor_lease
SELECT last_value AS head FROM mq.position \gset
SELECT mq.enqueue('q', 'x');
SELECT id, attempts FROM mq._claim('q', 1, 2::smallint, NULL, NULL, '{999}', ARRAY[:head]::bigint[], NULL, true, true) WHERE NOT report \gset
SELECT mq.ack(:id, :attempts);
SQL
}

once() {  # what is not for every message
    cat <<'SQL'
\warn @@ stats
SELECT mq.stats('q');
SQL
}

wanted() {  # STEP: the indexes to be seen
    case $1 in
        enqueue | enqueue_many | enqueue_delayed | brief) ;;
        pop | ack | nack | lost | receive | short_lease) echo message_due message_pkey message_ready ;;
        promotion | expiry) echo message_due message_pkey ;;
        doze) echo message_due ;;
        ack_lease | extend | release | nack_lease) echo message_pkey ;;
        cancel | cancel_delayed | reschedule | receive_id) echo message_pkey ;;
        unique) echo dedup_window_pkey ;;
        unique_again) echo dedup_window_pkey message_dedup message_pkey ;;
        unique_window) echo dedup_window_pkey dedup_window_until ;;
        ordered) echo message_order ;;
        ordered_receive | ordered_pop) echo message_due message_order message_order_active message_pkey message_ready ;;
        ordered_ack) echo message_order message_pkey ;;
        clean) echo dedup_window_pkey message_due message_expires message_pkey ;;
        stats) echo message_due message_ready ;;
        cursor | cursor_lease) echo message_pkey message_ready ;;
    esac
}

script() {  # STATE MODE
    printf '%s\n' "LOAD 'auto_explain'; SET client_min_messages = log; SET plan_cache_mode = $2;" \
        "SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;" \
        "SET auto_explain.log_analyze = on; SET auto_explain.log_buffers = on; SET auto_explain.log_timing = off;"
    # More than five times: then auto weighs a generic plan. The others have made up their minds.
    for _ in $([ "$2" = auto ] && echo 1 2 3 4 5 6 7 || echo 1 2); do in_namespace "$(steps)"; echo; done
    in_namespace "$(once)"
    echo
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
        if (query ~ /hashtextextended/) want = "message_order_active"
        else if (query ~ /ORDER BY [mt]\.queue_id, [mt]\.order_key/) want = "message_order"
        else if (query ~ /dedup_key = /) want = "message_dedup"
        else if (query ~ /ORDER BY m\.priority/) want = "message_ready"
        else if (query ~ /ORDER BY [mt]\.due/ || query ~ /[mt]\.due IS NULL/) want = "message_due"
        else if (query ~ /ORDER BY t\.expires/) want = "message_expires"
        window = query ~ /ORDER BY d\.until/ ? "dedup_window_until" : "dedup_window_pkey"
        touched = 0
        for (i = 1; i <= n; i++) {
            line = nodes[i]
            if (line ~ / on message/ && line ~ /Scan/) {
                touched = 1
                if (line ~ ("Index (Only )?Scan (Backward )?using " want " on message")) print step, "scan", want
                else print step, "bad", line
            }
            if (line ~ / on dedup_window/ && line ~ /Scan/) {
                touched = 1
                if (line ~ ("Index (Only )?Scan using " window " on dedup_window")) print step, "scan", window
                else print step, "bad", line
            }
        }
        if (touched && sorted && query !~ /unnest|ORDER BY s\.priority, s\.due/) print step, "bad", "a sort in: " query
        if (jit) print step, "bad", "JIT in: " query
        if (touched && buffers >= 0) print step, "buffers", want, buffers
        inplan = 0
    }
    /^@@ / { flush(); step = $2; next }
    /LOG:  duration:/ { flush(); inplan = 1; n = 0; query = ""; sorted = 0; jit = 0; buffers = -1; next }
    /^(psql:[^ ]* )?[A-Z]+:  / && !/LOG:/ { if (/ERROR:/) print step, "bad", $0; flush(); next }
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

unkeyed() {  # STATE,STEP: where any message may have a key, a step that is not about keys may look at them
    case $1 in
        *,ordered*) cat ;;
        keyed,* | blocked,*) grep -v '^message_order' || true ;;
        *) cat ;;
    esac
}

judge() {  # STATE MODE FILE
    local step label most
    label="$1, $2"
    check "$label: no other access" '' "$(grep ' bad ' "$3" | sort | uniq -c | head -20)"
    for step in $({ steps; once; } | sed -n 's/^\\warn @@ //p'); do
        check "$label: $step: plans were seen" yes "$(grep -q "^$step plans" "$3" && echo yes)"
        check "$label: $step: indexes" "$(wanted "$step")" \
            "$(awk -v s="$step" '$1 == s && $2 == "scan" { print $3 }' "$3" | sort -u | unkeyed "$1,$step" |
                tr '\n' ' ' | sed 's/ $//')"
    done
    most=$(awk '$1 == "cursor" && $2 == "buffers" && $4 > m { m = $4 } END { print m + 0 }' "$3")
    check "$label: a claim from a cursor touches less than 60 buffers ($most)" yes \
        "$([ "$most" -gt 0 ] && [ "$most" -lt 60 ] && echo yes)"
    case $1 in
        ready | stale | never_analyzed | grown | delayed)
            check "$label: the rows are there" yes \
                "$([ "$(sql "SELECT count(*) FROM mq.message")" -gt $((rows - 1000)) ] && echo yes)" ;;
        leased | expired | blocked | keyed | crowd | one_key)
            check "$label: the rows are there" yes \
                "$([ "$(sql "SELECT count(*) FROM mq.message")" -gt $((rows / 3 - 1000)) ] && echo yes)" ;;
    esac
    case $1 in
        delayed | leased | blocked | crowd | one_key)
            most=$(awk '$1 == "receive" && $2 == "buffers" && $4 > m { m = $4 } END { print m + 0 }' "$3")
            check "$label: a claim walks over none of them ($most)" yes "$([ "$most" -lt 100 ] && echo yes)" ;;
    esac
    if [ "$1" = dead ]; then
        most=$(awk '$1 == "pop" && $2 == "buffers" && $4 > m { m = $4 } END { print m + 0 }' "$3")
        check "$label: and one from the start walks over the dead ($most)" yes \
            "$([ "$most" -gt $((rows / 3000)) ] && echo yes)"
    fi
}

for state in ${PGQ_PLAN_STATES:-$states}; do
    for mode in $modes; do
        case $mode,$state in
        *,ready | *,dead | *,delayed | *,leased | *,expired | *,blocked | *,keyed | *,crowd | *,one_key) [ "$mode" = auto ] && build=yes || build= ;;  # one table for all modes
        *) build=yes ;;  # the first look at the table belongs to the state
        esac
        if [ "$build" ]; then
            release
            drop_namespace
            install_namespace
            sql "ALTER TABLE mq.message SET (autovacuum_enabled = off)"
            sql "SELECT mq.create_queue('q'), mq.create_queue('r'), mq.create_queue('s')" >/dev/null
            "state_$state"
        fi
        if [ "$state" = expired ]; then again_expired; fi
        script "$state" "$mode" >"$scratch/script.sql"
        run_psql -v VERBOSITY=default -f "$scratch/script.sql" >/dev/null 2>"$scratch/log" || true
        digest "$scratch/log" >"$scratch/digest"
        judge "$state" "$mode" "$scratch/digest"
    done
done
finish
