#!/bin/bash
# Every public function: what it does when all is well, when there is nothing, and with bad input.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
trap 'for n in "${used[@]}"; do use_namespace "$n"; drop_namespace; done' EXIT
used=()

begin() {  # NAMESPACE
    use_namespace "$1"
    used+=("$1")
    drop_namespace
    install_namespace
}

bytes() { printf "%$1s" '' | tr ' ' x; }  # COUNT

# Names: the same ones are good, and bad, for every function that takes one.
good_names() {
    # shellcheck disable=SC2016
    printf '%s\n' a a-b 1st select SELECT "it's" 'say "so"' 'a:b::c' 'back\slash' '$1' '%s' 'two words' \
        'naïve' '漢字' "$(bytes 160)" 'x.y' ';--' 'NULL' '*'
}

bad_names() {  # as SQL expressions
    printf '%s\n' 'NULL' "''" "' a'" "'a '" "' '" "E'a\\tb'" "E'a\\nb'" "E'\\x01'" "E'a\\x7f'" "U&'a\\0085'" \
        "repeat('x', 161)" "repeat('é', 81)" "repeat('x', 100000)"
}

names() {
    local name text
    while IFS= read -r name; do
        text="'${name//\'/\'\'}'"
        expect <<TABLE
=	SELECT mq.create_queue($text)
MQ003	SELECT mq.create_queue($text)
=	SELECT mq.create_queue($text, if_not_exists => true)
=t	SELECT mq.enqueue($text, 'x') > 0
=1	SELECT ready FROM mq.count($text)
=x	SELECT body FROM mq.peek($text)
=1	SELECT count(*) FROM mq.list_queues() q WHERE q.name = $text
=t	SELECT mq.channel($text) ~ '^pgq_-?[0-9]+_[0-9]+\$'
=x	SELECT body FROM mq.pop($text) WHERE queue = $text
=	SELECT mq.delete_queue($text)
MQ002	SELECT mq.delete_queue($text)
TABLE
    done < <(good_names)
    while IFS= read -r text; do
        expect <<TABLE
MQ001	SELECT mq.create_queue($text)
MQ001	SELECT mq.create_queue($text, if_not_exists => true)
MQ001	SELECT mq.delete_queue($text)
MQ001	SELECT mq.enqueue($text, 'x')
MQ001	SELECT mq.enqueue($text, 'x'::bytea)
MQ001	SELECT mq.enqueue($text, '1'::json)
MQ001	SELECT mq.enqueue($text, 'x', create_queue => true)
MQ001	SELECT mq.enqueue_many($text, '{x}')
MQ001	SELECT mq.enqueue_many($text, '{x}', create_queue => true)
MQ001	SELECT mq.pop($text)
MQ001	SELECT mq.dequeue($text)
MQ001	SELECT mq.receive($text)
MQ001	SELECT mq.enqueue_unique($text, 'x', 'k')
MQ001	SELECT mq.set_queue($text, priority => 1)
MQ001	SELECT mq.purge($text)
MQ001	SELECT mq.pause($text)
MQ001	SELECT mq.resume($text)
MQ001	SELECT mq.list($text)
MQ001	SELECT mq.peek($text)
MQ001	SELECT mq.count($text)
MQ001	SELECT mq.requeue_dead($text)
MQ001	SELECT mq.purge_dead($text)
=MQ001	SELECT code FROM mq.doze($text)
MQ001	SELECT mq.channel($text)
=	SELECT mq.awake($text)
TABLE
    done < <(bad_names)
    check_sql "SELECT count(*) FROM mq.list_queues()" 0
}

unknown() {
    expect <<'TABLE'
MQ002	SELECT mq.delete_queue('none')
MQ002	SELECT mq.enqueue('none', 'x')
MQ002	SELECT mq.enqueue('none', 'x', create_queue => false)
MQ002	SELECT mq.enqueue_many('none', '{x}')
MQ002	SELECT mq.enqueue_many('none', '{}')
MQ002	SELECT mq.pop('none')
MQ002	SELECT mq.dequeue('none')
MQ002	SELECT mq.receive('none')
MQ002	SELECT mq.enqueue_unique('none', 'x', 'k')
MQ002	SELECT mq.set_queue('none', priority => 1)
MQ002	SELECT mq.purge('none')
MQ002	SELECT mq.pause('none')
MQ002	SELECT mq.resume('none')
MQ002	SELECT mq.clean('none')
MQ002	SELECT mq.stats('none')
MQ002	SELECT mq.list('none')
MQ002	SELECT mq.list('none', 'dead')
MQ002	SELECT mq.peek('none')
MQ002	SELECT mq.count('none')
MQ002	SELECT mq.consumers('none')
MQ001	SELECT mq.consumers(max_count => 0)
MQ001	SELECT mq.consumers(NULL, NULL)
=0	SELECT count(*) FROM mq.consumers()
MQ002	SELECT mq.requeue_dead('none')
MQ002	SELECT mq.purge_dead('none')
=MQ002	SELECT code FROM mq.doze('none')
MQ002	SELECT mq.channel('none')
=	SELECT mq.awake('none')
=f	SELECT mq.cancel(1)
=0	SELECT count(*) FROM mq.get(1)
=0	SELECT count(*) FROM mq.get(NULL)
=f	SELECT mq.cancel(NULL)
=not_found	SELECT mq.ack(1, 1)
=not_found	SELECT mq.ack(NULL, NULL)
=not_found	SELECT mq.nack(1, 1, 'e')
=not_found	SELECT mq.nack(NULL, NULL)
=not_found	SELECT mq.release(1, 1)
=not_found	SELECT mq.release(NULL, NULL)
=not_found	SELECT mq.extend(1, 1, 1)
=not_found	SELECT mq.extend(NULL, NULL)
=not_found	SELECT mq.reschedule(1, 0)
=not_found	SELECT mq.reschedule(NULL, 0)
=not_found||message 1 does not exist	SELECT state, id, last_error FROM mq.receive_id(1)
=not_found	SELECT state FROM mq.receive_id(NULL)
TABLE
}

queues() {
    expect <<'TABLE'
=0	SELECT count(*) FROM mq.list_queues()
MQ001	SELECT mq.create_queue('q', max_size => -2)
MQ001	SELECT mq.create_queue('q', max_size => 1073741824)
MQ001	SELECT mq.create_queue('q', priority => -1)
MQ001	SELECT mq.create_queue('q', error_limit => 0)
MQ001	SELECT mq.create_queue('q', error_limit => -2)
22003	SELECT mq.create_queue('q', max_size => (2147483648)::integer)
=	SELECT mq.create_queue('q')
=	SELECT mq.create_queue('most', max_size => 1073741823, priority => 2147483647, error_limit => 2147483647)
=	SELECT mq.create_queue('least', max_size => 0, priority => 0, error_limit => 1)
=	SELECT mq.create_queue('boundless', max_size => -1)
=	SELECT mq.create_queue('q', max_size => 1, priority => 1, error_limit => 1, if_not_exists => true)
MQ003	SELECT mq.create_queue('q', if_not_exists => NULL)
=boundless|-1|999|-1|t	SELECT name, max_size, priority, error_limit, created = modified FROM mq.list_queues() LIMIT 1
=least|0|0|1	SELECT name, max_size, priority, error_limit FROM mq.list_queues() OFFSET 1 LIMIT 1
=most|1073741823|2147483647|2147483647	SELECT name, max_size, priority, error_limit FROM mq.list_queues() OFFSET 2 LIMIT 1
=q|65536|999|-1	SELECT name, max_size, priority, error_limit FROM mq.list_queues() OFFSET 3
=t	SELECT created BETWEEN now() - interval '1 min' AND now() FROM mq.list_queues() WHERE name = 'q'
=	SELECT mq.create_queue('Q')
=	SELECT mq.create_queue('B')
=B,Q,boundless,least,most,q	SELECT string_agg(name, ',') FROM mq.list_queues()
=t	SELECT mq.enqueue('q', 'lower') > 0 AND mq.enqueue('Q', 'upper') > 0
=upper	SELECT body FROM mq.pop('Q', 10)
=lower	SELECT body FROM mq.pop('q', 10)
=t	SELECT mq.enqueue('q', 'goes') > 0
=	SELECT mq.delete_queue('q')
=	SELECT mq.create_queue('q')
=0|0|0|0|0	SELECT * FROM mq.count('q')
=0	SELECT count(*) FROM mq.pop('q')
=5	SELECT mq.version()
MQ001	SELECT mq.set_auto_create(NULL)
=	SELECT mq.set_auto_create(true)
=t	SELECT mq.enqueue('made', 'x') > 0
=made|65536|999|-1	SELECT name, max_size, priority, error_limit FROM mq.list_queues() WHERE name = 'made'
MQ002	SELECT mq.enqueue('unmade', 'x', create_queue => false)
MQ002	SELECT mq.pop('unmade')
=	SELECT mq.set_auto_create(false)
MQ002	SELECT mq.enqueue('unmade', 'x')
=t	SELECT mq.enqueue('asked', 'x', create_queue => true) > 0
=1	SELECT cardinality(mq.enqueue_many('asked too', '{x}', create_queue => true))
=	SELECT mq.reset()
=0	SELECT count(*) FROM mq.list_queues()
=0	SELECT count(*) FROM mq.message
TABLE
}

sending() {
    sql "SELECT mq.create_queue('q'), mq.create_queue('tiny', max_size => 3), mq.create_queue('none', max_size => 0),
                mq.create_queue('boundless', max_size => -1)" >/dev/null
    expect <<'TABLE'
MQ001	SELECT mq.enqueue('q', NULL::text)
MQ001	SELECT mq.enqueue('q', NULL::bytea)
MQ001	SELECT mq.enqueue('q', NULL::json)
MQ001	SELECT mq.enqueue('q', NULL)
22P02	SELECT mq.enqueue('q', '{"a":'::json)
22P02	SELECT mq.enqueue('q', 'x', headers => 'no')
MQ001	SELECT mq.enqueue('q', 'x', headers => '[1]')
MQ001	SELECT mq.enqueue('q', 'x', headers => '1')
MQ001	SELECT mq.enqueue('q', 'x', headers => 'null')
MQ001	SELECT mq.enqueue('q', 'x', priority => -1)
MQ001	SELECT mq.enqueue('q', 'x', delay => -0.001)
MQ001	SELECT mq.enqueue('q', 'x', delay => 'nan')
MQ001	SELECT mq.enqueue('q', 'x', delay => 'infinity')
MQ001	SELECT mq.enqueue('q', 'x', delay => '-infinity')
MQ001	SELECT mq.enqueue('q', 'x', delay => 9999999.001)
MQ001	SELECT mq.enqueue('q', 'x', delay => 1e300)
MQ001	SELECT mq.enqueue('q', 'x', ttl => 0)
MQ001	SELECT mq.enqueue('q', 'x', ttl => -2)
MQ001	SELECT mq.enqueue('q', 'x', ttl => -0.001)
MQ001	SELECT mq.enqueue('q', 'x', ttl => 'nan')
MQ001	SELECT mq.enqueue('q', 'x', ttl => 'infinity')
MQ001	SELECT mq.enqueue('q', 'x', ttl => 9999999.001)
MQ004	SELECT mq.enqueue('q', repeat('x', 65537))
MQ004	SELECT mq.enqueue('tiny', 'long')
MQ004	SELECT mq.enqueue('tiny', 'éé')
MQ004	SELECT mq.enqueue('tiny', '\x00010203'::bytea)
MQ004	SELECT mq.enqueue('tiny', '1234'::json)
MQ004	SELECT mq.enqueue('none', 'x')
MQ001	SELECT mq.enqueue_many('q', '{a,NULL}')
MQ001	SELECT mq.enqueue_many('q', '{a}', priority => -1)
MQ001	SELECT mq.enqueue_many('q', '{a}', delay => 'nan')
MQ001	SELECT mq.enqueue_many('q', '{a}', ttl => 0)
MQ004	SELECT mq.enqueue_many('tiny', '{a,long}')
={}	SELECT mq.enqueue_many('q', '{}')
={}	SELECT mq.enqueue_many('q', NULL)
=0|0|0|0|0	SELECT * FROM mq.count('q')
=0|0|0|0|0	SELECT * FROM mq.count('tiny')
=t	SELECT mq.enqueue('none', '') > 0 AND mq.enqueue('tiny', '123') > 0
=text|t|0	SELECT kind, body = '', octet_length(payload) FROM mq.pop('none')
=t	SELECT mq.enqueue('boundless', repeat('x', 3000000)) > 0
=3000000	SELECT length(body) FROM mq.pop('boundless')
=t	SELECT mq.enqueue('q', repeat('x', 65536)) > 0
=65536	SELECT length(body) FROM mq.pop('q')
=t	SELECT mq.enqueue('q', 'x', delay => 9999999, ttl => 9999999) > 0
=delayed|9999999|9999999	SELECT state, extract(epoch FROM due - sent)::bigint, extract(epoch FROM expires - sent)::bigint FROM mq.list('q', 'delayed')
=0	SELECT count(*) FROM mq.pop('q')
=t	SELECT mq.cancel((SELECT id FROM mq.list('q', 'delayed')))
=t	SELECT mq.enqueue('q', '\x00ff0a'::bytea) > 0
=binary|\x00ff0a|	SELECT kind, payload, body FROM mq.pop('q')
=t	SELECT mq.enqueue('q', '{"b":1.10, "a" : 1e2,"b":2}'::json, headers => '{"z": 1, "a":"ü"}') > 0
=json|{"b":1.10, "a" : 1e2,"b":2}|{"z": 1, "a":"ü"}	SELECT kind, body, headers FROM mq.pop('q')
=t	SELECT mq.enqueue('q', 'null'::json) > 0
=json|null	SELECT kind, body FROM mq.pop('q')
=t	SELECT mq.enqueue('q', 'low', priority => 2147483647) < mq.enqueue('q', 'high', priority => 0)
=high,low	SELECT string_agg(body, ',') FROM mq.pop('q', 2)
=t	SELECT mq.enqueue('q', 'x', delay => 0) > 0
=ready|999|0|0||	SELECT state, priority, attempts, errors, due, expires FROM mq.peek('q')
=1	SELECT attempts FROM mq.pop('q')
=t	SELECT ids[1] < ids[2] AND ids[2] < ids[3] FROM mq.enqueue_many('q', '{c,"",a}', 7, 0, 60) ids
=c//a	SELECT string_agg(body, '/') FROM mq.pop('q', 9) WHERE priority = 7 AND kind = 'text'
=4	SELECT cardinality(mq.enqueue_many('q', '{{a,b},{c,d}}'))
=atext,btext,ctext,dtext	SELECT string_agg(body || kind, ',') FROM mq.pop('q', 9)
TABLE
}

taking() {
    expect <<'TABLE'
=	SELECT mq.create_queue('q')
=5	SELECT cardinality(mq.enqueue_many('q', '{a,b,c,d,e}'))
MQ001	SELECT mq.pop('q', 0)
MQ001	SELECT mq.pop('q', -1)
MQ001	SELECT mq.pop('q', NULL)
MQ001	SELECT mq.pop('q', 100001)
MQ001	SELECT mq.dequeue('q', 0)
MQ001	SELECT mq.dequeue('q', NULL)
MQ001	SELECT mq.dequeue('q', 100001)
MQ001	SELECT mq.list('q', 'ripe')
MQ001	SELECT mq.list('q', NULL)
MQ001	SELECT mq.list('q', 'ready', -1)
MQ001	SELECT mq.list('q', 'ready', NULL)
MQ001	SELECT mq.list('q', 'ready', 1, -1)
MQ001	SELECT mq.list('q', 'ready', 1, NULL)
MQ001	SELECT mq.peek('q', -1)
=0	SELECT count(*) FROM mq.list('q', 'ready', 0)
=b,c	SELECT string_agg(body, ',') FROM mq.list('q', 'ready', 2, 1)
=a	SELECT body FROM mq.peek('q')
=a,b,c,d,e	SELECT string_agg(body, ',') FROM mq.peek('q', 100)
=0	SELECT count(*) FROM mq.list('q', 'in_flight')
=0	SELECT count(*) FROM mq.list('q', 'dead')
=5|0|0|0|0	SELECT * FROM mq.count('q')
=a	SELECT body FROM mq.pop('q')
=b,c	SELECT string_agg(body, ',') FROM mq.pop('q', 2)
=in_flight|q|1|0	SELECT state, queue, attempts, errors FROM mq.pop('q')
=e	SELECT body FROM mq.pop('q', 100000) WHERE first_received >= sent AND last_error IS NULL AND died IS NULL
=0	SELECT count(*) FROM mq.pop('q', 10)
=0	SELECT count(*) FROM mq.dequeue('q', 10)
=0	SELECT count(*) FROM mq.peek('q', 10)
=0	SELECT mq.requeue_dead('q')
=0	SELECT mq.purge_dead('q')
=0	SELECT mq.requeue_dead('q', '{}')
=0	SELECT mq.purge_dead('q', '{1,NULL}')
=t	SELECT mq.cancel(mq.enqueue('q', 'x'))
=stale	SELECT mq.ack(mq.enqueue('q', 'x'), 1)
=stale	SELECT mq.nack(max(id), 1, 'e') FROM mq.peek('q')
=1|0|0|0|0	SELECT * FROM mq.count('q')
=1	SELECT attempts FROM mq.pop('q')
=32	SELECT length(mq.id_text(1, now()))
=000000e8d4a51000000000000000002a	SELECT mq.id_text(42, 'epoch'::timestamptz + interval '1000000 s')
=t	SELECT mq.id_text(2, 'epoch') > mq.id_text(1, 'epoch') AND mq.id_text(1, now()) > mq.id_text(2, now() - interval '1 s')
=	SELECT mq.id_text(NULL, now())
TABLE
}

# An error ends a transaction, as SQL errors do, and behind a savepoint only what came after that.
savepoints() {
    expect <<'TABLE'
=	SELECT mq.create_queue('s')
=	BEGIN
=t	SELECT mq.enqueue('s', 'kept') > 0
=	SAVEPOINT a
MQ004	SELECT mq.enqueue('s', repeat('x', 65537))
25P02	SELECT mq.enqueue('s', 'late')
=	ROLLBACK TO a
MQ002	SELECT mq.pop('none')
=	ROLLBACK TO a
=	COMMIT
=kept	SELECT body FROM mq.pop('s', 10)
TABLE
}

for n in "surface_$$" 'mq.mq' 'my mq.x' "we\"ird'\\n\$s:1" 'SELECT' 'mq-2'; do
    begin "$n"
    unknown
    if [ "$n" = "surface_$$" ]; then names; fi
    for part in queues sending taking; do
        $part
        sql "SELECT mq.reset()" >/dev/null
    done
    savepoints
done

# Two namespaces share neither messages nor bells.
first=surface_$$ second='mq.mq'
use_namespace "$first"; sql "SELECT mq.create_queue('twin'), mq.enqueue('twin', 'mine')" >/dev/null
bell=$(sql "SELECT mq.channel('twin')")
use_namespace "$second"; sql "SELECT mq.create_queue('twin')" >/dev/null
check_sql "SELECT count(*) FROM mq.pop('twin')" 0
check "one bell for each namespace" differ "$([ "$bell" = "$(sql "SELECT mq.channel('twin')")" ] || echo differ)"
sql "SELECT mq.reset()" >/dev/null
use_namespace "$first"
check_sql "SELECT body FROM mq.pop('twin')" mine
finish
