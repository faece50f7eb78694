#!/bin/bash
# The public functions of topics, and who may call them. Under other sessions: topics_log.sh.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
# shellcheck source-path=SCRIPTDIR
. ./sessions.sh
# A name that would end a literal, or an identifier.
use_namespace "top'ic \"$$"
producer="producer \"$$" consumer="consumer_$$" watcher="watcher_$$"

clean() {
    local role
    drop_namespace
    for role in "${producer//\"/\"\"}" "$consumer" "$watcher"; do
        run_psql -c "DROP OWNED BY \"$role\"" -c "DROP ROLE \"$role\"" >/dev/null 2>&1 || true
    done
    rm -rf "$session_files"
}
trap clean EXIT

publishing() {
    expect <<'TABLE'
=t	SELECT a < b AND b < c FROM mq.topic_publish('t', 'text') a, mq.topic_publish('t', '{"b" : 1.0}'::json, '{"k": 1}') b, mq.topic_publish('t', '\x00ff'::bytea) c
=text|text|text| / json|{"b" : 1.0}|{"b" : 1.0}|{"k": 1} / binary|||	SELECT kind, body, CASE WHEN body IS NOT NULL THEN convert_from(payload, 'UTF8') END, headers FROM mq.topic_next('t', 'oldest', 9)
=t|t|4,11,2	SELECT bool_and(topic = 't'), bool_and(published <= clock_timestamp()), string_agg(octet_length(payload)::text, ',') FROM mq.topic_next('t', 'oldest', 9)
=3	SELECT cardinality(mq.topic_publish_many('many', '{c,"",a}'))
=c//a	SELECT string_agg(body, '/') FROM mq.topic_next('many', 'oldest', 9)
={}	SELECT mq.topic_publish_many('many', '{}')
={}	SELECT mq.topic_publish_many('many', NULL)
=t	SELECT mq.topic_publish(E'\u00e9' || repeat('x', 158), '') > 0
MQ001	SELECT mq.topic_publish(E'\u00e9' || repeat('x', 159), '')
MQ001	SELECT mq.topic_publish('', 'x')
MQ001	SELECT mq.topic_publish(NULL, 'x')
MQ001	SELECT mq.topic_publish(' t', 'x')
MQ001	SELECT mq.topic_publish(E't\n', 'x')
MQ001	SELECT mq.topic_publish('t', NULL::text)
MQ001	SELECT mq.topic_publish('t', 'x', '[1]')
MQ001	SELECT mq.topic_publish_many('t', '{a,NULL}')
22P02	SELECT mq.topic_publish('t', '{'::json)
=2|headers	SELECT failed, substring(detail, 'headers') FROM mq._topic_publish_many('t', '{x,y}', '{1,1}', '{"{}","[]"}')
=3	SELECT count(*) FROM mq.topic_next('t', 'oldest', 9)
TABLE
}

reading() {
    expect <<'TABLE'
=	SELECT * FROM mq.topic_next('nowhere', 'oldest')
=	SELECT * FROM mq.topic_latest('nowhere')
=	SELECT * FROM mq.topic_next('t', 'now')
=1	SELECT count(*) FROM mq.topic_next('t', 'oldest')
={"b" : 1.0}	SELECT body FROM mq.topic_next('t', (SELECT position FROM mq.topic_next('t', 'oldest')))
=binary	SELECT kind FROM mq.topic_latest('t')
=	SELECT kind FROM mq.topic_latest('t', (SELECT position FROM mq.topic_latest('t')))
=binary	SELECT kind FROM mq.topic_latest('t', (SELECT position FROM mq.topic_next('t', 'oldest', 2) ORDER BY id DESC LIMIT 1))
=	SELECT kind FROM mq.topic_latest('t', (SELECT position FROM mq.topic_next('t', 'oldest', 3) ORDER BY id DESC LIMIT 1))
MQ001	SELECT mq.topic_next('t', NULL)
MQ001	SELECT mq.topic_next('t', '')
MQ001	SELECT mq.topic_next('t', 'yesterday')
MQ001	SELECT mq.topic_next('t', '1:')
MQ001	SELECT mq.topic_next('t', '2:1:')
MQ001	SELECT mq.topic_next('t', '1:1:/1:1:')
MQ001	SELECT mq.topic_next('t', '1:1:/1:1:/1/1/99999999999999999999')
MQ001	SELECT mq.topic_next('t', '1:9000000000000:')
MQ001	SELECT mq.topic_next('t', '1:1:/1:9000000000000:/1/1/1')
MQ001	SELECT mq.topic_latest('t', '1:9000000000000:')
=-1|t	SELECT kind, convert_from(payload, 'UTF8') LIKE 'position "1:9000000000000:" is of another server%' FROM mq._topic_read('t', '1:9000000000000:', 1)
MQ001	SELECT mq.topic_next('t', 'oldest', 0)
MQ001	SELECT mq.topic_next('t', 'oldest', NULL)
MQ001	SELECT mq.topic_next('t', 'oldest', 1000001)
MQ001	SELECT mq.topic_next('', 'oldest')
MQ001	SELECT mq.topic_channel(NULL)
=t	SELECT mq.topic_channel('t') ~ '^pgq_-?[0-9]+_[0-9]+$' AND mq.topic_channel('t') <> mq.topic_channel('u')
TABLE
}

subscribers() {
    expect <<'TABLE'
=t||f	SELECT position ~ '^[0-9:,]+$', number, created FROM mq.topic_subscribe('t')
=1:1:||f	SELECT * FROM mq.topic_subscribe('t', start => 'oldest')
=0|t	SELECT number, created FROM mq.topic_subscribe('t', 'd', 'oldest')
=1:1:|0|f	SELECT * FROM mq.topic_subscribe('t', 'd', 'now')
=1	SELECT mq.topic_commit('t', 'd', 0, (SELECT position FROM mq.topic_next('t', '1:1:')))
MQ005	SELECT mq.topic_commit('t', 'd', 0, '1:1:')
MQ005	SELECT mq.topic_commit('t', 'd', 2, '1:1:')
=1|f|json	SELECT s.number, s.created, n.kind FROM mq.topic_subscribe('t', 'd') s, mq.topic_next('t', s.position) n
=	BEGIN
=2	SELECT mq.topic_commit('t', 'd', 1, '1:1:')
=	ROLLBACK
=1|json	SELECT s.number, n.kind FROM mq.topic_subscribe('t', 'd') s, mq.topic_next('t', s.position) n
MQ001	SELECT mq.topic_commit('t', 'd', 1, NULL)
MQ001	SELECT mq.topic_commit('t', 'd', 1, 'now')
MQ001	SELECT mq.topic_commit('t', 'd', 1, '1:9000000000000:')
MQ002	SELECT mq.topic_commit('t', 'e', 0, '1:1:')
MQ002	SELECT mq.topic_commit('u', 'd', 0, '1:1:')
MQ001	SELECT mq.topic_subscribe('t', '')
MQ001	SELECT mq.topic_subscribe('t', repeat('x', 161))
MQ001	SELECT mq.topic_subscribe('', 'd')
MQ001	SELECT mq.topic_subscribe('t', 'd', 'then')
MQ001	SELECT mq.topic_subscribe('t', 'd', NULL)
MQ001	SELECT mq.topic_subscribe('t', 'd', hold => 0)
MQ001	SELECT mq.topic_subscribe('t', 'd', hold => 10000000)
=f	SELECT created FROM mq.topic_subscribe('t', 'd', hold => 60)
=d|2|t|60|1	SELECT subscriber, behind, age >= 0, hold, commits FROM mq.topic_subscribers('t')
=f	SELECT created FROM mq.topic_subscribe('t', 'd', hold => -1)
=	SELECT hold FROM mq.topic_subscribers()
=t	SELECT created FROM mq.topic_subscribe('later', 'd')
=later,t	SELECT string_agg(topic, ',') FROM mq.topic_subscribers()
=t	SELECT mq.topic_unsubscribe('t', 'd')
=f	SELECT mq.topic_unsubscribe('t', 'd')
MQ002	SELECT mq.topic_commit('t', 'd', 1, '1:1:')
=t	SELECT mq.topic_unsubscribe('later', 'd')
=0	SELECT count(*) FROM mq.topic_position
TABLE
    # Behind, in the middle of a batch, and behind it.
    expect <<'TABLE'
=10	SELECT cardinality(mq.topic_publish_many('lag', '{a,b,c,d,e,f,g,h,i,j}'))
=t	SELECT created FROM mq.topic_subscribe('lag', 'd', 'oldest')
=1	SELECT mq.topic_commit('lag', 'd', 0, (SELECT position FROM mq.topic_next('lag', 'oldest', 4) ORDER BY id DESC LIMIT 1))
=2	SELECT cardinality(mq.topic_publish_many('lag', '{k,l}'))
=8	SELECT behind FROM mq.topic_subscribers('lag')
=2	SELECT mq.topic_commit('lag', 'd', 1, (SELECT position FROM mq.topic_next('lag', 'oldest', 12) ORDER BY id DESC LIMIT 1))
=0|	SELECT behind, age FROM mq.topic_subscribers('lag')
=t	SELECT mq.topic_unsubscribe('lag', 'd')
TABLE
}

created() {
    expect <<'TABLE'
=	SELECT mq.topic_create('own', 60, 1000)
=own|t|60|1000|0|||{}	SELECT name, own_log, retain, max_messages, messages, oldest, newest, queues FROM mq.topic_list('own')
MQ003	SELECT mq.topic_create('own')
=	SELECT mq.topic_create('own', 5, if_not_exists => true)
=60	SELECT retain FROM mq.topic_list('own')
MQ003	SELECT mq.topic_create('t')
MQ001	SELECT mq.topic_create('')
MQ001	SELECT mq.topic_create('new', 0.999)
MQ001	SELECT mq.topic_create('new', 10000000)
MQ001	SELECT mq.topic_create('new', 'NaN')
MQ001	SELECT mq.topic_create('new', max_messages => 0)
MQ001	SELECT mq.topic_create('new', max_messages => -2)
=	SELECT mq.topic_set('own', 30)
=30|1000	SELECT retain, max_messages FROM mq.topic_list('own')
=	SELECT mq.topic_set('own', max_messages => -1)
=30|	SELECT retain, max_messages FROM mq.topic_list('own')
MQ002	SELECT mq.topic_set('t', 30)
MQ002	SELECT mq.topic_set('nowhere', 30)
MQ001	SELECT mq.topic_set('', 30)
MQ001	SELECT mq.topic_set('own', -1)
=	SELECT mq.topic_set(NULL, 120, 5000)
=120|5000|f	SELECT retain, max_messages, own_log FROM mq.topic_list('t')
=	SELECT mq.topic_set(NULL, 600, -1)
=t	SELECT mq.topic_publish('own', 'x') > 0
=1|t|t|0	SELECT messages, oldest = newest, bytes > 0, subscribers FROM mq.topic_list('own')
=t	SELECT created FROM mq.topic_subscribe('own', 'd', 'oldest')
=1	SELECT subscribers FROM mq.topic_list('own')
=	SELECT mq.topic_delete('own')
=0	SELECT count(*) FROM mq.topic_list('own')
=	SELECT * FROM mq.topic_subscribers('own')
=	SELECT * FROM mq.topic_next('own', 'oldest')
MQ002	SELECT mq.topic_delete('own')
MQ002	SELECT mq.topic_delete('t')
MQ001	SELECT mq.topic_delete('')
MQ001	SELECT mq.topic_delete(NULL)
=f	SELECT EXISTS (SELECT FROM mq.topic_list('nowhere'))
=t|t	SELECT mq.topic_tend() >= 0, mq.topic_tend() >= 0
TABLE
}

bound() {
    expect <<'TABLE'
=	SELECT concat(mq.create_queue('q1'), mq.create_queue('q2', max_size => 3), mq.create_queue('q3'))
=	SELECT concat(mq.topic_bind('b', 'q1'), mq.topic_bind('b', 'q2', '{"k": 1}'))
=b|{q1,q2}	SELECT name, queues FROM mq.topic_list('b')
MQ002	SELECT mq.topic_bind('b', 'nowhere')
MQ001	SELECT mq.topic_bind('', 'q1')
MQ001	SELECT mq.topic_bind('b', 'q1', '[1]')
=t	SELECT mq.topic_publish('b', 'long') > 0
=t	SELECT mq.topic_publish('b', '{}'::json, '{"k": 1, "l": 2}') > 0
MQ004	SELECT mq.topic_publish('b', 'long', '{"k": 1}')
=text|long| / json|{}|{"k": 1, "l": 2}	SELECT kind, body, headers FROM mq.pop('q1', 9)
={}|{"k": 1, "l": 2}	SELECT body, headers FROM mq.pop('q2', 9)
=2	SELECT count(*) FROM mq.topic_next('b', 'oldest', 9)
=	SELECT mq.topic_bind('b', 'q2', '{"k": 2}')
=t	SELECT mq.topic_publish('b', 'x', '{"k": 1}') > 0
=1|0	SELECT (SELECT count(*) FROM mq.pop('q1', 9)), (SELECT count(*) FROM mq.pop('q2', 9))
=t	SELECT mq.topic_unbind('b', 'q1')
=f	SELECT mq.topic_unbind('b', 'q1')
=f	SELECT mq.topic_unbind('b', 'q3')
MQ002	SELECT mq.topic_unbind('b', 'nowhere')
=	BEGIN
=2	SELECT cardinality(mq.topic_publish_many('b', '{a,b}'))
=	ROLLBACK
=0|0	SELECT ready, (SELECT ready FROM mq.count('q2')) FROM mq.count('q1')
=	SELECT mq.delete_queue('q2')
=	SELECT queues FROM mq.topic_list('b') WHERE queues <> '{}'
TABLE
}

may() {  # ROLE: stdin as expect has it, without "ok"
    local want text
    while IFS=$'\t' read -r want text; do
        check "$1: $text" "$want" "$(as "$1" "$text")"
    done
}

roles() {
    run_psql -v p="$producer" -v c="$consumer" -v w="$watcher" -f - <<'SQL'
CREATE ROLE :"p"; CREATE ROLE :"c"; CREATE ROLE :"w";
SQL
    sql "SELECT mq.reset(), mq.create_queue('q'), mq.topic_create('before', 60), mq.grant_producer('${producer//\'/\'\'}'), mq.grant_consumer('$consumer'),
                mq.topic_create('after', 60), mq.topic_bind('t', 'q')" >/dev/null
    may "$producer" <<'TABLE'
t	SELECT mq.topic_publish('t', 'x') + mq.topic_publish('before', '1'::json) + mq.topic_publish('after', '\x00'::bytea) > 0
2	SELECT cardinality(mq.topic_publish_many('before', '{a,b}'))
after,before,t	SELECT string_agg(name, ',') FROM mq.topic_list()
3|t	SELECT messages, newest >= oldest FROM mq.topic_list('before')
t	SELECT mq.topic_tend() >= 0
42501	SELECT mq.topic_next('t', 'oldest')
42501	SELECT mq._topic_read('t', '1:1:', 1)
42501	SELECT mq.topic_latest('t')
42501	SELECT mq.topic_subscribe('t')
42501	SELECT mq.topic_subscribe('t', 'd')
42501	SELECT mq.topic_commit('t', 'd', 0, '1:1:')
42501	SELECT mq.topic_unsubscribe('t', 'd')
42501	SELECT mq.topic_subscribers()
42501	SELECT mq.topic_create('mine')
42501	SELECT mq._topic_create('mine', NULL, NULL, false)
42501	SELECT mq._topic_delete('before')
42501	SELECT mq.topic_set('before', 1)
42501	SELECT mq.topic_bind('t', 'q')
42501	SELECT mq._topic_unbind('t', 'q')
42501	SELECT payload FROM mq.topic_message
42501	SELECT topic FROM mq.topic_message
42501	SELECT FROM mq.topic_message_1
42501	DELETE FROM mq.topic_message
42501	UPDATE mq.topic_segment SET sealed = NULL
42501	UPDATE mq.topic_log SET retain_ms = 1000
42501	SELECT nextval(current) FROM mq.topic_log
42501	SELECT setval(current, 1) FROM mq.topic_log
42501	SELECT setval(ids, 1) FROM mq.topic_log
42501	SELECT mq._empty_segment(1)
TABLE
    may "$consumer" <<'TABLE'
x	SELECT body FROM mq.topic_next('t', 'oldest')
x	SELECT body FROM mq.topic_latest('t')
x	SELECT body FROM mq.pop('q')
0	SELECT number FROM mq.topic_subscribe('before', 'd', 'oldest')
1	SELECT mq.topic_commit('before', 'd', 0, (SELECT position FROM mq.topic_next('before', 'oldest')))
f	SELECT created FROM mq.topic_subscribe('before', 'd', hold => 60)
d|2	SELECT subscriber, behind FROM mq.topic_subscribers()
3	SELECT count(*) FROM mq.topic_list()
t	SELECT mq.topic_tend() >= 0
f	SELECT producing FROM mq.topic_doze('t')
1	SELECT count(*) FROM mq.topic_awake('t')
t	SELECT mq.topic_unsubscribe('before', 'd')
42501	SELECT mq.topic_publish('t', 'x')
42501	SELECT mq.topic_publish_many('t', '{x}')
42501	SELECT mq._topic_publish('t', 'x', 1::smallint, NULL)
42501	INSERT INTO mq.topic_message SELECT * FROM mq.topic_message
42501	DELETE FROM mq.topic_message
42501	TRUNCATE mq.topic_message
42501	SELECT mq.topic_create('mine')
42501	SELECT mq.topic_delete('before')
42501	SELECT mq._topic_delete('before')
42501	SELECT mq.topic_set(NULL, 1)
42501	SELECT mq._topic_set(NULL, 1000, NULL)
42501	SELECT mq.topic_bind('t', 'q')
42501	UPDATE mq.topic_position SET position = '1:1:'
42501	UPDATE mq.topic_subscriber SET name = 'x'
TABLE
    # Segments that are made later: they are written through their parent, and read by whoever may read that.
    sql "UPDATE mq.topic_segment SET opened = opened - interval '1 h'" >/dev/null
    local made
    made=$(sql "SELECT max(id) FROM mq.topic_segment")
    as "$consumer" "DO \$\$ BEGIN FOR i IN 1 .. 9 LOOP PERFORM mq.topic_tend(); COMMIT; END LOOP; END \$\$" >/dev/null
    check "segments were made by somebody who may not" t "$(sql "SELECT count(*) > 0 AND bool_and(pg_get_userbyid(c.relowner) = current_user AND '{$consumer=SELECT}' = ARRAY(
            SELECT pg_get_userbyid(a.grantee) || '=' || a.privilege_type FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = '${namespace//\'/\'\'}'
        WHERE c.relkind = 'r' AND c.relispartition AND substring(c.relname FROM '[0-9]+$')::integer > $made")"
    may "$producer" <<'TABLE'
t	SELECT mq.topic_publish('t', 'y') + mq.topic_publish('after', 'z') > 0
TABLE
    may "$consumer" <<'TABLE'
x,y	SELECT string_agg(body, ',') FROM mq.topic_next('t', 'oldest', 9)
z	SELECT body FROM mq.topic_latest('after')
TABLE
    # Who may look at the tables, and call what looks at them, need not be able to write.
    run_psql -v w="$watcher" -f - <<SQL
GRANT USAGE ON SCHEMA $quoted TO :"w";
GRANT SELECT ON ALL TABLES IN SCHEMA $quoted TO :"w";
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA $quoted TO :"w";
SQL
    may "$watcher" <<'TABLE'
x,y	SELECT string_agg(body, ',') FROM mq.topic_next('t', 'oldest', 9)
y	SELECT body FROM mq.topic_latest('t')
t	SELECT position IS NOT NULL FROM mq.topic_subscribe('t')
3	SELECT count(*) FROM mq.topic_list()
0	SELECT count(*) FROM mq.topic_subscribers()
42501	SELECT mq.topic_subscribe('t', 'd')
42501	SELECT mq.topic_publish('t', 'x')
42501	SELECT mq.topic_set(NULL, 1)
42501	SELECT mq.topic_delete('before')
TABLE
}

install_namespace
publishing
reading
subscribers
created
bound
roles
finish
