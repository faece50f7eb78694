#!/bin/bash
# Topics on other servers than the one they began on: a dump restored into another cluster, and a standby.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
# shellcheck source-path=SCRIPTDIR
. ./server.sh
if [ ! -x "$bin/pg_dump" ] || [ ! -x "$bin/pg_restore" ]; then
    echo "pg_dump is not on this machine: skipped"
    exit 77
fi
old_dsn=$PGQ_TEST_DSN

clean() {
    PGQ_TEST_DSN=$old_dsn
    drop_namespace
    stop standby immediate || true
    stop main immediate || true
    rm -rf "$home" "$home.log"
}
trap clean EXIT

on() { PGQ_TEST_DSN="host=$home port=$1 user=postgres dbname=postgres"; }

open_server() {
    server initdb -D main -U postgres -A trust -E UTF8 -N
    configure main <<CONF
listen_addresses = ''
unix_socket_directories = '$home'
unix_socket_permissions = 0777
fsync = off
shared_buffers = 16MB
CONF
    start main 1
}

bodies() { sql "SELECT string_agg(body, ',') FROM mq.topic_next('$1', $2, 100)"; }                        # TOPIC POSITION
unread() { bodies "$1" "(SELECT position FROM mq.topic_subscribe('$1', '$2'))"; }                        # TOPIC SUBSCRIBER

commit_after() {  # TOPIC SUBSCRIBER COUNT
    sql "SELECT mq.topic_commit('$1', '$2', s.number, (SELECT n.position FROM mq.topic_next('$1', s.position, $3) n ORDER BY n.id DESC LIMIT 1))
         FROM mq.topic_subscribe('$1', '$2') s" >/dev/null
}

# On the old server: two topics, in one of them two segments, and subscribers wherever one can be.
fill() {
    sql "SELECT mq.topic_create('own', 3600), mq.topic_subscribe('t', 'all', 'oldest'), mq.topic_subscribe('t', 'some', 'oldest'),
                mq.topic_subscribe('own', 'none', 'oldest')" >/dev/null
    sql "SELECT mq.topic_publish_many('t', '{t1,t2,t3}'), mq.topic_publish_many('own', '{o1,o2}')" >/dev/null
    commit_after t all 3
    commit_after t some 1
    sql "UPDATE mq.topic_segment SET opened = opened - interval '300 s'" >/dev/null
    sql "SELECT mq.topic_tend()" >/dev/null
    # The dump comes to the sequences last: the last look was that of a server that has gone on.
    sql "SELECT mq.topic_tend()" >/dev/null
    sql "SELECT mq.topic_publish('t', 't4'), mq.topic_publish('own', 'o3')" >/dev/null
    sql "SELECT mq.topic_subscribe('t', 'late')" >/dev/null
    check "on the old server" 't4|t2,t3|o1,o2,o3|' "$(unread t all)|$(unread t some)|$(unread own none)|$(unread t late)"
}

restore() {
    "$bin/pg_dump" -d "$old_dsn" -Fc -n "$quoted" >"$scratch/dump"
    "$bin/pg_restore" -d "$PGQ_TEST_DSN" --no-owner --exit-on-error "$scratch/dump"
}

restored() {
    on 1
    restore
    check "the new server has seen less" t "$(sql "SELECT min(xid) > pg_snapshot_xmax(pg_current_snapshot()) FROM mq.topic_message")"
    check_sql "SELECT d.severity FROM mq.doctor() d WHERE d.check = 'foreign_log'" problem
    check_state "SELECT mq.topic_next('t', (SELECT position FROM mq.topic_subscribe('t', 'all')))" MQ001
    check "messages of transactions to come" '' "$(bodies t "'oldest'")"
    sql "SELECT setval(current, 77) FROM mq.topic_log WHERE topic = ''" >/dev/null  # a segment that was made after the dump had begun
    sql "SELECT mq.topic_restored()" >/dev/null
    check_state "SELECT mq.topic_restored('then')" MQ001
    check_sql "SELECT d.subject FROM mq.doctor() d WHERE d.check = 'foreign_log'" ''
    check "each goes on where it was" 't4|t2,t3,t4|o1,o2,o3|' "$(unread t all)|$(unread t some)|$(unread own none)|$(unread t late)"
    check "all that is kept is read" t1,t2,t3,t4 "$(bodies t "'oldest'")"
    check_sql "SELECT body FROM mq.topic_latest('t')" t4
    sql "SELECT mq.topic_publish('t', 't5'), mq.topic_publish('own', 'o4')" >/dev/null
    check "what is new is behind it" 't4|t5' "$(unread t all)|$(unread t late)"
    commit_after t all 100
    check "and comes next" t5 "$(unread t all)"
    # All begin at one end.
    sql "SELECT mq.topic_restored('oldest')" >/dev/null
    check "at the oldest" 't1,t2,t3,t4,t5|t1,t2,t3,t4,t5' "$(unread t all)|$(unread t late)"
    sql "SELECT mq.topic_restored('now')" >/dev/null
    check "at now" '|' "$(unread t all)|$(unread own none)"
    sql "SELECT mq.topic_publish('t', 't6')" >/dev/null
    check "from now on" 't6|' "$(unread t all)|$(unread own none)"
    # The log goes on as ever.
    sql "UPDATE mq.topic_segment SET opened = opened - interval '1 day', sealed = sealed - interval '1 day'" >/dev/null
    sql "DO \$\$ BEGIN FOR i IN 1 .. 9 LOOP PERFORM mq.topic_tend(); COMMIT; END LOOP; END \$\$" >/dev/null
    check "what was sealed is over" t6 "$(bodies t "'oldest'" | sed 's/.*,//')"
    check_sql "SELECT count(*) FROM mq.topic_message WHERE convert_from(payload, 'UTF8') = 't1'" 0
}

# A snapshot of a standby does not say who is in flight: what commits late is read all the same.
standby() {
    local at got i writer
    server pg_basebackup -h "$home" -p 1 -U postgres -D standby -R -c fast
    start standby 2
    mkfifo "$scratch/writer"
    run_psql -f "$scratch/writer" >/dev/null &
    writer=$!
    exec 8>"$scratch/writer"
    in_namespace "BEGIN; SELECT mq.topic_publish('s', 'late');" >&8
    echo >&8
    until [ "$(run_psql -c "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")" = 1 ]; do sleep 0.01; done
    sql "SELECT mq.topic_publish('s', 'early')" >/dev/null
    on 2
    arrives() {  # COUNT: of messages, on the standby
        for ((i = 0; i < 1000; i++)); do
            [ "$(sql "SELECT count(*) FROM mq.topic_message WHERE topic = 's'")" != "$1" ] || return 0
            sleep 0.01
        done
        return 1
    }
    arrives 1
    at=$(sql "SELECT position FROM mq.topic_subscribe('s')")
    got=$(bodies s "'oldest'")
    check "before it is sure" '' "$got"
    echo 'COMMIT;' >&8
    exec 8>&-
    wait "$writer"
    arrives 2
    check "a position of a standby" late,early "$(bodies s "'$at'")"
    check_state "SELECT mq.topic_publish('s', 'x')" 25006
    on 1
}

scratch=$home/scratch
mkdir "$scratch"
install_namespace
fill
open_server
restored
standby
finish
