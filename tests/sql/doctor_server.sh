#!/bin/bash
# The findings of mq.doctor that belong to a whole server, each caused on a private one with a standby: prepared
# transactions, replication slots, standbys, autovacuum, the notification queue. The programs are those of the server
# that the other tests use; where they cannot be had, this is skipped.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
# shellcheck source-path=SCRIPTDIR
. ./server.sh
on() { PGQ_TEST_DSN="host=$home port=$port_of user=postgres dbname=postgres"; }

session=
release() {
    [ -z "$session" ] || { exec 7>&-; wait "$session" || true; session=; }
}
clean() {
    release
    stop standby immediate || true
    stop main immediate || true
    rm -rf "$home" "$home.log"
}
trap clean EXIT

on_main() { port_of=1 on; }
on_standby() { port_of=2 on; }

open_servers() {
    server initdb -D main -U postgres -A trust -E UTF8 -N
    "${as[@]}" tee -a "$home/main/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$home'
unix_socket_permissions = 0777
fsync = off
wal_level = logical
max_prepared_transactions = 5
shared_buffers = 16MB
autovacuum_naptime = 1h
CONF
    start main 1
    on_main
    install_namespace
    server pg_basebackup -h "$home" -p 1 -U postgres -D standby -R -c fast
    "${as[@]}" tee -a "$home/standby/postgresql.conf" >/dev/null <<CONF
hot_standby_feedback = on
wal_receiver_status_interval = 1
CONF
}

hold() {  # SQL: in a session that stays where it is
    mkfifo "$home/hold"
    run_psql -f "$home/hold" >"$home/held" &
    session=$!
    exec 7>"$home/hold"
    rm "$home/hold"
    printf '%s;\n\\echo held\n' "$(in_namespace "$1")" >&7
    until grep -q '^held$' "$home/held"; do kill -0 "$session"; sleep 0.01; done
}

finds() {  # CHECK ARGUMENTS EXPECTED: soon
    local i got
    for ((i = 0; i < 500; i++)); do
        got=$(sql "SELECT d.severity, d.subject FROM mq.doctor($2) d WHERE d.check = '$1' ORDER BY d.subject" 2>&1)
        [ "$got" != "$3" ] || break
        sleep 0.02
    done
    check "$1 ($2)" "$3" "$got"
}

follow() {  # CHECK [ARGUMENTS]: does what the advice of each says
    run_psql -c "$(sql "SELECT substring(d.advice, '(?:SELECT|ALTER) .*') FROM mq.doctor(${2:-}) d WHERE d.check = '$1'" |
        sed 's/; SELECT.*//; s/\.$//')" -c "SELECT pg_reload_conf()" >/dev/null
}

healthy() { check "$1" '' "$(sql "SELECT * FROM mq.doctor()" 2>&1)"; }  # WHEN

transactions() {  # COUNT
    printf 'SELECT pg_current_xact_id();\n%.0s' $(seq "$1") | run_psql -f - >/dev/null
}

prepared() {
    sql "SELECT mq.create_queue('q'), mq.enqueue('q', 'x')" >/dev/null
    run_psql -c "BEGIN" -c "$(in_namespace "SELECT mq.enqueue('q', 'y')")" -c "PREPARE TRANSACTION 'it''s lost'" >/dev/null
    finds prepared_transaction '' ''
    finds prepared_transaction 0 "problem|it's lost"
    check_sql "SELECT d.age >= 0, d.transactions > 0, d.message LIKE '%postgres%' FROM mq.doctor(0) d WHERE d.check = 'prepared_transaction'" 't|t|t'
    # Of another database: it writes.
    run_psql -c "CREATE DATABASE elsewhere" >/dev/null
    psql -X -q -d "$PGQ_TEST_DSN dbname=elsewhere" -c "BEGIN" -c "SELECT pg_current_xact_id()" -c "PREPARE TRANSACTION 'other'" >/dev/null
    finds prepared_transaction 0 $'problem|it\'s lost\nproblem|other'
    psql -X -q -d "$PGQ_TEST_DSN dbname=elsewhere" -c "ROLLBACK PREPARED 'other'"
    run_psql -c "$(sql "SELECT 'ROLLBACK PREPARED ' || quote_literal(d.subject) FROM mq.doctor(0) d WHERE d.check = 'prepared_transaction'")"
    finds prepared_transaction 0 ''
    sql "SELECT mq.purge('q')" >/dev/null
}

# A snapshot of another database holds nothing back here; a transaction that writes does.
elsewhere() {
    local dsn=$PGQ_TEST_DSN
    PGQ_TEST_DSN="$dsn dbname=elsewhere" hold "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
    check_sql "SELECT count(*) FROM mq.doctor(0) d WHERE d.check = 'long_transaction'" 0
    printf 'SELECT pg_current_xact_id();\n' >&7
    finds long_transaction 0 "warning|$(run_psql -c "SELECT pid FROM pg_stat_activity WHERE datname = 'elsewhere'")"
    release
}

slots() {
    run_psql -c "SELECT pg_create_logical_replication_slot('reader', 'pgoutput')" >/dev/null
    finds replication_slot '' 'warning|reader'
    finds replication_slot 'horizon_age => 0' 'problem|reader'
    check_sql "SELECT d.bytes >= 0, d.transactions >= 0, d.message LIKE '%of the catalogs%' FROM mq.doctor() d" 't|t|t'
    follow replication_slot
    finds replication_slot 'horizon_age => 0' ''
}

standby() {
    start standby 2
    healthy 'with a standby'
    on_standby
    check_sql 'SELECT d.check, d.severity, d.subject FROM mq.doctor(wait_age => 0) d' 'standby|note|server'
    hold "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
    check_sql "SELECT count(*) FROM mq.doctor(0) d WHERE d.check = 'long_transaction'" 1
    # Its snapshot reaches the primary by feedback, without a slot.
    on_main
    transactions 10
    finds standby 'horizon_age => 5' 'warning|walreceiver'
    finds standby 'horizon_age => 100000' ''
    healthy 'a standby that is a little behind'
    release
    # And through a slot, which keeps it when the standby is gone.
    run_psql -c "SELECT pg_create_physical_replication_slot('standby_1')" >/dev/null
    healthy 'a slot that nobody has used'
    stop standby
    printf "primary_slot_name = 'standby_1'\n" | "${as[@]}" tee -a "$home/standby/postgresql.conf" >/dev/null
    start standby 2
    on_standby
    hold "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
    on_main
    transactions 10
    finds replication_slot 'horizon_age => 5' 'problem|standby_1'
    healthy 'a slot in use that is a little behind'
    stop standby immediate
    release 2>/dev/null
    finds replication_slot '' 'warning|standby_1'
    check_sql "SELECT d.message LIKE '%not in use%', d.message LIKE '%of the catalogs%' FROM mq.doctor() d" 't|f'
    follow replication_slot
    healthy 'without the slot'
}

autovacuum() {
    local setting
    for setting in autovacuum track_counts; do
        run_psql -c "ALTER SYSTEM SET $setting = off" -c "SELECT pg_reload_conf()" >/dev/null
        finds autovacuum_off '' "problem|$setting"
        follow autovacuum_off
        finds autovacuum_off '' ''
    done
}

# A session that listens, and stays in a transaction, keeps what others say.
notifications() {
    finds notification_queue 'notify_usage => 0' ''
    hold "LISTEN x; BEGIN; SELECT 1"
    run_psql -c "SELECT pg_notify('x', repeat('y', 7900) || i) FROM generate_series(1, 2000) i" >/dev/null
    finds notification_queue 'notify_usage => 0' 'problem|notification queue'
    check_sql "SELECT d.message ~ ' is 0[.]1[0-9]* % full' FROM mq.doctor(notify_usage => 0.001) d" t
    finds notification_queue '' ''
    release
    # Whoever speaks next tidies up.
    run_psql -c "SELECT pg_notify('x', repeat('y', 7900) || i) FROM generate_series(1, 50) i" >/dev/null
    finds notification_queue 'notify_usage => 0.001' ''
}

open_servers
healthy 'a new server'
prepared
elsewhere
slots
autovacuum
notifications
standby
finish
