# The states of the table that tests/sql/plans.sh looks at: each a function that fills it. To be sourced.
# shellcheck shell=bash
# shellcheck disable=SC2034  # for plans.sh
states='empty vacuumed grown ready never_analyzed stale locked dead delayed leased expired blocked keyed crowd one_key mortal letters'
# Filled once for all modes. In the others the first look at the table belongs to the state.
shared=' ready locked dead delayed leased expired blocked keyed crowd one_key mortal letters '
holder=

release() {
    if [ -n "$holder" ]; then
        exec 7>&-
        wait "$holder" || true
        holder=
    fi
}

fill() {  # STATE DUE [KEYS [QUEUE [COUNT]]]: that many rows, without going through the functions; p: the position
    sql "INSERT INTO mq.message (id, position, sent, queue_id, priority, state, kind, due, payload, order_key, dedup_key)
         SELECT p, p, now(), q.id, 999, $1, 1, $2, 'x', ${3:-NULL, NULL}
         FROM mq.queue q, (SELECT nextval('mq.position') AS p FROM generate_series(1, ${5:-$rows})) s
         WHERE q.name = '${4:-q}'"
}

hold() {  # SQL: a transaction with an xid, which keeps vacuum from removing what is deleted from now on
    mkfifo "$scratch/hold"
    run_psql -f "$scratch/hold" >/dev/null &
    holder=$!
    exec 7>"$scratch/hold"
    rm "$scratch/hold"
    in_namespace "BEGIN; $1; SELECT pg_current_xact_id(); SET application_name = 'held_$namespace';" >&7
    echo >&7
    until [ "$(run_psql -c "SELECT count(*) FROM pg_stat_activity
                            WHERE application_name = 'held_$namespace' AND state = 'idle in transaction'")" -gt 0 ]; do
        kill -0 "$holder" || return 1
    done
}

# Topics, in every state: a sealed segment with a message and somebody who holds it back, and behind it the current one.
topics() {
    local i
    sql "SELECT mq.topic_publish('t', 'x'), mq.topic_subscribe('t', 'holds', 'oldest', 9999999), mq.topic_subscribe('t', 'd', 'oldest');
         UPDATE mq.topic_segment SET opened = opened - interval '1 h'" >/dev/null
    sql "DO \$\$ BEGIN FOR i IN 1 .. 3 LOOP PERFORM mq.topic_tend(); COMMIT; END LOOP; END \$\$"
    sql "SELECT mq.topic_create('own')" >/dev/null
}

fill_topic() {  # TOPIC [END]: that many messages in the current segment, by one transaction
    sql "BEGIN;
         INSERT INTO mq.topic_message (segment, id, xid, published, kind, topic, payload)
         SELECT pg_sequence_last_value(l.current), nextval(l.ids), pg_current_xact_id(), now(), 1, '$1', 'x'
         FROM mq.topic_log l, generate_series(1, $rows) WHERE l.topic = '';
         ${2:-COMMIT}"
}

state_empty() { :; }
state_vacuumed() { sql "VACUUM ANALYZE mq.message"; }
state_grown() { sql "VACUUM ANALYZE mq.message"; }  # filled while the sessions run: see script
state_never_analyzed() { fill 0 NULL; }
state_ready() { fill 0 NULL; fill_topic t; sql "VACUUM ANALYZE mq.message"; }
state_stale() { sql "VACUUM ANALYZE mq.message"; fill 0 NULL; }
state_delayed() { fill 1 "now() + interval '1 day' + p * interval '1 s'"; sql "VACUUM ANALYZE mq.message"; }
state_leased() {  # thousands fall due at one moment
    fill 2 "now() + interval '1 day' + p % 10 * interval '1 s'"
    sql "VACUUM ANALYZE mq.message"
}
state_expired() { state_leased; }
again_expired() { fill 2 "now() - interval '1 day' + p * interval '1 ms'" NULL,NULL q 1500; }
state_blocked() {  # a thousand keys, the first message of each leased
    fill 3 NULL "'k' || p % 1000, NULL"
    sql "UPDATE mq.message SET state = 2, due = now() + interval '1 day'
         WHERE id IN (SELECT min(id) FROM mq.message GROUP BY order_key)"
    sql "VACUUM ANALYZE mq.message"
}
state_keyed() {  # every message has keys of its own
    fill 0 NULL "'k' || p, 'k' || p"
    sql "INSERT INTO mq.dedup_window SELECT queue_id, dedup_key, id, now() + interval '1 day' FROM mq.message"
    sql "VACUUM ANALYZE mq.message, mq.dedup_window"
}
state_crowd() {  # all of it in other queues, which have few keys
    fill 0 NULL NULL,NULL r $((rows / 4))
    fill 1 "now() + interval '1 day' + p * interval '1 s'" NULL,NULL r $((rows / 4))
    fill 2 "now() + interval '1 day' + p * interval '1 s'" NULL,NULL r $((rows / 4))
    fill 3 NULL "'a', NULL" r $((rows / 4))
    sql "INSERT INTO mq.dedup_window SELECT queue_id, 'w' || id, id, now() + interval '1 day' FROM mq.message"
    sql "VACUUM ANALYZE mq.message, mq.dedup_window"
    # And of topics: on both sides of the name of the one that is looked at.
    fill_topic a
    fill_topic z
}
state_one_key() { fill 3 NULL "'a', NULL" r; sql "VACUUM ANALYZE mq.message"; }
state_mortal() {  # in a queue of their own, each with a time to live
    fill 0 NULL NULL,NULL m
    sql "UPDATE mq.message SET expires = now() + interval '1 day'"
    sql "VACUUM ANALYZE mq.message"
}
state_letters() {
    sql "INSERT INTO mq.dead_letter (id, sent, queue_id, priority, attempts, errors, kind, payload, reason)
         SELECT nextval('mq.position'), now(), q.id, 999, 1, 1, 1, 'x', 'error_limit'
         FROM mq.queue q, generate_series(1, $rows / 2) WHERE q.name IN ('q', 'r')"
    sql "VACUUM ANALYZE mq.dead_letter"
    # And logs of forty topics.
    sql "SELECT count(mq.topic_create('x' || i)) FROM generate_series(1, 40) i" >/dev/null
}
state_locked() {  # each by a consumer's transaction that is still at work
    fill 0 NULL
    sql "VACUUM ANALYZE mq.message"
    hold 'SELECT count(*) FROM (SELECT FROM mq.message FOR UPDATE) m'
}
state_dead() {
    fill 0 NULL
    sql "VACUUM ANALYZE mq.message"
    hold 'SELECT 1'
    sql "DELETE FROM mq.message"
    sql "VACUUM mq.message"
    # A publisher that rolled back, and a subscriber that has committed as often.
    fill_topic t ROLLBACK
    sql "INSERT INTO mq.topic_position (subscriber_id, number, position)
         SELECT s.id, n, '1:1:' FROM mq.topic_subscriber s, generate_series(1, $rows) n WHERE s.name = 'd';
         DELETE FROM mq.topic_position p USING mq.topic_subscriber s WHERE s.id = p.subscriber_id AND s.name = 'd' AND p.number < $rows"
}

# How many rows a state is made of, of which a thousand may have been consumed.
remain() {
    case $1 in
        ready | stale | never_analyzed | grown | delayed | leased | expired | blocked | keyed | crowd | one_key | mortal | locked)
            sql "SELECT count(*) > $rows - 1500 FROM mq.message" ;;
        letters) sql "SELECT count(*) > $rows - 1500 FROM mq.dead_letter" ;;
        dead) sql "SELECT pg_relation_size('mq.message') > $rows * 50" ;;
        *) echo t ;;
    esac
}
