#!/bin/bash
# The installer: twice, many at once, into the wrong place; and who may do what afterwards.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
other="other_$$" producer="producer \"$$\"" consumer="consumer-$$" nobody="nobody_$$" eye="monitor's $$"
scratch=$(mktemp -d)
version=$(grep -cE "^\(?[0-9]+, '[0-9]{4}_\w+', " "$PGQ_SQL")  # as many as there are migrations

clean() {
    local role
    drop_namespace
    for schema in "$other" "${other}_app" "${other}_fn"; do
        run_psql -c "DROP SCHEMA IF EXISTS \"$schema\" CASCADE" >/dev/null 2>&1 || true
    done
    for role in "${producer//\"/\"\"}" "$consumer" "$nobody" "$eye"; do
        run_psql -c "DROP OWNED BY \"$role\"" -c "DROP ROLE \"$role\"" >/dev/null 2>&1 || true
    done
    rm -rf "$scratch"
}
trap clean EXIT

# Everything that the catalogs say about a schema, and the rows that the installer writes.
digest() {  # SCHEMA
    run_psql -v schema="$1" -f - <<'SQL'
SELECT oid AS ns, format('%I', nspname) AS qi FROM pg_namespace WHERE nspname = :'schema' \gset
SELECT 'class', c.oid, c.relname, c.relkind, c.relfilenode, c.relacl::text, c.reloptions, c.xmin FROM pg_class c
WHERE relnamespace = :ns ORDER BY c.oid;
SELECT 'proc', p.oid, p.proname, p.proargtypes, md5(p.prosrc), p.proacl::text, p.proconfig, p.xmin FROM pg_proc p
WHERE pronamespace = :ns ORDER BY p.oid;
SELECT 'type', t.oid, t.typname, t.xmin FROM pg_type t WHERE typnamespace = :ns ORDER BY t.oid;
SELECT 'attribute', a.attrelid, a.attname, a.atttypid, a.attnotnull, a.xmin
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE relnamespace = :ns ORDER BY 2, a.attnum;
SELECT 'constraint', o.oid, o.conname, o.xmin FROM pg_constraint o WHERE connamespace = :ns ORDER BY o.oid;
SELECT 'schema', n.* FROM pg_namespace n WHERE n.oid = :ns;
SELECT 'depend', d.* FROM pg_depend d WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = :ns ORDER BY d::text;
SELECT to_regclass(:'qi' || '.namespace') IS NOT NULL AS ours \gset
\if :ours
SELECT 'migration', m.*, m.xmin FROM :qi.migration m ORDER BY version;
SELECT 'settings', n.*, n.xmin FROM :qi.namespace n;
\endif
SQL
}

same() {  # WHAT BEFORE AFTER
    check "$1: the catalog is not empty" yes "$([ "$(wc -l <"$2")" -gt 1 ] && echo yes)"
    check "$1" '' "$(diff "$2" "$3")"
}

twice() {
    check "the version is printed" "$version" "$(run_psql -1 -v namespace="$namespace" -f "$PGQ_SQL")"
    sql "SELECT mq.create_queue('q'), mq.enqueue('q', 'stays'), mq.set_auto_create(true)" >/dev/null
    digest "$namespace" >"$scratch/before"
    check "the version is printed again" "$version" "$(run_psql -1 -v namespace="$namespace" -f "$PGQ_SQL")"
    digest "$namespace" >"$scratch/after"
    same "a second install changes nothing" "$scratch/before" "$scratch/after"
    check_sql "SELECT body FROM mq.pop('q')" stays
    check_sql "SELECT max(version), count(*) FROM mq.migration" "$version|$version"
    sql "INSERT INTO mq.migration (version, name) VALUES (1000, 'newer')" >/dev/null
    check "what a newer version installed stays" 1000 "$(run_psql -1 -v namespace="$namespace" -f "$PGQ_SQL")"
    sql "DELETE FROM mq.migration WHERE version = 1000" >/dev/null
    sql "UPDATE mq.namespace SET functions = 'older'; DROP FUNCTION mq.peek(text, integer)" >/dev/null
    install_namespace
    check_sql "SELECT count(*) FROM mq.peek('q')" 0
    check_sql "SELECT auto_create FROM mq.namespace" t
}

many_at_once() {
    local i pids=()
    for i in 1 2 3 4 5 6 7 8; do
        run_psql -1 -v namespace="$other" -f "$PGQ_SQL" >"$scratch/out$i" 2>&1 &
        pids+=($!)
    done
    for i in 1 2 3 4 5 6 7 8; do
        wait "${pids[i - 1]}" || true
        check "installer $i of 8" "$version" "$(cat "$scratch/out$i")"
    done
    check "each migration once" "$version" "$(run_psql -c "SELECT count(*) FROM $other.migration")"
    check "the namespace works" 1 "$(run_psql -c "SELECT $other.create_queue('q')" \
        -c "SELECT $other.enqueue('q', 'x')" | tail -1)"
}

refused() {  # WHAT SCHEMA
    digest "$2" >"$scratch/before"
    check "$1 is refused" MQ001 "$(run_psql -1 -v namespace="$2" -f "$PGQ_SQL" 2>&1 |
        sed -n 's/.*ERROR:  *\([0-9A-Z]\{5\}\).*/\1/p')"
    digest "$2" >"$scratch/after"
    same "$1 is left alone" "$scratch/before" "$scratch/after"
}

wrong_places() {
    local name
    run_psql -c "CREATE SCHEMA ${other}_app" -c "CREATE TABLE ${other}_app.orders (id integer)"
    refused "a schema with a table" "${other}_app"
    run_psql -c "CREATE TABLE ${other}_app.migration (version integer)" \
        -c "INSERT INTO ${other}_app.migration VALUES (20240101)" -c "DROP TABLE ${other}_app.orders"
    refused "a schema with a table named migration" "${other}_app"
    run_psql -c "CREATE SCHEMA ${other}_fn" -c "CREATE FUNCTION ${other}_fn.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    refused "a schema with a function" "${other}_fn"
    run_psql -c "DROP FUNCTION ${other}_fn.f()"
    check "an empty schema will do" "$version" "$(run_psql -1 -v namespace="${other}_fn" -f "$PGQ_SQL")"
    for name in '' pg_mine a\$\$b $'a\nb' $'a\tb' "$(printf '%064d' 1)"; do
        check "the name '$name'" MQ001 "$(run_psql -1 -v namespace="$name" -f "$PGQ_SQL" 2>&1 |
            sed -n 's/.*ERROR:  *\([0-9A-Z]\{5\}\).*/\1/p')"
    done
}

# SQL as a role: the SQLSTATE, or the result.
as() {  # ROLE TEXT
    run_psql -v ON_ERROR_STOP=0 -v role="$1" -f - 2>/dev/null <<SQL | tail -1
SET ROLE :"role";
$(in_namespace "$2");
SELECT :'SQLSTATE' AS state, :'SQLSTATE' <> '00000' AS failed \gset
\if :failed
\echo :state
\endif
SQL
}

nobody_may() {
    local function
    run_psql -c "GRANT USAGE ON SCHEMA $quoted TO \"$nobody\""
    check "PUBLIC may execute nothing" '' "$(sql "SELECT p.oid::regprocedure FROM pg_proc p,
        LATERAL aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) a
        WHERE p.pronamespace = '$quoted'::regnamespace AND a.grantee = 0")"
    check "PUBLIC may touch no table or sequence" '' "$(sql "SELECT c.relname FROM pg_class c,
        LATERAL aclexplode(c.relacl) a WHERE c.relnamespace = '$quoted'::regnamespace AND a.grantee = 0")"
    while IFS= read -r function; do
        check "nobody: $function" 42501 "$(as "$nobody" "SELECT $function")"
    done <<'LIST'
mq.create_queue('x')
mq.enqueue('q', 'x')
mq.enqueue_many('q', '{x}')
mq.pop('q')
mq.dequeue('q')
mq.ack(1, 1)
mq.nack(1, 1)
mq.enqueue_unique('q', 'x', 'k')
mq.receive('q')
mq.receive_id(1)
mq.ack_many('{1}', '{1}')
mq.nack_many('{1}', '{1}')
mq.release(1, 1)
mq.release_many('{1}', '{1}')
mq.extend(1, 1)
mq.extend_many('{1}', '{1}')
mq.reschedule(1, 0)
mq.set_queue('q', priority => 1)
mq.set_defaults(priority => 1)
mq.pause('q')
mq.resume('q')
mq.purge('q')
mq.clean()
mq.stats()
mq.list('q')
mq.peek('q')
mq.count('q')
mq.cancel(1)
mq.delete_queue('q')
mq.list_queues()
mq.requeue_dead('q')
mq.purge_dead('q')
mq.channel('q')
mq.doze('q')
mq.awake('q')
mq.reset()
mq.set_auto_create(true)
mq.version()
mq.topic_publish('t', 'x')
mq.topic_publish_many('t', '{x}')
mq.topic_next('t', 'oldest')
mq.topic_latest('t')
mq.topic_subscribe('t')
mq.topic_commit('t', 's', 0, '1:1:')
mq.topic_unsubscribe('t', 's')
mq.topic_subscribers()
mq.topic_list()
mq.topic_create('t')
mq.topic_set('t', 1)
mq.topic_delete('t')
mq.topic_bind('t', 'q')
mq.topic_unbind('t', 'q')
mq.topic_tend()
mq.topic_restored()
mq.topic_channel('t')
mq.topic_doze('t')
mq.topic_awake('t')
mq.shutdown()
mq.id_text(1, now())
mq.grant_producer('postgres')
mq.grant_consumer('postgres')
mq.grant_monitor('postgres')
mq.revoke('postgres')
LIST
}

roles() {
    local want text
    run_psql -v p="$producer" -v c="$consumer" -v n="$nobody" -f - <<'SQL'
CREATE ROLE :"p"; CREATE ROLE :"c"; CREATE ROLE :"n";
SQL
    nobody_may
    sql "SELECT mq.set_auto_create(false), mq.reset(), mq.create_queue('q', error_limit => 1),
                mq.create_queue('u');
         SELECT mq.grant_producer('${producer}'), mq.grant_consumer('$consumer')" >/dev/null
    while IFS=$'\t' read -r want text; do
        check "producer: $text" "$want" "$(as "$producer" "$text")"
    done <<'TABLE'
5	SELECT mq.version()
q	SELECT name FROM mq.list_queues('q')
t	SELECT mq.enqueue('q', 'x', headers => '{}') > 0
t	SELECT mq.enqueue('q', '1'::json, 5, 0, 60) > 0
t	SELECT mq.enqueue('q', '\x00'::bytea) > 0
2	SELECT cardinality(mq.enqueue_many('q', '{a,b}'))
f	SELECT duplicate FROM mq.enqueue_unique('u', 'x', 'k', dedup_window => 600)
t	SELECT duplicate FROM mq.enqueue_unique('u', 'x'::bytea, 'k')
t	SELECT duplicate FROM mq.enqueue_unique('u', '1'::json, 'k')
t	SELECT mq.enqueue('u', 'x', order_key => 'o') < mq.enqueue('u', 'x', order_key => 'o')
2	SELECT cardinality(mq.enqueue_many('u', '{a,b}', order_keys => '{o,o}', dedup_keys => '{k,l}'))
MQ002	SELECT mq.enqueue('none', 'x')
MQ001	SELECT mq.enqueue('', 'x')
MQ004	SELECT mq.enqueue('q', repeat('x', 70000))
t	SELECT mq.channel('q') IS NOT NULL AND mq.id_text(1, now()) IS NOT NULL
42501	SELECT mq.enqueue('none', 'x', create_queue => true)
42501	SELECT mq.create_queue('mine')
42501	SELECT mq.delete_queue('q')
42501	SELECT mq.pop('q')
42501	SELECT mq.dequeue('q')
42501	SELECT mq.receive('q')
42501	SELECT mq.receive_id(1)
42501	SELECT mq.release(1, 1)
42501	SELECT mq.extend(1, 1)
42501	SELECT mq.ack_many('{1}', '{1}')
42501	SELECT mq.nack_many('{1}', '{1}')
42501	SELECT mq.reschedule(1, 0)
42501	SELECT mq.clean()
42501	SELECT mq.stats()
42501	SELECT mq.set_queue('q', priority => 1)
42501	SELECT mq.set_defaults(priority => 1)
42501	SELECT mq.pause('q')
42501	SELECT mq.resume('q')
42501	SELECT mq.purge('q')
42501	SELECT last_error FROM mq.message
42501	UPDATE mq.queue SET paused = true
42501	UPDATE mq.namespace SET own = '{}'
42501	SELECT mq.ack(1, 1)
42501	SELECT mq.nack(1, 1)
42501	SELECT mq.peek('q')
42501	SELECT mq.list('q')
42501	SELECT mq.count('q')
42501	SELECT mq.cancel(1)
42501	SELECT mq.requeue_dead('q')
42501	SELECT mq.purge_dead('q')
42501	SELECT mq.doze('q')
42501	SELECT mq.reset()
42501	SELECT mq.set_auto_create(true)
42501	SELECT mq.grant_producer('postgres')
42501	SELECT payload FROM mq.message
42501	DELETE FROM mq.message
42501	UPDATE mq.message SET priority = 0
42501	SELECT FROM mq.dead_letter
42501	DELETE FROM mq.queue
42501	UPDATE mq.queue SET max_size = -1
42501	UPDATE mq.queue SET name = 'stolen'
42501	SELECT setval('mq.position', 1)
42501	TRUNCATE mq.message
42501	UPDATE mq.namespace SET auto_create = true
TABLE
    as "$producer" "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT mq.enqueue('q', 'x'); COMMIT" >/dev/null
    check_sql "SELECT ready FROM mq.count('q')" 6
    while IFS=$'\t' read -r want text; do
        check "consumer: $text" "$want" "$(as "$consumer" "$text")"
    done <<'TABLE'
5	SELECT mq.version()
q	SELECT name FROM mq.list_queues('q')
6	SELECT ready FROM mq.count('q')
1	SELECT body FROM mq.peek('q')
6	SELECT count(*) FROM mq.list('q')
1	SELECT body FROM mq.pop('q')
x	SELECT body FROM mq.pop('q')
done	SELECT mq.ack(id, attempts) FROM mq.dequeue('q')
dead	SELECT mq.nack(id, attempts, 'bad') FROM mq.dequeue('q')
1	SELECT dead FROM mq.count('q')
1	SELECT mq.requeue_dead('q')
dead	SELECT mq.nack(id, attempts, 'bad') FROM mq.dequeue('q')
1	SELECT mq.purge_dead('q')
t	SELECT mq.cancel((SELECT id FROM mq.peek('q')))
f	SELECT producing FROM mq.doze('q')
done	SELECT mq.ack(id, attempts) FROM mq.receive('u')
returned	SELECT mq.nack(id, attempts, 'bad', delay => 600) FROM mq.receive('u')
ready	SELECT mq.reschedule((SELECT id FROM mq.list('u', 'delayed')), 0)
extended	SELECT mq.extend(id, attempts, 60) FROM mq.receive('u')
in_flight	SELECT state FROM mq.receive_id((SELECT id FROM mq.list('u', 'in_flight')))
done	SELECT outcome FROM mq.ack_many(ARRAY(SELECT id FROM mq.list('u', 'in_flight')), ARRAY(SELECT attempts FROM mq.list('u', 'in_flight')))
released	SELECT mq.release(id, attempts) FROM mq.receive('u')
2	SELECT count(*) FROM mq.clean()
u	SELECT name FROM mq.stats('u')
1	SELECT count(*) FROM mq.awake('q')
MQ002	SELECT mq.pop('none')
MQ001	SELECT mq.pop('q', 0)
42501	SELECT mq.enqueue('q', 'x')
42501	SELECT mq.enqueue('q', 'x'::bytea)
42501	SELECT mq.enqueue('q', '1'::json)
42501	SELECT mq.enqueue_many('q', '{x}')
42501	SELECT mq.enqueue_unique('q', 'x', 'k')
42501	SELECT mq.set_queue('q', priority => 1)
42501	SELECT mq.set_defaults(priority => 1)
42501	SELECT mq.pause('q')
42501	SELECT mq.resume('q')
42501	SELECT mq.purge('q')
42501	UPDATE mq.queue SET paused = true
42501	UPDATE mq.namespace SET own = '{}'
42501	UPDATE mq.dead_letter SET payload = ''
42501	SELECT mq.create_queue('mine')
42501	SELECT mq.delete_queue('q')
42501	SELECT mq.reset()
42501	SELECT mq.set_auto_create(true)
42501	SELECT mq.grant_consumer('postgres')
42501	DELETE FROM mq.queue
42501	UPDATE mq.queue SET error_limit = NULL
42501	SELECT setval('mq.position', 1)
42501	TRUNCATE mq.message
42501	UPDATE mq.namespace SET auto_create = true
TABLE
    sql "UPDATE mq.namespace SET functions = 'older'" >/dev/null
    install_namespace
    check "grants outlive an upgrade" t "$(as "$producer" "SELECT mq.enqueue('q', 'x') > 0")"
}

# Whatever a role may do to the objects of the namespace, one a line.
rights() {  # ROLE
    run_psql -v role="$1" -v ns="$namespace" -f - <<'SQL'
SELECT p || ' on schema' FROM pg_namespace n, unnest('{USAGE,CREATE}'::text[]) p
WHERE n.nspname = :'ns' AND has_schema_privilege(:'role', n.oid, p)
UNION ALL
SELECT p || ' on table ' || c.relname FROM pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = :'ns') AND c.relkind IN ('r', 'p')
  AND (has_table_privilege(:'role', c.oid, p)
       OR p NOT IN ('DELETE', 'TRUNCATE', 'TRIGGER') AND has_any_column_privilege(:'role', c.oid, p))
UNION ALL
SELECT p || ' on sequence ' || s.seqrelid::regclass FROM pg_sequence s, unnest('{USAGE,SELECT,UPDATE}'::text[]) p
WHERE EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = s.seqrelid AND n.nspname = :'ns')
  AND has_sequence_privilege(:'role', s.seqrelid, p)
UNION ALL
SELECT 'EXECUTE on ' || f.proname || CASE WHEN f.prosecdef THEN ' as the owner' ELSE '' END FROM pg_proc f
WHERE f.pronamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = :'ns') AND has_function_privilege(:'role', f.oid, 'EXECUTE')
ORDER BY 1;
SQL
}

may_look() {  # everything that reads
    expect <<TABLE
ok	SET ROLE "$eye"
=$version	SELECT mq.version()
=later	SELECT name FROM mq.list_queues('later')
=later|1	SELECT name, sent_total FROM mq.stats('later')
=1|0	SELECT ready, in_flight FROM mq.count('later')
=x	SELECT body FROM mq.peek('later')
=x	SELECT body FROM mq.list('later')
=x	SELECT g.body FROM mq.peek('later') p, mq.get(p.id) g
=f|f	SELECT producing, consuming FROM mq.doze('later')
=0	SELECT count(*) FROM mq.consumers('later')
=	SELECT mq.awake('later')
=t	SELECT mq.channel('later') IS NOT NULL AND mq.id_text(1, now()) IS NOT NULL
=0	SELECT count(*) FROM mq.doctor() d WHERE d.check = 'missing_privilege' OR d.severity = 'note' AND d.check NOT LIKE 'long_%'
=x	SELECT body FROM mq.topic_next('later', 'oldest')
=x	SELECT body FROM mq.topic_latest('later')
=later|1	SELECT name, subscribers FROM mq.topic_list('later')
=d|0	SELECT subscriber, behind FROM mq.topic_subscribers('later')
=t	SELECT position IS NOT NULL FROM mq.topic_subscribe('later')
=f	SELECT producing FROM mq.topic_doze('later')
=	SELECT mq.topic_awake('later')
=t	SELECT mq.topic_channel('later') IS NOT NULL
42501	SELECT mq.topic_subscribe('later', 'mine')
42501	SELECT mq._receive_id(1, NULL)
42501	SELECT mq._forget(1, false)
42501	SELECT mq.shutdown()
42501	SELECT mq.topic_tend()
42501	SELECT mq.revoke('$consumer')
42501	INSERT INTO mq.granted VALUES ('$nobody', 'consumer')
TABLE
}

monitors() {
    run_psql -c "CREATE ROLE \"$eye\""
    check "a new role may do nothing" '' "$(rights "$eye")"
    expect <<TABLE
ok	SELECT mq.grant_monitor('${eye//\'/\'\'}')
ok	SELECT mq.create_queue('later'), mq.enqueue('later', 'x'), mq.topic_create('later', 60)
ok	SELECT mq.topic_subscribe('later', 'd', 'now')
ok	SELECT mq.topic_publish('later', 'x')
=1	SELECT mq.topic_commit('later', 'd', 0, (SELECT position FROM mq.topic_latest('later')))
TABLE
    may_look
    check "a monitor may change nothing" 'EXECUTE on topic_list as the owner,USAGE on schema' \
        "$(rights "$eye" | grep -E 'as the owner|^[^SE]' | paste -sd,)"
    check "a monitor may call what reads" \
        awake,channel,consumers,count,doctor,doze,get,id_text,list,list_queues,peek,stats,topic_awake,topic_channel,topic_doze,topic_latest,topic_list,topic_next,topic_subscribe,topic_subscribers,version \
        "$(rights "$eye" | sed -n 's/^EXECUTE on \([^_]\)/\1/p' | sed 's/ .*//' | sort -u | paste -sd,)"
    rights "$eye" >"$scratch/monitor"
    sql "DROP FUNCTION mq.stats(text); UPDATE mq.namespace SET functions = 'older'" >/dev/null
    install_namespace
    check "it outlives an upgrade" '' "$(rights "$eye" | diff "$scratch/monitor" -)"
    expect <<TABLE
ok	SELECT mq.grant_producer('${eye//\'/\'\'}')
ok	SELECT mq.create_queue('latest')
=	SELECT d.message FROM mq.doctor() d WHERE d.check = 'missing_privilege'
TABLE
}

revoking() {
    local text="'${eye//\'/\'\'}'"
    sql "SELECT mq.grant_consumer($text), mq.create_queue('last'), mq.topic_create('last', 60); GRANT SELECT (functions) ON mq.namespace TO \"$eye\"" >/dev/null
    check "it has all the parts" consumer,monitor,producer "$(sql "SELECT string_agg(part, ',' ORDER BY part) FROM mq.granted WHERE role = $text")"
    expect <<TABLE
=t	SELECT mq.revoke($text)
=f	SELECT mq.revoke($text)
=0	SELECT count(*) FROM mq.granted WHERE role = $text
ok	SELECT mq.create_queue('behind'), mq.topic_create('behind', 60)
ok	UPDATE mq.namespace SET functions = 'older'
TABLE
    check "nothing is left" '' "$(rights "$eye")"
    install_namespace
    check "nothing comes back" '' "$(rights "$eye")"
    check "others have kept theirs" t "$(as "$producer" "SELECT mq.enqueue('q', 'x') > 0")"
    rights "$(sql 'SELECT current_user')" >"$scratch/owner"
    expect <<TABLE
ok	GRANT SELECT (payload) ON mq.message TO "$eye"
=t	SELECT mq.revoke($text)
=f	SELECT mq.revoke('no such role')
=f	SELECT mq.revoke(NULL)
ok	SELECT mq.grant_monitor(current_user)
=t	SELECT mq.revoke(current_user)
=f	SELECT mq.revoke(current_user)
ok	SELECT mq.grant_consumer('public'), mq.grant_monitor($text)
=t	SELECT mq.revoke('public')
ok	DROP OWNED BY "$eye"
ok	DROP ROLE "$eye"
=t	SELECT mq.revoke($text)
=f	SELECT mq.revoke($text)
TABLE
    check "the owner keeps what is his" '' "$(rights "$(sql 'SELECT current_user')" | diff "$scratch/owner" -)"
    nobody_may
}

twice
many_at_once
wrong_places
roles
monitors
revoking
finish
