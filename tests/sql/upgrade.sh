#!/bin/bash
# A namespace of schema version 1 with all that it can hold, brought up to date: nothing is lost, who was granted what may
# do what is new, and it is then the same as a fresh one. The old version is its first migration, with functions that stand
# in for the old ones: of these only the names, the signatures and the grants matter. Then the structure of each later version
# in upgrade/, likewise.
#
#   upgrade.sh --signatures    writes such stand-ins for the functions of the namespace "mq" of the server
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh

if [ "${1:-}" = --signatures ]; then
    run_psql -c "SELECT format('CREATE FUNCTION mq.%I(%s) RETURNS %s LANGUAGE plpgsql AS \$\$BEGIN END\$\$;', p.proname,
                               pg_get_function_arguments(p.oid), pg_get_function_result(p.oid))
                 FROM pg_proc p WHERE p.pronamespace = 'mq'::regnamespace ORDER BY p.oid::regprocedure::text"
    exit
fi
old=$namespace fresh="fresh_$$" later="later_$$" producer="producer_$$" consumer="consumer \"$$\"" both="both_$$" nobody="nobody_$$" gone="gone_$$"
scratch=$(mktemp -d)

clean() {
    local role n
    for n in "$old" "$fresh" "$later"; do
        use_namespace "$n"
        drop_namespace
    done
    for role in "$producer" "${consumer//\"/\"\"}" "$both" "$nobody" "$gone"; do
        run_psql -c "DROP OWNED BY \"$role\"" -c "DROP ROLE \"$role\"" >/dev/null 2>&1 || true
    done
    rm -rf "$scratch"
}
trap clean EXIT

old_functions() {
    cat <<'SQL'
CREATE FUNCTION mq.enqueue(queue text, payload text, priority integer DEFAULT NULL, delay double precision DEFAULT NULL,
    ttl double precision DEFAULT NULL, headers json DEFAULT NULL, create_queue boolean DEFAULT NULL) RETURNS bigint
    LANGUAGE sql AS $$ SELECT 1::bigint $$;
CREATE FUNCTION mq.enqueue(queue text, payload bytea, priority integer DEFAULT NULL, delay double precision DEFAULT NULL,
    ttl double precision DEFAULT NULL, headers json DEFAULT NULL, create_queue boolean DEFAULT NULL) RETURNS bigint
    LANGUAGE sql AS $$ SELECT 1::bigint $$;
CREATE FUNCTION mq._holder(holder xid) RETURNS text LANGUAGE sql AS $$ SELECT 'free' $$;
CREATE FUNCTION mq._take(queue text, max_count integer, remove boolean) RETURNS SETOF mq.item
    LANGUAGE sql AS $$ SELECT NULL::mq.item $$;
CREATE FUNCTION mq.pop(queue text, max_count integer DEFAULT 1) RETURNS SETOF mq.item
    LANGUAGE sql AS $$ SELECT mq._take(queue, max_count, true) $$;
CREATE FUNCTION mq.dequeue(queue text, max_count integer DEFAULT 1) RETURNS SETOF mq.item
    LANGUAGE sql AS $$ SELECT mq._take(queue, max_count, false) $$;
CREATE FUNCTION mq.ack(message_id bigint, attempt integer) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE FUNCTION mq.nack(message_id bigint, attempt integer, error text DEFAULT NULL) RETURNS boolean
    LANGUAGE sql AS $$ SELECT true $$;
CREATE FUNCTION mq._count_failure(message_id bigint, reason text) RETURNS text LANGUAGE sql AS $$ SELECT '' $$;
CREATE FUNCTION mq.create_queue(name text, max_size integer DEFAULT NULL, priority integer DEFAULT NULL,
    error_limit integer DEFAULT NULL, if_not_exists boolean DEFAULT false) RETURNS void LANGUAGE sql AS $$ $$;
CREATE FUNCTION mq.list_queues() RETURNS TABLE (name text, max_size integer) LANGUAGE sql AS $$ SELECT 'q', 1 $$;
CREATE FUNCTION mq.count(queue text, OUT ready bigint, OUT delayed bigint, OUT in_flight bigint, OUT dead bigint)
    LANGUAGE sql AS $$ SELECT 1::bigint, 1::bigint, 1::bigint, 1::bigint $$;
CREATE FUNCTION mq.version() RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$;
SQL
}

older() {  # VERSION: a namespace with the migrations up to that one, and on stdin its functions
    local file number
    {
        printf 'CREATE SCHEMA %s;\n' "$quoted"
        in_namespace "CREATE TABLE mq.migration (version integer PRIMARY KEY, name text NOT NULL, installed timestamptz NOT NULL DEFAULT now());"
        for file in ../../sql/migrations/*.sql; do
            number=$(basename "$file" .sql)
            [ $((10#${number%%_*})) -le "$1" ] || break
            in_namespace "$(cat "$file");
                          INSERT INTO mq.migration (version, name) VALUES ($((10#${number%%_*})), '$number');"
        done
        in_namespace "$(cat)
UPDATE mq.namespace SET functions = 'those of version $1', auto_create = true;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA mq.x FROM PUBLIC;" | sed "s/SCHEMA $quoted\.x/SCHEMA $quoted/"
    } | run_psql -1 -f - >/dev/null
}

old_content() {
    run_psql -v p="$producer" -v c="$consumer" -v b="$both" -v n="$nobody" -v g="$gone" -f - <<SQL
CREATE ROLE :"p"; CREATE ROLE :"c"; CREATE ROLE :"b"; CREATE ROLE :"n"; CREATE ROLE :"g";
GRANT USAGE ON SCHEMA $quoted TO :"p", :"b", :"c", :"n", :"g";
GRANT EXECUTE ON FUNCTION $quoted.enqueue(text, text, integer, float8, float8, json, boolean), $quoted.list_queues() TO :"p", :"b", :"g";
GRANT INSERT ON $quoted.message TO :"p", :"b", :"g";
GRANT SELECT, UPDATE (modified) ON $quoted.queue TO :"p", :"b", :"c";
GRANT USAGE ON $quoted.position TO :"p", :"b", :"c";
GRANT EXECUTE ON FUNCTION $quoted.pop(text, integer), $quoted.count(text), $quoted.version() TO :"c", :"b";
GRANT SELECT, INSERT, UPDATE, DELETE ON $quoted.message TO :"c", :"b";
DROP OWNED BY :"g"; DROP ROLE :"g";
SQL
    sql "
INSERT INTO mq.queue (name, max_size, priority, error_limit) VALUES ('plain', 65536, 999, NULL), ('set', -1, 7, 3), ('empty', 0, 999, 1);
INSERT INTO mq.message (id, position, sent, queue_id, priority, attempts, errors, state, kind, due, expires, first_received,
                        headers, last_error, payload)
SELECT nextval('mq.position'), currval('mq.position'), '2024-02-29 12:00+00', q.id, q.priority, p % 3, p % 3, 0, p % 2, NULL, NULL,
       CASE WHEN p % 3 > 0 THEN now() END, '{\"b\": 1, \"a\": 2}', CASE WHEN p % 3 > 0 THEN 'said no' END, convert_to('m' || p, 'UTF8')
FROM mq.queue q, generate_series(1, 5) p WHERE q.name <> 'empty';
INSERT INTO mq.message (id, position, sent, queue_id, priority, state, kind, due, payload)
SELECT nextval('mq.position'), currval('mq.position'), now(), q.id, 999, 1, 1, now() + d * interval '1 hour', 'late'
FROM mq.queue q, (VALUES (-1), (1)) v (d) WHERE q.name = 'plain';
INSERT INTO mq.dead_letter (id, sent, queue_id, priority, attempts, errors, kind, payload, last_error)
SELECT nextval('mq.position'), now(), q.id, 7, 3, 3, 1, 'dead', 'died' FROM mq.queue q WHERE q.name = 'set';" >/dev/null
}

content() {  # what version 1 knew of
    sql "SELECT id, name, max_size, priority, NULLIF(error_limit, -1), created, modified FROM mq.queue ORDER BY id;
         SELECT id, position, sent, queue_id, priority, attempts, errors, state, kind, due, expires, first_received, headers,
                last_error, payload FROM mq.message ORDER BY id;
         SELECT id, died, sent, queue_id, priority, attempts, errors, kind, headers, last_error, payload FROM mq.dead_letter;
         SELECT auto_create, created FROM mq.namespace; SELECT last_value FROM mq.position"
}

# All that the catalog says of a namespace, without oids and its name; totals, which are of queues, aside.
structure() {
    sql "SELECT 'column', c.relname, a.attname, a.attnum > 0, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                pg_get_expr(d.adbin, d.adrelid), co.collname
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         LEFT JOIN pg_collation co ON co.oid = a.attcollation
         WHERE c.relnamespace = '$quoted'::regnamespace AND c.relkind <> 'S' AND NOT a.attisdropped ORDER BY 2, a.attnum;
         SELECT 'index', pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
         WHERE c.relnamespace = '$quoted'::regnamespace ORDER BY replace(pg_get_indexdef(i.indexrelid), '$namespace', 'mq');
         SELECT 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint
         WHERE connamespace = '$quoted'::regnamespace ORDER BY conrelid::regclass::text, conname;
         SELECT 'function', p.oid::regprocedure, pg_get_function_result(p.oid), md5(replace(p.prosrc, '$namespace', 'mq')), p.proconfig,
                EXISTS (SELECT FROM aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) x WHERE x.grantee = 0)
         FROM pg_proc p WHERE p.pronamespace = '$quoted'::regnamespace ORDER BY p.oid::regprocedure::text;
         SELECT 'options', relname, reloptions FROM pg_class WHERE relnamespace = '$quoted'::regnamespace AND relkind = 'r' ORDER BY 2;
         SELECT 'migration', version, name FROM mq.migration ORDER BY 2" | sed "s/$quoted/mq/g; s/$namespace/mq/g"
}

as() {  # ROLE TEXT: the SQLSTATE, or the last line of the result
    run_psql -v ON_ERROR_STOP=0 -v role="$1" -f - 2>/dev/null <<SQL | tail -1
SET ROLE :"role";
$(in_namespace "$2");
SELECT :'SQLSTATE' AS state, :'SQLSTATE' <> '00000' AS failed \gset
\if :failed
\echo :state
\endif
SQL
}

old_functions | older 1
old_content
content >"$scratch/before"

# An upgrade that is rolled back has not been.
{ echo "BEGIN;"; cat "$PGQ_SQL"; echo "ROLLBACK;"; } >"$scratch/rolled_back.sql"
run_psql -v namespace="$namespace" -f "$scratch/rolled_back.sql" >/dev/null
check_sql "SELECT max(version) FROM mq.migration" 1
# Two at once: one does it.
for i in 1 2; do
    run_psql -1 -v namespace="$namespace" -f "$PGQ_SQL" >"$scratch/out$i" 2>&1 &
    pids[i]=$!
done
for i in 1 2; do wait "${pids[i]}" || true; done
check "both are told the version" "$(cat "$scratch/out1")" "$(cat "$scratch/out2")"
check "it is this one" "$(sql "SELECT max(version) FROM mq.migration")" "$(cat "$scratch/out1")"

content >"$scratch/after"
check "what was there is there" '' "$(diff "$scratch/before" "$scratch/after")"
structure >"$scratch/upgraded"
use_namespace "$fresh"
install_namespace
structure >"$scratch/fresh"
check "a fresh one is the same" '' "$(diff "$scratch/fresh" "$scratch/upgraded")"
check "and that is something" yes "$([ "$(wc -l <"$scratch/fresh")" -gt 150 ] && echo yes)"

for file in upgrade/*.sql; do
    use_namespace "$later"
    version=$(basename "$file" | sed 's/^0*//; s/_.*//')
    older "$version" <"$file"
    check_sql "SELECT max(version) FROM mq.migration" "$version"
    install_namespace
    structure >"$scratch/later"
    check "and so is one of version $version" '' "$(diff "$scratch/fresh" "$scratch/later")"
    drop_namespace
done

use_namespace "$old"
expect <<'TABLE'
=plain|65536|999|-1|{}|30 / set|-1|7|3|{error_limit,max_size,priority}|30	SELECT name, max_size, priority, error_limit, own, lease FROM mq.list_queues() WHERE name <> 'empty'
=0|1|{error_limit,max_size}	SELECT max_size, error_limit, own FROM mq.list_queues('empty')
=5|2|0|0|0	SELECT * FROM mq.count('plain')
=0|0|t / 0|0|t	SELECT sent_total, received_total, exact FROM mq.stats() WHERE name <> 'empty'
=error_limit	SELECT reason FROM mq.list('set', 'dead')
TABLE
while IFS=$'\t' read -r who want text; do
    check "$who: $text" "$want" "$(as "${!who}" "$text")"
done <<'TABLE'
producer	t	SELECT mq.enqueue('plain', 'x', order_key => 'k') > 0
producer	f	SELECT duplicate FROM mq.enqueue_unique('plain', '1'::json, 'k', dedup_window => 60)
producer	2	SELECT cardinality(mq.enqueue_many('plain', '{a,b}'))
producer	42501	SELECT mq.pop('plain')
producer	42501	SELECT mq.receive('plain')
producer	42501	SELECT payload FROM mq.message
consumer	done	SELECT mq.ack(id, attempts) FROM mq.receive('plain')
consumer	returned	SELECT mq.nack(id, attempts) FROM mq.dequeue('plain')
consumer	1	SELECT mq.requeue_dead('set')
consumer	3	SELECT count(*) FROM mq.stats()
producer	t	SELECT mq.topic_publish('t', 'x') > 0
producer	t	SELECT name = 't' AND mq.topic_tend() >= 0 FROM mq.topic_list()
producer	42501	SELECT mq.topic_next('t', 'oldest')
consumer	x	SELECT body FROM mq.topic_next('t', 'oldest')
consumer	t	SELECT created FROM mq.topic_subscribe('t', 's')
consumer	42501	SELECT mq.topic_publish('t', 'x')
consumer	42501	SELECT mq.enqueue('plain', 'x')
consumer	42501	SELECT mq.purge('plain')
both	t	SELECT mq.enqueue('plain', 'x') > 0
both	1	SELECT count(*) FROM mq.receive('plain')
nobody	42501	SELECT mq.enqueue('plain', 'x')
nobody	42501	SELECT mq.pop('plain')
nobody	42501	SELECT mq.version()
TABLE
check_sql "SELECT role, part FROM mq.granted ORDER BY 1, 2" "$(printf '%s\n' "$both|consumer" "$both|producer" "$consumer|consumer" "$producer|producer")"

# A queue made since has its totals granted, too; and what is granted later outlives the next change of the functions.
sql "SELECT mq.create_queue('new'), mq.grant_producer('$nobody')" >/dev/null
check "the producer may send to a new queue" t "$(as "$producer" "SELECT mq.enqueue('new', 'x') > 0")"
sql "SELECT mq.topic_create('mine', 60)" >/dev/null
check "and publish to a new topic" t "$(as "$producer" "SELECT mq.topic_publish('mine', 'x') > 0")"
check "which the consumer reads" x "$(as "$consumer" "SELECT body FROM mq.topic_next('mine', 'oldest')")"
check "and the consumer take from it" x "$(as "$consumer" "SELECT body FROM mq.pop('new')")"
sql "UPDATE mq.namespace SET functions = 'older'; DROP FUNCTION mq.receive_id(bigint, double precision)" >/dev/null
install_namespace
check "a later grant outlives an upgrade" t "$(as "$nobody" "SELECT mq.enqueue('new', 'x') > 0")"
check "of topics, too" t "$(as "$nobody" "SELECT mq.topic_publish('mine', 'y') + mq.topic_publish('t', 'y') > 0")"
check "functions that are new are granted" not_found "$(as "$consumer" "SELECT state FROM mq.receive_id(-1)")"
finish
