#!/bin/bash
# What stats says against the truth: exact where it says so, near it at any depth, and without a scan.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
trap drop_namespace EXIT
install_namespace

columns='ready_estimate, delayed_estimate, blocked_estimate, in_flight_estimate, dead_estimate'

# In every stage of a queue's life the estimates are the counts, and say that they are exact.
exact() {
    local step
    sql "SELECT mq.create_queue('q', error_limit => 2), mq.create_queue('empty')" >/dev/null
    while IFS= read -r step; do
        sql "$step" >/dev/null
        check_sql "SELECT ($columns) = (c.ready, c.delayed, c.blocked, c.in_flight, c.dead), exact FROM mq.stats('q'), mq.count('q') c" 't|t'
    done <<'STEPS'
SELECT 1
SELECT mq.enqueue_many('q', array_fill('x'::text, ARRAY[50]))
SELECT mq.enqueue('q', 'd', delay => i) FROM generate_series(100, 120) i
SELECT mq.receive('q', 10)
SELECT mq.nack(id, attempts, delay => 60) FROM mq.list('q', 'in_flight', 3)
SELECT mq.nack(id, attempts, requeue => false) FROM mq.list('q', 'in_flight', 2)
SELECT mq.enqueue('q', 'o' || i, order_key => 'k') FROM generate_series(1, 9) i
SELECT mq.receive('q', 40)
SELECT mq.receive('q', 40)
SELECT mq.dequeue('q', 3)
SELECT mq.cancel(id) FROM mq.list('q', 'delayed', 5)
SELECT mq.pop('q', 2)
SELECT mq.enqueue('q', 'e', 0, ttl => 0.001) FROM generate_series(1, 3)
SELECT mq.clean()
SELECT mq.pause('q')
SELECT mq.requeue_dead('q')
SELECT mq.purge('q')
SELECT mq.purge_dead('q')
STEPS
    check_sql "SELECT $columns, exact FROM mq.stats('empty')" '0|0|0|0|0|t'
    check_sql "SELECT name, paused FROM mq.stats()" $'empty|f\nq|t'
    check_state "SELECT mq.stats('none')" MQ002
    check_state "SELECT mq.stats('')" MQ001
    expect <<'TABLE'
=	SELECT mq.reset()
TABLE
}

# sent and received only rise, and by what was stored and handed out, in whatever way.
totals() {
    expect <<'TABLE'
=	SELECT mq.create_queue('q')
=0|0	SELECT sent_total, received_total FROM mq.stats('q')
=t	SELECT mq.enqueue('q', 'x') > 0 AND (mq.enqueue_unique('q', 'x', 'k')).id > 0
=3	SELECT cardinality(mq.enqueue_many('q', '{a,b,c}'))
=3	SELECT cardinality(mq.enqueue_many('q', '{a,b,c}', dedup_keys => '{k,l,l}'))
=t	SELECT duplicate FROM mq.enqueue_unique('q', 'x', 'k')
MQ001	SELECT mq.enqueue('q', 'x', -1)
=6|0	SELECT sent_total, received_total FROM mq.stats('q')
=1	SELECT count(*) FROM mq.pop('q')
=2	SELECT count(*) FROM mq.receive('q', 2)
=1	SELECT count(*) FROM mq.dequeue('q')
=6|4	SELECT sent_total, received_total FROM mq.stats('q')
=done / done	SELECT mq.ack(id, attempts) FROM mq.list('q', 'in_flight')
=1	SELECT count(*) FROM mq.peek('q')
=6|4	SELECT sent_total, received_total FROM mq.stats('q')
=0	SELECT count(*) FROM mq.receive('q') WHERE false
=t	SELECT received_total >= 4 FROM mq.stats('q')
=	BEGIN
=t	SELECT mq.enqueue('q', 'never') > 0
=	ROLLBACK
=7	SELECT sent_total FROM mq.stats('q')
=	SELECT mq.delete_queue('q')
=	SELECT mq.create_queue('q')
=0|0|t	SELECT sent_total, received_total, oldest_ready_age IS NULL FROM mq.stats('q')
=t	SELECT mq.enqueue('q', 'late', delay => 60) > 0
=t	SELECT oldest_ready_age IS NULL FROM mq.stats('q')
=t	SELECT mq.enqueue('q', 'x', 5) > 0 AND mq.enqueue('q', 'y', 0) > 0
=t	SELECT oldest_ready_age BETWEEN interval '0' AND interval '1 min' FROM mq.stats('q')
=2	WITH old AS (UPDATE mq.message SET sent = sent - interval '1 hour' WHERE priority = 5 RETURNING 1) SELECT count(*) + 1 FROM old
=t	SELECT oldest_ready_age BETWEEN interval '1 hour' AND interval '61 min' FROM mq.stats('q')
=y / x	SELECT body FROM mq.receive('q', 2)
=t	SELECT oldest_ready_age IS NULL FROM mq.stats('q')
=	SELECT mq.reset()
=0	SELECT count(*) FROM pg_class WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'mq.queue'::regclass) AND relname ~ '^(sent|received)_'
TABLE
    # What is held in a scope is not ready.
    expect <<'TABLE'
=	SELECT mq.create_queue('q')
=t	SELECT mq.enqueue('q', 'x') > 0
=	BEGIN
=1	SELECT count(*) FROM mq.dequeue('q')
=0|1|t	SELECT ready_estimate, in_flight_estimate, oldest_ready_age IS NULL FROM mq.stats('q')
=	COMMIT
=	SELECT mq.reset()
TABLE
}

# fill QUEUE STATE PRIORITY DUE COUNT [WHERE]: rows without going through the functions; p counts from 1.
fill() {
    sql "INSERT INTO mq.message (id, position, sent, queue_id, priority, state, kind, due, payload)
         SELECT nextval('mq.position'), currval('mq.position'), now(), q.id, $3, $2, 1, $4, 'x'
         FROM mq.queue q, generate_series(1, $5) p WHERE q.name = '$1' AND ${6:-true}"
}

near() {  # WHAT COLUMN TRUTH
    local got
    got=$(sql "SELECT $2, exact, abs($2 - $3) <= 0.2 * $3 FROM mq.stats('q')")
    check "$1: $2 is near $3 ($got)" 'f|t' "${got#*|}"
}

estimates() {
    local what priority where
    while IFS='|' read -r what priority where; do
        sql "SELECT mq.reset(), mq.create_queue('q'), mq.create_queue('r')" >/dev/null
        fill q 0 "$priority" NULL 40000 "$where"
        fill r 0 "$priority" NULL 1000
        near "ready, $what" ready_estimate "$(sql "SELECT ready FROM mq.count('q')")"
        # The same, most of it done.
        sql "DELETE FROM mq.message WHERE hashint8(id) % 3 = 0" >/dev/null
        near "ready, $what, thinned" ready_estimate "$(sql "SELECT ready FROM mq.count('q')")"
    done <<'LIST'
one priority|999|true
three priorities|p % 3|true
very unlike priorities|CASE WHEN p % 100 = 0 THEN 0 ELSE 2147483647 END|true
fifty priorities|p % 50|true
two hundred priorities|p % 200|true
a thousand priorities|p % 1000|true
a priority each|p|true
a priority each, far apart|p * 50000|true
half at one end|CASE WHEN p % 2 = 0 THEN 0 ELSE p END|true
a gap|999|p < 15000 OR p > 25000
LIST
    while IFS='|' read -r what due; do
        sql "SELECT mq.reset(), mq.create_queue('q')" >/dev/null
        fill q 1 999 "now() + $due" 30000
        fill q 2 999 "now() + interval '1 s' * p" 15000
        near "delayed, $what" delayed_estimate 30000
        near "leased beside delayed, $what" in_flight_estimate 15000
    done <<'LIST'
evenly|interval '1 s' * p
at one moment|interval '1 hour'
in bursts|interval '1 hour' * (p % 7)
LIST
    sql "SELECT mq.reset(), mq.create_queue('q')" >/dev/null
    sql "INSERT INTO mq.dead_letter (id, sent, queue_id, priority, attempts, errors, kind, payload, reason)
         SELECT p * 3, now(), q.id, 999, 1, 1, 1, 'x', 'error_limit' FROM mq.queue q, generate_series(1, 30000) p
         WHERE p < 5000 OR p > 12000" >/dev/null
    near "dead" dead_estimate "$(sql "SELECT dead FROM mq.count('q')")"
    fill q 3 999 NULL 20000
    check_sql "SELECT blocked_estimate FROM mq.stats('q')" 20000
}

# It may read no more of a large queue than of one ten times smaller, give or take: pages, not time.
bounded() {
    local priority small large
    for priority in 999 'p % 1000' p; do
        sql "SELECT mq.reset(), mq.create_queue('q'); SELECT mq.create_queue('r')" >/dev/null
        fill q 0 "$priority" NULL 12000
        small=$(buffers)
        fill q 0 "$priority + 5000000" NULL 100000
        large=$(buffers)
        check "priority $priority: $small buffers, and $large of ten times as many" yes \
            "$([ "$large" -lt $((small * 3)) ] && echo yes)"
    done
}

buffers() {
    sql "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM mq.stats('q')" >/dev/null
    sql "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM mq.stats('q')" |
        sed -n 's/.*Buffers: shared hit=\([0-9]*\)\( read=\([0-9]*\)\)*.*/\1 \3/p' | head -1 | awk '{ print $1 + $2 }'
}

exact
totals
estimates
bounded
finish
