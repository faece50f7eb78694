#!/bin/bash
# Topics under other sessions: messages that commit out of order, transactions of every kind, and segments that are
# switched, sealed and emptied while others publish and read. Whatever is committed is read, once; and nobody waits.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
# shellcheck source-path=SCRIPTDIR
. ./sessions.sh
trap 'close_sessions 2>/dev/null; drop_namespace' EXIT

# A reader keeps its position by itself. lib: as the library reads, by the report at the end; else by the last message.
reader() {  # NAME
    ask "$1" "CREATE TEMPORARY TABLE at (name text PRIMARY KEY, position text, trimmed boolean)"
    ask "$1" "CREATE FUNCTION pg_temp.read(topic text, n integer, who text DEFAULT 'sql') RETURNS text LANGUAGE plpgsql AS \$f\$
        DECLARE r record; old text := (SELECT a.position FROM at a WHERE a.name = who); bodies text := ''; last text;
        BEGIN
            IF who LIKE 'lib%' THEN
                FOR r IN SELECT t.* FROM mq._topic_read(topic, old, n) t LOOP
                    IF r.id IS NULL THEN
                        PERFORM mq._raise('MQ001', convert_from(r.payload, 'UTF8')) WHERE r.kind < 0;
                        UPDATE at a SET position = convert_from(r.payload, 'UTF8') || CASE WHEN r.kind & 1 = 1 THEN last ELSE '' END,
                                        trimmed = r.kind & 2 = 2 WHERE a.name = who;
                    ELSE
                        bodies := bodies || ',' || convert_from(r.payload, 'UTF8');
                        last := format('/%s/%s', r.xid, r.id);
                    END IF;
                END LOOP;
            ELSE
                FOR r IN SELECT t.* FROM mq.topic_next(topic, old, n) t LOOP
                    bodies := bodies || ',' || r.body;
                    UPDATE at a SET position = r.position WHERE a.name = who;
                END LOOP;
            END IF;
            RETURN substr(bodies, 2);
        END \$f\$"
    check "session $1 is a reader" 00000 "$state"
}

# All of the readers begin here.
begin_at() {  # SESSION START
    ask "$1" "DELETE FROM at; INSERT INTO at SELECT n, position FROM unnest('{sql,lib}'::text[]) n, mq.topic_subscribe('t', start => '$2')"
    check "$1 begins at $2" 00000 "$state"
}

reads() {  # SESSION EXPECTED [N]: both ways
    local who
    for who in sql lib; do
        ask "$1" "SELECT pg_temp.read('t', ${3:-100}, '$who')"
        judge_answer "$1 reads, $who" "=$2"
    done
}

late() {  # SECONDS: the segments are so much older
    ask T "UPDATE mq.topic_segment SET opened = opened - $1 * interval '1 s', sealed = sealed - $1 * interval '1 s'"
    check "segments are made older" 00000 "$state"
}

tend() {  # until nothing more is to be done
    ask T "DO \$do\$ BEGIN
               FOR i IN 1 .. 20 LOOP IF mq.topic_tend() > 0 THEN RETURN; END IF; COMMIT; END LOOP;
               RAISE 'no end';
           END \$do\$"
    check "tend comes to an end" 00000 "$state"
}

segments() {  # WHAT EXPECTED: those that are not free; behind each of them another one was made, see _open_segment
    ask T "SELECT string_agg(CASE WHEN s.sealed IS NULL THEN 'open' ELSE 'sealed' END, ',' ORDER BY s.number)
               || CASE WHEN max(s.id) = (SELECT max(t.id) FROM mq.topic_segment t) THEN ', and no other' ELSE '' END
           FROM mq.topic_segment s WHERE s.number IS NOT NULL"
    judge_answer "$1" "=$2"
}

anew() {  # one segment, and nothing in it
    ask T "SELECT mq.reset(), mq.topic_publish('t', 'x')"
    turn
    late 3000
    tend
    segments "one segment" open
}

turn() {  # another segment becomes the current one
    late 300
    tend
}

out_of_order() {
    begin_at R now
    play <<'T'
A	ok	BEGIN
A	ok	SELECT mq.topic_publish('t', 'a1')
B	ok	SELECT mq.topic_publish('t', 'b1')
T
    reads R b1
    reads R ''
    ask C "BEGIN; SELECT pg_current_xact_id()"
    play <<'T'
A	ok	SELECT mq.topic_publish('t', 'a2')
B	ok	SELECT mq.topic_publish('t', 'b2')
A	ok	COMMIT
T
    reads R a1,a2,b2
    reads R ''
    # Somebody who begins while a message is in flight gets it: it is committed later.
    play <<'T'
A	ok	BEGIN
A	ok	SELECT mq.topic_publish('t', 'a3')
T
    begin_at R now
    play <<'T'
B	ok	SELECT mq.topic_publish('t', 'b3')
C	ok	SELECT mq.topic_publish('t', 'c3')
A	ok	COMMIT
T
    reads R a3 1
    ask C COMMIT
    reads R b3 1
    reads R c3
    reads R ''
    play <<'T'
A	ok	BEGIN
A	ok	SELECT mq.topic_publish('t', 'gone')
B	ok	SELECT mq.topic_publish('t', 'b4')
A	ok	ROLLBACK
T
    reads R b4
    reads R ''
}

# What a transaction publishes itself it does not read before its commit; and loses nothing of it then.
own() {
    begin_at R now
    ask R "BEGIN; SELECT mq.topic_publish('t', 'mine')"
    reads R ''
    ask A "SELECT mq.topic_publish('t', 'other')"
    reads R other
    ask R COMMIT
    reads R mine
    ask R "BEGIN; SELECT mq.topic_publish('t', 'mine 2')"
    begin_at R now
    ask R COMMIT
    reads R 'mine 2'
    reads R ''
}

subtransactions() {
    begin_at R now
    play <<'T'
A	ok	BEGIN
A	ok	SAVEPOINT s
A	ok	SELECT mq.topic_publish('t', 'undone')
A	ok	ROLLBACK TO s
T
    turn  # nobody is in the segment any more
    segments "a segment that was left by ROLLBACK TO" sealed,open
    play <<'T'
A	ok	SELECT mq.topic_publish('t', 's1')
A	ok	SAVEPOINT s
A	ok	SELECT mq.topic_publish('t', 's2')
A	ok	RELEASE s
T
    turn
    segments "a segment that is held by a subtransaction that was released" sealed,open,open
    reads R ''
    ask A COMMIT
    reads R s1,s2
    tend
    segments "nobody is in it any more" sealed,sealed,open
}

prepared() {
    [ "$(run_psql -c 'SHOW max_prepared_transactions')" -gt 0 ] || return 0
    anew
    begin_at R now
    play <<T
A	ok	BEGIN
A	ok	SELECT mq.topic_publish('t', 'p1')
A	ok	PREPARE TRANSACTION 'topics $$'
T
    turn
    segments "a segment with a prepared transaction" open,open
    ask B "SELECT mq.topic_publish('t', 'b1')"
    reads R b1
    ask B "COMMIT PREPARED 'topics $$'"
    reads R p1
    tend
    segments "and without" sealed,open
}

isolation() {
    begin_at R now
    play <<'T'
A	ok	BEGIN ISOLATION LEVEL REPEATABLE READ
A	ok	SELECT 1
C	ok	BEGIN ISOLATION LEVEL SERIALIZABLE
C	ok	SELECT 1
A	MQ001	SELECT mq.topic_tend()
A	ok	ROLLBACK
A	MQ001	BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT mq.topic_create('own')
A	ok	ROLLBACK
A	MQ001	BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT mq.topic_delete('own')
A	ok	ROLLBACK
A	ok	BEGIN ISOLATION LEVEL REPEATABLE READ
A	ok	SELECT 1
T
    turn
    turn
    play <<'T'
A	ok	SELECT mq.topic_publish('t', 'rr')
C	ok	SELECT mq.topic_publish('t', 'ser')
B	ok	SELECT mq.topic_publish('t', 'rc')
T
    reads R rc
    # An emptying is nothing to them, nor they to it.
    late 1000
    ask B "SET lock_timeout = '1s'; SELECT mq.topic_tend() = 0"
    judge_answer "tend beside publishers of one snapshot" =t
    tend
    ask C COMMIT
    reads R ser
    ask A COMMIT
    reads R rr
    # Nor does one publish to where the topic lay before.
    play <<'T'
A	ok	BEGIN ISOLATION LEVEL REPEATABLE READ
A	ok	SELECT 1
B	ok	SELECT mq.topic_create('moved', 60)
A	40001	SELECT mq.topic_publish('moved', 'x')
A	ok	ROLLBACK
A	ok	BEGIN ISOLATION LEVEL REPEATABLE READ
A	ok	SELECT mq.topic_publish('moved', 'x')
A	ok	COMMIT
A	ok	BEGIN ISOLATION LEVEL REPEATABLE READ
A	ok	SELECT 1
B	ok	SELECT mq.topic_delete('moved')
A	40001	SELECT mq.topic_publish('moved', 'x')
A	ok	ROLLBACK
T
    # A reader of one snapshot sees what was committed before, pages in it, and does not go back to it later.
    ask A "SELECT mq.topic_publish_many('t', '{a,b,c}')"
    ask C "BEGIN; SELECT mq.topic_publish('t', 'd')"
    ask R "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
    ask A "SELECT mq.topic_publish('t', 'e')"
    reads R a 1
    reads R b,c
    reads R ''
    ask R COMMIT
    ask R "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
    ask C COMMIT
    ask A "SELECT position FROM mq.topic_subscribe('t')"
    local later=$got
    ask R "SELECT mq.topic_next('t', '$later')"
    judge_answer "a position that is later than the snapshot" MQ001
    ask R ROLLBACK
    ask R "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT mq.topic_next('t', '$later')"
    judge_answer "and one that is not" =
    ask R COMMIT
    reads R d,e
    reads R ''
}

tending() {
    anew
    begin_at R now
    ask A "SELECT mq.topic_publish('t', 'm1')"
    late 300
    # Two at once; twice in one transaction, which does not go into use what it has opened itself; and undone.
    play <<'T'
A	=	BEGIN
A	=0	SELECT mq.topic_tend()
A	=0	SELECT mq.topic_tend()
B	=1000	SELECT mq.topic_tend()
C	ok	SELECT mq.topic_publish('t', 'm2')
A	=	ROLLBACK
T
    segments "undone" open
    ask A "SELECT mq.topic_tend()"
    play <<'T'
A	=	BEGIN
A	ok	SELECT mq.topic_tend()
C	ok	SELECT mq.topic_publish('t', 'm3')
A	=	ROLLBACK
T
    reads R m1,m2,m3
    tend
    segments "it is sealed by the next one" sealed,open
    ask C "SELECT mq.topic_publish('t', 'm4')"
    reads R m4
}

# Readers in the middle of a batch, publishers in flight in every segment: switched, sealed, emptied. No lock is waited for.
pages() {
    anew
    local name
    for name in A B C R; do ask "$name" "SET lock_timeout = '200ms'"; done
    begin_at R now
    ask A "BEGIN; SELECT mq.topic_publish('t', 'a1')"
    ask B "SELECT mq.topic_publish_many('t', '{b1,b2,b3}')"
    reads R b1 1
    turn
    ask A "SELECT mq.topic_publish('t', 'a2')"
    ask B "SELECT mq.topic_publish_many('t', '{b4,b5}')"
    ask C "BEGIN; SELECT mq.topic_publish('t', 'c1')"
    reads R b2 1
    turn
    ask B "SELECT mq.topic_publish('t', 'b6')"
    reads R b3  # the end of a batch; what has come since is the next one
    ask A COMMIT
    reads R a1 1
    turn
    ask B "SELECT mq.topic_publish('t', 'b7')"
    reads R a2 1
    ask C COMMIT
    reads R b4,b5,b6
    reads R c1,b7
    reads R ''
    # A reader who stopped in the middle of a batch, in the middle of a segment which is then emptied, finds what is left.
    begin_at R oldest
    reads R a1,b1 2
    ask R "SELECT bool_or(trimmed) FROM at"
    judge_answer "nothing is removed" =f
    tend
    late 700
    tend
    ask B "SELECT mq.topic_publish('t', 'b8')"
    turn
    ask R "BEGIN"
    reads R b7
    reads R b8
    ask R "SELECT trimmed FROM at WHERE name = 'lib'"
    judge_answer "something was removed" =t
    # What an open transaction has read stays as long as that; publishing and reading go on.
    ask B "SELECT mq.topic_publish('t', 'b9')"
    turn
    late 700
    ask C "SELECT mq.topic_tend()"
    judge_answer "tend beside a reader" ok
    tend
    check "what was read is there" 1 "$(sql "SELECT count(*) FROM mq.topic_message WHERE payload = 'b8'")"
    reads R b9
    ask R COMMIT
    tend
    check "and then not" 0 "$(sql "SELECT count(*) FROM mq.topic_message WHERE payload = 'b8'")"
    reads R ''
    # Who begins with the oldest misses nothing.
    begin_at R oldest
    ask B "SELECT mq.topic_publish('t', 'b10')"
    ask R "SELECT pg_temp.read('t', 10, 'lib') LIKE '%b10'"
    judge_answer "the oldest" =t
    ask R "SELECT trimmed FROM at WHERE name = 'lib'"
    judge_answer "nothing was missed" '=f'
    # Emptied in a transaction that is open: only who reads that segment waits, and a publisher never.
    ask B "SELECT mq.topic_publish('t', 'b11')"
    turn
    late 700
    ask A "BEGIN; SELECT mq.topic_tend()"
    ask B "SELECT mq.topic_publish('t', 'b12')"
    judge_answer "a publisher beside a tender" ok
    ask A COMMIT
    for name in A B C R; do ask "$name" "RESET lock_timeout"; done
}

# Full pages: a batch that need not come to its end goes on with what has come since; and nothing is passed over by that.
full_pages() {
    anew
    begin_at R now
    # Not while anything on the server is in flight, as other tests may be.
    local i
    for i in {1..500}; do
        ask B "SELECT mq.topic_publish_many('t', '{b1,b2}'), pg_sleep(0.02)"
        reads R b1 1
        ask C "SELECT mq.topic_publish('t', 'c1')"
        ask R "SELECT pg_temp.read('t', 9, 'sql')"
        [ "$got" = b2 ] || break
        begin_at R now
    done
    judge_answer "it goes on, sql" =b2,c1
    ask R "SELECT concat_ws(',', NULLIF(pg_temp.read('t', 9, 'lib'), ''), NULLIF(pg_temp.read('t', 9, 'lib'), ''))"
    judge_answer "nothing is passed over, lib" =b2,c1
    begin_at R now
    # One in flight while the page is read.
    ask A "BEGIN; SELECT mq.topic_publish('t', 'a1')"
    ask B "SELECT mq.topic_publish_many('t', '{b3,b4}')"
    reads R b3 1
    ask A COMMIT
    reads R b4 1
    reads R a1 1
    # In flight when the batch began, which is read before the others.
    ask A "BEGIN; SELECT mq.topic_publish_many('t', '{a2,a3}')"
    ask B "SELECT mq.topic_publish('t', 'b5')"
    reads R b5
    ask A COMMIT
    ask C "SELECT mq.topic_publish('t', 'c2')"
    reads R a2 1
    reads R a3 1
    reads R c2 1
    # An older transaction in a later segment.
    ask A "BEGIN; SELECT pg_current_xact_id()"
    ask B "SELECT mq.topic_publish_many('t', '{b6,b7}')"
    turn
    ask A "SELECT mq.topic_publish('t', 'a4'); COMMIT"
    reads R b6 1
    reads R b7 1
    reads R a4 1
    # A later transaction in an older segment.
    ask B "BEGIN; SELECT pg_current_xact_id()"
    ask A "BEGIN; SELECT mq.topic_publish('t', 'a5')"
    turn
    ask B "SELECT mq.topic_publish_many('t', '{b8,b9}'); COMMIT"
    reads R b8 1
    ask A COMMIT
    reads R b9 1
    reads R a5 1
    reads R ''
}

# A log that is limited to a number of messages counts those of a batch, too.
counted() {
    anew
    ask T "SELECT mq.topic_create('few', max_messages => 40)"
    local i
    for i in 1 2 3 4 5 6; do
        ask A "SELECT mq.topic_publish_many('few', ARRAY(SELECT i::text FROM generate_series(1, 14) i)), mq.topic_publish('few', 'x')"
        tend
    done
    ask R "SELECT count(*) BETWEEN 40 AND 60 FROM mq.topic_next('few', 'oldest', 100)"
    judge_answer "about so many are kept" =t
}

holding() {
    anew
    sql "SELECT mq.topic_subscribe('t', 'keeper', hold => 10000), mq.topic_publish('t', 'kept')" >/dev/null
    turn
    sql "SELECT mq.topic_publish('u', 'not kept')" >/dev/null
    turn
    sql "SELECT mq.topic_publish('u', 'x')" >/dev/null
    late 700
    tend
    check_sql "SELECT string_agg(convert_from(payload, 'UTF8'), ',' ORDER BY id) FROM mq.topic_message" kept,x
    check_sql "SELECT body FROM mq.topic_next('t', (SELECT position FROM mq.topic_subscribe('t', 'keeper')))" kept
    sql "SELECT mq.topic_commit('t', 'keeper', 0, (SELECT position FROM mq.topic_next('t', (SELECT position FROM mq.topic_subscribe('t', 'keeper')))))" >/dev/null
    # Behind the last message of a batch that is not over it has not read all that was visible then.
    tend
    sql "SELECT mq.topic_commit('t', 'keeper', 1, (SELECT position FROM mq.topic_subscribe('t')))" >/dev/null
    tend
    check_sql "SELECT count(*) FROM mq.topic_message WHERE payload = 'kept'" 0
    sql "SELECT mq.topic_publish('t', 'too long')" >/dev/null
    turn
    late 10001
    tend
    check_sql "SELECT count(*) FROM mq.topic_message WHERE payload = 'too long'" 0
}

creating() {
    sql "SELECT mq.reset()" >/dev/null
    play <<'T'
A	ok	BEGIN; SELECT mq.topic_publish('t', 'a1')
T
    post B "SELECT mq.topic_create('t')"
    waits B
    play <<'T'
C	ok	SELECT mq.topic_publish('other', 'x')
A	ok	COMMIT
T
    answer B
    judge_answer "create, when there are messages" MQ003
    # One that is created keeps out who publishes to it, and nobody else; and tend.
    ask B "BEGIN; SELECT mq.topic_create('mine', 60)"
    play <<'T'
C	ok	SET lock_timeout = '1s'
C	=1000	SELECT mq.topic_tend()
C	ok	SELECT mq.topic_publish('t', 'x')
C	55P03	SELECT mq.topic_publish('mine', 'x')
C	ok	RESET lock_timeout
T
    post A "SELECT mq.topic_publish('mine', 'a1')"
    waits A
    ask B COMMIT
    answer A
    judge_answer "publish when it is there" ok
    check_sql "SELECT messages, own_log FROM mq.topic_list('mine')" '1|t'
    # Deleted and made again, or not: a position goes on to mean the same.
    ask R "DELETE FROM at; INSERT INTO at SELECT n, position FROM unnest('{sql,lib}'::text[]) n, mq.topic_subscribe('mine', start => 'oldest')"
    ask A "SELECT mq.topic_publish_many('mine', '{a2,a3}')"
    play <<'T'
R	=a1,a2	SELECT pg_temp.read('mine', 2, 'sql')
R	=a1,a2	SELECT pg_temp.read('mine', 2, 'lib')
A	ok	SELECT mq.topic_delete('mine')
A	ok	SELECT mq.topic_publish('mine', 'b1')
R	=b1	SELECT pg_temp.read('mine', 2, 'sql')
R	=b1	SELECT pg_temp.read('mine', 2, 'lib')
A	MQ003	SELECT mq.topic_create('mine')
T
    turn
    late 3000
    tend
    play <<'T'
A	ok	SELECT mq.topic_create('mine')
A	ok	SELECT mq.topic_publish('mine', 'c1')
R	=c1	SELECT pg_temp.read('mine', 2, 'sql')
R	=c1	SELECT pg_temp.read('mine', 2, 'lib')
R	=	SELECT pg_temp.read('mine', 2, 'lib')
A	ok	BEGIN
A	ok	SELECT mq.topic_publish('mine', 'c2')
A	ok	SELECT mq.topic_delete('mine')
A	ok	SELECT mq.topic_publish('mine', 'd1')
A	ok	ROLLBACK
A	ok	SELECT mq.topic_publish('mine', 'c3')
R	=c3	SELECT pg_temp.read('mine', 2, 'sql')
R	=c3	SELECT pg_temp.read('mine', 2, 'lib')
T
    # One creates while another one tends: neither waits for the other in a ring.
    sql "SELECT mq.topic_publish('old', 'x')" >/dev/null
    turn
    late 3000
    ask A "BEGIN; SELECT mq.topic_set(NULL, 500)"
    play <<'T'
B	ok	SET lock_timeout = '1s'
B	=0	SELECT mq.topic_tend()
B	ok	RESET lock_timeout
A	ok	SELECT mq.topic_create('third')
A	ok	ROLLBACK
T
}

# Two names with one bell: they wake each other for nothing, and share nothing else.
collision() {
    local one two
    IFS='|' read -r one two < <(sql "SELECT min(n), max(n) FROM (SELECT 'x' || i AS n FROM generate_series(1, 80000) i) s
                                     GROUP BY mq._bell(n) HAVING count(*) > 1 LIMIT 1")
    check "there are two" differ "$([ -n "$one" ] && [ "$one" != "$two" ] && echo differ)"
    expect <<T
=t	SELECT mq.topic_channel('$one') = mq.topic_channel('$two')
=t	SELECT mq.topic_publish('$one', 'a') > 0
=	SELECT mq.topic_create('$two')
=t	SELECT mq.topic_publish('$two', 'b') > 0
=a	SELECT body FROM mq.topic_next('$one', 'oldest', 9)
=b	SELECT body FROM mq.topic_next('$two', 'oldest', 9)
=	SELECT mq.topic_delete('$two')
=	SELECT body FROM mq.topic_next('$two', 'oldest', 9)
=a	SELECT body FROM mq.topic_next('$one', 'oldest', 9)
T
}

# A sleeper is rung for by each commit that it may not have seen, and not by others.
doorbell() {
    play <<'T'
A	ok	BEGIN; SELECT mq.topic_publish('t', 'x')
B	=|t	SELECT code, producing FROM mq.topic_doze('t')
A	ok	COMMIT
B	=f|f|	SELECT producing, consuming, due_in_ms FROM mq.topic_doze('t', true)
A	ok	BEGIN; SELECT mq.topic_publish('t', 'x')
B	=t	SELECT producing FROM mq.topic_doze('t', true)
A	ok	COMMIT
B	=MQ001	SELECT code FROM mq.topic_doze('')
T
    local heard
    heard=$(run_psql -f - 2>&1 <<SQL
$(in_namespace "SELECT format('LISTEN %I', mq.topic_channel('t'))") \gexec
$(in_namespace "SELECT mq.topic_publish('t', 'x')") \g /dev/null
$(in_namespace "SELECT mq.topic_publish('u', 'x')") \g /dev/null
SQL
)
    check "it rings once" 1 "$(grep -c 'Asynchronous notification' <<<"$heard")"
    ask B "SELECT mq.topic_awake('t')"
    heard=$(run_psql -f - 2>&1 <<SQL
$(in_namespace "SELECT format('LISTEN %I', mq.topic_channel('t'))") \gexec
$(in_namespace "SELECT mq.topic_publish('t', 'x')") \g /dev/null
SQL
)
    check "nobody sleeps" 0 "$(grep -c 'Asynchronous notification' <<<"$heard")"
}

install_namespace
open_session A B C R T
reader R
for part in out_of_order own subtransactions prepared isolation tending pages full_pages counted holding creating collision doorbell; do
    $part
done
finish
