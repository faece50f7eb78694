#!/bin/bash
# The findings of mq.doctor that belong to a namespace, each caused, and none when nothing is wrong. Those of a whole
# server are caused by doctor_server.sh.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
# A name that would end a literal, or an identifier.
use_namespace "doc'tor \"$$"
producer="producer_$$" consumer="consumer '$$" watcher="watcher_$$"
scratch=$(mktemp -d)
holder=

clean() {
    local role
    release
    drop_namespace
    for role in "$producer" "$consumer" "$watcher"; do
        run_psql -c "DROP OWNED BY \"$role\"" -c "DROP ROLE \"$role\"" >/dev/null 2>&1 || true
    done
    rm -rf "$scratch"
}
trap clean EXIT

# --- a second session ---

release() {
    if [ -n "$holder" ]; then
        exec 7>&-
        wait "$holder" || true
        holder=
    fi
}

hold() {  # SQL: in a session that stays where it is; sets pid
    mkfifo "$scratch/hold"
    run_psql -f "$scratch/hold" >"$scratch/held" &
    holder=$!
    exec 7>"$scratch/hold"
    rm "$scratch/hold"
    { in_namespace "$1;"; printf '\n\\echo held\nSELECT pg_backend_pid();\n\\echo pid\n'; } >&7
    for ((i = 0; i < 1000; i++)); do
        if grep -q '^pid$' "$scratch/held"; then break; fi
        kill -0 "$holder" || return 1
        sleep 0.01
    done
    pid=$(sed -n '/^held$/{n;p}' "$scratch/held")
    [ -n "$pid" ]
}

# --- what is found ---

found() {  # CHECK [ARGUMENTS]: "severity|subject" of each
    sql "SELECT d.severity, d.subject FROM mq.doctor(${2:-}) d WHERE d.check = '$1' ORDER BY d.subject" 2>&1
}

finds() {  # CHECK ARGUMENTS EXPECTED
    check "$1 ($2)" "$3" "$(found "$1" "$2")"
}

soon() {  # CHECK ARGUMENTS EXPECTED: what the statistics say may come late
    local i
    for ((i = 0; i < 500; i++)); do
        [ "$(found "$1" "$2")" != "$3" ] || break
        sleep 0.02
    done
    finds "$1" "$2" "$3"
}

follow() {  # CHECK [ARGUMENTS]: does what the advice of each says
    local advice
    while IFS= read -r advice; do
        run_psql -c "$advice" >/dev/null
    done < <(sql "SELECT substring(d.advice, '^[^;]*;') FROM mq.doctor(${2:-}) d WHERE d.check = '$1'")
}

healthy() {  # WHEN: nothing is found of this namespace
    check "$1" '' "$(sql "SELECT * FROM mq.doctor() d WHERE d.check NOT IN
        ('long_transaction', 'prepared_transaction', 'replication_slot', 'standby', 'notification_queue')" 2>&1)"
}

arguments() {
    expect <<'TABLE'
MQ001	SELECT mq.doctor(transaction_age => -1)
MQ001	SELECT mq.doctor(transaction_age => 10000000)
MQ001	SELECT mq.doctor(scope_age => 'NaN')
MQ001	SELECT mq.doctor(wait_age => -0.001)
MQ001	SELECT mq.doctor(horizon_age => -1)
MQ001	SELECT mq.doctor(dead_rows => -1)
MQ001	SELECT mq.doctor(bloat_bytes => -1)
MQ001	SELECT mq.doctor(dead_per_hour => 0)
MQ001	SELECT mq.doctor(dead_per_hour => 1000001)
MQ001	SELECT mq.doctor(notify_usage => -0.1)
MQ001	SELECT mq.doctor(notify_usage => 'NaN')
MQ001	SELECT mq.doctor(notify_usage => 1.1)
ok	SELECT mq.doctor(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
ok	BEGIN READ ONLY
ok	SELECT mq.doctor(wait_age => 0)
ok	COMMIT
ok	BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE
ok	SELECT mq.doctor(wait_age => 0)
ok	COMMIT
TABLE
}

# stdin: a fault, a bar, what is found of it. It is caused, found, and undone as the advice says.
caused() {  # CHECK
    local statement want
    while IFS='|' read -r statement want; do
        printf 'ok\t%s\n' "$statement"
        printf '=%s\t%s\n' "$want" "SELECT d.severity, d.subject, d.rows FROM mq.doctor() d WHERE d.check = '$1'"
        printf 'ok\t%s\n' "DO \$do\$ DECLARE a text; BEGIN FOR a IN
            SELECT substring(d.advice, '^[^;]*;') FROM mq.doctor() d WHERE d.check = '$1' LOOP EXECUTE a; END LOOP; END \$do\$" | tr '\n' ' '
        printf '\n=\t%s\n' "SELECT d.* FROM mq.doctor() d WHERE d.check = '$1'"
    done | expect
}

grants() {
    sql "SELECT mq.grant_producer('$producer'), mq.grant_consumer('${consumer//\'/\'\'}'), mq.grant_monitor('$watcher')" >/dev/null
    healthy 'three roles with their grants'
    caused missing_privilege <<LIST
REVOKE EXECUTE ON FUNCTION mq.enqueue_many FROM $producer|problem|$producer|1
REVOKE EXECUTE ON FUNCTION mq._ring FROM "$consumer"|problem|$consumer|1
REVOKE SELECT ON mq.migration FROM $producer|problem|$producer|1
REVOKE SELECT (dedup_key) ON mq.message FROM $producer|problem|$producer|1
REVOKE DELETE ON mq.message FROM "$consumer"|problem|$consumer|1
REVOKE USAGE ON mq.position FROM "$consumer"|problem|$consumer|1
REVOKE UPDATE ON SEQUENCE $quoted.sent_$(sql "SELECT max(id) FROM mq.queue") FROM $producer|problem|$producer|1
REVOKE USAGE ON SCHEMA $quoted FROM $producer|problem|$producer|1
REVOKE USAGE ON SEQUENCE $quoted.topic_ids_1 FROM $producer|problem|$producer|1
REVOKE SELECT ON SEQUENCE $quoted.topic_current_1 FROM $producer|problem|$producer|1
REVOKE SELECT ON $quoted.topic_message_1 FROM "$consumer"|problem|$consumer|1
REVOKE SELECT ON mq.topic_position FROM "$consumer"|problem|$consumer|1
REVOKE SELECT ON mq.dead_letter FROM $watcher|problem|$watcher|1
REVOKE SELECT ON SEQUENCE $quoted.sent_$(sql "SELECT max(id) FROM mq.queue") FROM $watcher|problem|$watcher|1
REVOKE ALL ON mq.message, mq.queue, mq.migration FROM $producer|problem|$producer|8
LIST
    expect <<TABLE
ok	REVOKE SELECT ON mq.queue FROM $producer
ok	DELETE FROM mq.granted WHERE role = '$producer'
=	SELECT d.* FROM mq.doctor() d WHERE d.check = 'missing_privilege'
ok	SELECT mq.grant_producer('$producer')
ok	REVOKE SELECT ON mq.queue FROM $producer
ok	DO \$do\$ BEGIN EXECUTE (SELECT substring(d.advice, '; or, .*, (SELECT .*);') FROM mq.doctor() d WHERE d.check = 'missing_privilege'); END \$do\$
=0	SELECT count(*) FROM mq.granted WHERE role = '$producer'
ok	SELECT mq.grant_producer('$producer')
TABLE
    caused public_grant <<LIST
GRANT EXECUTE ON FUNCTION mq.pop, mq.ack TO PUBLIC|problem|function|2
CREATE FUNCTION mq.mine() RETURNS void LANGUAGE sql AS ''|problem|function|1
GRANT SELECT, INSERT ON mq.message TO PUBLIC|problem|table|1
GRANT SELECT (payload) ON mq.message TO PUBLIC|problem|table|1
GRANT USAGE ON mq.position TO PUBLIC|problem|sequence|1
GRANT CREATE ON SCHEMA $quoted TO PUBLIC|problem|schema|1
LIST
    expect <<TABLE
ok	DROP FUNCTION mq.mine()
ok	GRANT USAGE ON SCHEMA $quoted TO PUBLIC
=	SELECT d.* FROM mq.doctor() d WHERE d.check = 'public_grant'
ok	REVOKE USAGE ON SCHEMA $quoted FROM PUBLIC
TABLE
}

as() {  # ROLE [ARGUMENTS]: the checks that role gets a note of, and with what else
    run_psql -v role="$1" -f - <<SQL
SET ROLE :"role";
$(in_namespace "SELECT string_agg(DISTINCT d.severity || ' ' || d.check, ',') FROM mq.doctor(${2:-}) d WHERE d.subject = current_user OR d.severity <> 'note';")
SQL
}

roles() {
    check "a consumer" 'note long_scope,note long_transaction,note missing_privilege' "$(as "$consumer")"
    check "a producer" 'note dead_letters,note long_scope,note long_transaction,note missing_privilege,note no_consumer,note subscriber_behind' "$(as "$producer")"
    check "a monitor" 'note long_scope,note long_transaction' "$(as "$watcher")"
    sql "SELECT mq.enqueue('q', 'x')" >/dev/null
    hold "BEGIN; SET ROLE \"$consumer\"; SELECT mq.dequeue('q')"
    check "a consumer, and a session of somebody else" '' "$(as "$consumer" '0, scope_age => 0' | grep -oE '(warning|problem) [a-z_]*' || true)"
    sql "GRANT pg_read_all_stats TO \"$consumer\"" >/dev/null
    check "it may see them now" 'note missing_privilege,warning long_scope,warning long_transaction' \
        "$(as "$consumer" '0, scope_age => 0')"
    release
    sql "REVOKE pg_read_all_stats FROM \"$consumer\"" >/dev/null
    sql "SELECT mq.revoke('$watcher'); GRANT USAGE ON SCHEMA $quoted TO $watcher" >/dev/null
    check "a role without a grant" 42501 "$(run_psql -c "SET ROLE $watcher" -c "$(in_namespace 'SELECT mq.doctor()')" 2>&1 | sed -n 's/.*ERROR:  *//p')"
}

sessions() {
    sql "SELECT mq.enqueue('q', 'x')" >/dev/null
    # A scope: its transaction writes.
    hold "BEGIN; SELECT mq.dequeue('q')"
    finds long_scope '' ''
    finds long_scope 'scope_age => 0' 'warning|q'
    check "a scope of this session" '' "$(sql "BEGIN; SELECT FROM mq.dequeue('q'); SELECT d.subject FROM mq.doctor(scope_age => 0) d
        WHERE d.check = 'long_scope' AND d.message NOT LIKE '%$pid%'; ROLLBACK" | grep . || true)"
    check "the session" "warning|t|t" "$(sql "SELECT d.severity, d.age >= 0, d.transactions >= 0 FROM mq.doctor(0) d
        WHERE d.check = 'long_transaction' AND d.subject = '$pid'")"
    sql "SELECT pg_sleep(0.3)" >/dev/null
    check "a session older than the threshold" 1 "$(sql "SELECT count(*) FROM mq.doctor(0.25) d WHERE d.check = 'long_transaction' AND d.subject = '$pid' AND d.age >= 0.25")"
    check "and one that is younger" 0 "$(sql "SELECT count(*) FROM mq.doctor(60) d WHERE d.check = 'long_transaction' AND d.subject = '$pid'")"
    check "its advice" t "$(sql "SELECT d.advice LIKE '%pg_terminate_backend($pid)%' FROM mq.doctor(0) d WHERE d.check = 'long_transaction' AND d.subject = '$pid'")"
    release
    finds long_scope 'scope_age => 0' ''
    # A snapshot alone; and a transaction that has none any more, which holds nothing back.
    hold "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
    check "a snapshot" "$pid" "$(sql "SELECT d.subject FROM mq.doctor(0) d WHERE d.check = 'long_transaction' AND d.subject = '$pid'")"
    release
    hold "BEGIN; SELECT 1"
    check "no snapshot" '' "$(sql "SELECT d.subject FROM mq.doctor(0) d WHERE d.check = 'long_transaction' AND d.subject = '$pid'")"
    release
    sql "SELECT mq.purge('q')" >/dev/null
}

age() { sql "UPDATE mq.message SET sent = sent - interval '10 min' WHERE queue_id = (SELECT id FROM mq.queue WHERE name = '$1')" >/dev/null; }

consumers() {
    sql "SELECT mq.create_queue('waits'), mq.create_queue('empty'), mq.enqueue('waits', 'x')" >/dev/null
    healthy 'a message that has just come'
    finds no_consumer 'wait_age => 0' 'problem|waits'
    age waits
    finds no_consumer '' 'problem|waits'
    check "its age" t "$(sql "SELECT d.age BETWEEN 600 AND 660 FROM mq.doctor() d WHERE d.check = 'no_consumer'")"
    finds no_consumer 'wait_age => 660' ''
    sql "SELECT mq.pause('waits')" >/dev/null
    finds no_consumer '' ''
    sql "SELECT mq.resume('waits')" >/dev/null
    # Whoever sleeps for it, has one in a scope, or leased, or takes them one by one, is a consumer.
    hold "SELECT mq.doze('waits')"
    finds no_consumer '' ''
    release
    finds no_consumer '' 'problem|waits'
    sql "SELECT mq.enqueue('waits', 'y')" >/dev/null
    age waits
    hold "BEGIN; SELECT mq.dequeue('waits')"
    finds no_consumer '' ''
    release
    sql "SELECT mq.enqueue_many('waits', array_fill('z'::text, ARRAY[1500])), mq.enqueue('waits', 'late', delay => 9)" >/dev/null
    age waits
    sql "SELECT mq.receive('waits', lease => 8)" >/dev/null
    finds no_consumer '' ''
    sql "SELECT mq.ack(id, attempts) FROM mq.list('waits', 'in_flight')" >/dev/null
    finds no_consumer '' 'problem|waits'
    run_psql -c "$(in_namespace "DO \$\$ BEGIN FOR i IN 1 .. 1400 LOOP PERFORM mq.pop('waits'); COMMIT; PERFORM pg_sleep(0.004); END LOOP; END \$\$")" 2>/dev/null &
    local popper=$! before
    before=$(sql "SELECT received_total FROM mq.stats('waits')")
    until [ "$(sql "SELECT received_total FROM mq.stats('waits')")" -gt "$before" ]; do kill -0 "$popper"; done
    finds no_consumer '' ''
    sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO %.pop(%' AND pid <> pg_backend_pid()" >/dev/null
    wait "$popper" 2>/dev/null || true
    sql "SELECT mq.purge('waits')" >/dev/null

    sql "SELECT mq.enqueue('waits', 'x'), mq.enqueue('waits', 'late', delay => 60)" >/dev/null
    sql "SELECT mq.receive('waits', lease => 30)" >/dev/null
    finds overdue '' ''
    sql "UPDATE mq.message SET due = now() - interval '10 min' WHERE state = 2" >/dev/null
    finds overdue '' 'problem|waits'
    check "a lease" t "$(sql "SELECT d.message LIKE 'a lease in queue \"waits\" ran out 10 min ago%' AND d.age >= 600 FROM mq.doctor() d WHERE d.check = 'overdue'")"
    sql "SELECT mq.clean('waits'), mq.purge('empty')" >/dev/null
    finds overdue '' ''
    sql "UPDATE mq.message SET due = now() - interval '10 min' WHERE state = 1" >/dev/null
    check "a delay" t "$(sql "SELECT d.message LIKE 'a message of queue \"waits\" fell due 10 min ago%' FROM mq.doctor() d WHERE d.check = 'overdue'")"
    sql "SELECT mq.pause('waits')" >/dev/null
    finds overdue '' ''
    sql "SELECT mq.delete_queue('waits'), mq.delete_queue('empty')" >/dev/null
}

letters() {
    local here="FROM mq.doctor() d WHERE d.check = 'dead_letters'"
    expect <<TABLE
ok	SELECT mq.create_queue('dies', error_limit => 1), mq.enqueue_many('dies', array_fill('x'::text, ARRAY[100]))
ok	SELECT mq.nack(id, attempts) FROM mq.receive('dies', 99)
=	SELECT d.* $here
=warning|dies	SELECT d.severity, d.subject ${here/doctor()/doctor(dead_per_hour => 50)}
=dead	SELECT mq.nack(id, attempts) FROM mq.receive('dies')
=warning|dies|100	SELECT d.severity, d.subject, d.rows $here
=	SELECT d.* ${here/doctor()/doctor(dead_per_hour => 101)}
ok	UPDATE mq.dead_letter SET died = died - interval '61 min' WHERE id % 2 = 0
=	SELECT d.* $here
=warning|dies|50	SELECT d.severity, d.subject, d.rows ${here/doctor()/doctor(dead_per_hour => 50)}
=	SELECT mq.delete_queue('dies')
TABLE
}

tables() {
    # Toast's own setting is one of the table that it belongs to.
    sql "ALTER TABLE mq.message SET (autovacuum_enabled = off); ALTER TABLE mq.dead_letter SET (toast.autovacuum_enabled = false)" >/dev/null
    finds autovacuum_off '' $'problem|dead_letter (TOAST)\nproblem|message'
    follow autovacuum_off
    finds autovacuum_off '' ''
    sql "ALTER TABLE mq.message SET (autovacuum_enabled = off)" >/dev/null

    sql "INSERT INTO mq.message (id, position, sent, queue_id, priority, state, kind, payload)
         SELECT p, p, now(), q.id, 999, 0, 1, 'x' FROM mq.queue q, generate_series(1000001, 1004000) p
         WHERE q.name = 'q'" >/dev/null
    soon never_analyzed 'dead_rows => 4000' 'warning|message'
    finds never_analyzed '' ''
    sql "ANALYZE mq.message" >/dev/null
    soon never_analyzed 'dead_rows => 4000' ''

    finds autovacuum_lazy 'dead_rows => 1500' ''
    sql "ALTER TABLE mq.message SET (autovacuum_vacuum_scale_factor = 0.5)" >/dev/null
    finds autovacuum_lazy 'dead_rows => 1500' 'warning|message'
    check "when autovacuum begins" 3000 "$(sql "SELECT d.rows FROM mq.doctor(dead_rows => 1500) d WHERE d.check = 'autovacuum_lazy'")"
    finds autovacuum_lazy '' ''
    follow autovacuum_lazy 'dead_rows => 1500'
    finds autovacuum_lazy 'dead_rows => 1500' ''
    sql "ALTER TABLE mq.message RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)" >/dev/null
    finds autovacuum_lazy 'dead_rows => 700' 'warning|message'
    sql "ALTER TABLE mq.dedup_window SET (autovacuum_vacuum_threshold = 3000)" >/dev/null
    finds autovacuum_lazy 'dead_rows => 1500' 'warning|dedup_window'
    follow autovacuum_lazy 'dead_rows => 1500'
    finds autovacuum_lazy 'dead_rows => 1500' ''
    sql "ALTER TABLE mq.dedup_window RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)" >/dev/null
    sql "ALTER TABLE mq.message SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)" >/dev/null

    sql "VACUUM mq.message" >/dev/null
    soon dead_rows 'dead_rows => 1000' ''
    sql "DELETE FROM mq.message WHERE position <> (SELECT max(position) FROM mq.message)" >/dev/null
    soon dead_rows 'dead_rows => 3000' 'warning|message'
    finds dead_rows '' ''
    check "how many" 't|t' "$(sql "SELECT d.rows >= 3999, d.age < 60 FROM mq.doctor(dead_rows => 3000) d WHERE d.check = 'dead_rows'")"
    follow dead_rows 'dead_rows => 3000'
    soon dead_rows 'dead_rows => 3000' ''
    sql "ANALYZE mq.message" >/dev/null  # vacuum's own count of live rows is a guess
    soon bloat 'bloat_bytes => 60000' $'warning|message\nwarning|message_pkey\nwarning|message_ready'
    finds bloat '' ''
    check "its size" t "$(sql "SELECT bool_and(d.bytes > 60000 AND d.rows = 1) FROM mq.doctor(bloat_bytes => 60000) d WHERE d.check = 'bloat'")"
    follow bloat 'bloat_bytes => 60000'
    finds bloat 'bloat_bytes => 60000' ''
    sql "ALTER TABLE mq.message RESET (autovacuum_enabled); SELECT mq.purge('q')" >/dev/null
}

topics() {
    local position i
    sql "SELECT mq.topic_create('own', 60), mq.topic_publish('t', 'x'), mq.topic_subscribe('t', 's', 'oldest')" >/dev/null
    healthy 'a topic with a message'
    # Nobody tends: the segment that is written to is past twice its time.
    sql "UPDATE mq.topic_segment SET opened = opened - interval '19 min'" >/dev/null
    finds untended '' ''
    sql "UPDATE mq.topic_segment SET opened = opened - interval '2 min'" >/dev/null
    finds untended '' 'warning|common log'
    finds untended 'wait_age => 3600' ''
    check "how much" 't|t' "$(sql "SELECT d.age BETWEEN 600 AND 900, d.bytes > 0 FROM mq.doctor() d WHERE d.check = 'untended'")"
    for i in 1 2 3; do sql "SELECT mq.topic_tend()" >/dev/null; done
    finds untended '' ''
    sql "UPDATE mq.topic_segment SET sealed = sealed - interval '21 min'" >/dev/null
    finds untended '' 'warning|common log'
    # It is kept for a reason: somebody reads it, or holds it back.
    hold "BEGIN; SELECT mq.topic_next('t', 'oldest')"
    finds untended '' ''
    finds long_publisher '' ''
    finds long_publisher 'scope_age => 0' "warning|$pid"
    release
    sql "SELECT mq.topic_subscribe('t', 's', hold => 3600)" >/dev/null
    finds untended '' ''
    hold "BEGIN; SELECT mq.topic_publish('t', 'y')"
    finds long_publisher 'scope_age => 0' "warning|$pid"
    release
    finds subscriber_behind '' ''
    finds subscriber_behind 'wait_age => 0' 'problem|s'
    sql "UPDATE mq.topic_message SET published = published - interval '6 min'" >/dev/null
    finds subscriber_behind '' 'problem|s'
    check "how far" 't|1' "$(sql "SELECT d.age >= 360, d.rows FROM mq.doctor() d WHERE d.check = 'subscriber_behind'")"
    sql "SELECT mq.topic_subscribe('t', 's', hold => -1)" >/dev/null
    finds subscriber_behind '' 'warning|s'
    position=$(sql "SELECT position FROM mq.topic_subscribe('t')")
    sql "SELECT mq.topic_commit('t', 's', 0, '$position')" >/dev/null
    finds subscriber_behind 'wait_age => 0' ''
    # What a restore into another server leaves.
    sql "UPDATE mq.topic_position SET position = '9000000000000:9000000000000:'" >/dev/null
    finds foreign_log '' 'problem|topics'
    sql "UPDATE mq.topic_position SET position = '$position'; UPDATE mq.topic_segment SET opened_by = '9000000000000' WHERE number IS NOT NULL" >/dev/null
    finds foreign_log '' 'problem|topics'
    run_psql -c "$(sql "SELECT substring(d.advice, 'SELECT.*;') FROM mq.doctor() d WHERE d.check = 'foreign_log'")" >/dev/null
    finds foreign_log '' ''
    sql "SELECT mq.topic_unsubscribe('t', 's'), mq.topic_delete('own'), mq.topic_publish('t', 'z')" >/dev/null
    sql "UPDATE mq.topic_segment SET opened = clock_timestamp(), sealed = CASE WHEN sealed IS NOT NULL THEN clock_timestamp() END WHERE number IS NOT NULL" >/dev/null
}

# What the library adds; it is db_doctor.c that does it from a library.
versions() {
    local rest='NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL'
    check_sql "SELECT f.check, f.severity, f.detail FROM mq._doctor($rest, mq.version(), (SELECT functions FROM mq.namespace), pg_backend_pid()) f
               WHERE f.check IN ('version', 'pooler')" ''
    check_sql "SELECT f.check, f.severity, f.subject FROM mq._doctor($rest, 1, 'x', NULL) f WHERE f.check IN ('version', 'pooler')" "version|warning|$namespace"
    check_sql "SELECT f.code FROM mq._doctor(-1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) f" MQ001
}

install_namespace
run_psql -c "CREATE ROLE $producer" -c "CREATE ROLE \"$consumer\"" -c "CREATE ROLE $watcher" >/dev/null
healthy 'a new namespace'
arguments
sql "SELECT mq.create_queue('q')" >/dev/null
healthy 'a new queue'
grants
roles
sessions
consumers
letters
tables
topics
versions
sql "DROP OWNED BY $watcher" >/dev/null
healthy 'at the end'
finish
