#!/bin/bash
# Two namespaces, and two queues whose names differ by case only, share nothing: messages, settings, keys, wake-ups.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
base=$namespace
first=$base second="${base}_B" third="${base}_b"  # the last two differ by case only
trap 'for n in "$first" "$second" "$third"; do use_namespace "$n"; drop_namespace; done' EXIT
for n in "$first" "$second" "$third"; do
    use_namespace "$n"
    install_namespace
done

in_all() {  # TEXT: in each of the three
    local n
    for n in "$first" "$second" "$third"; do
        use_namespace "$n"
        sql "$1" >/dev/null
    done
}

# The same done in each: what one of them has, the others do not.
in_all "SELECT mq.create_queue('q', error_limit => 1), mq.create_queue('Q', error_limit => 1)"
bells=$(for n in "$first" "$second" "$third"; do use_namespace "$n"; sql "SELECT mq.channel('q') UNION ALL SELECT mq.channel('Q')"; done)
check "six queues, six bells" 6 "$(sort -u <<<"$bells" | wc -l)"

one_of_six() {  # NAMESPACE QUEUE: what is done there is seen there, and nowhere else
    local n q mine
    use_namespace "$1"
    expect <<TABLE
=t	SELECT mq.enqueue('$2', 'ready') > 0 AND mq.enqueue('$2', 'late', delay => 600) > 0
=f	SELECT duplicate FROM mq.enqueue_unique('$2', 'once', 'key', 600)
=t	SELECT duplicate FROM mq.enqueue_unique('$2', 'twice', 'key')
=t	SELECT mq.enqueue('$2', 'o1', order_key => 'key') > 0
=t	SELECT mq.enqueue('$2', 'o2', order_key => 'key') > 0
=dead	SELECT mq.nack(id, attempts) FROM mq.receive('$2')
=	SELECT mq.set_queue('$2', lease => 77)
=	SELECT mq.pause('$2')
=2|1|1|0|1	SELECT * FROM mq.count('$2')
TABLE
    for n in "$first" "$second" "$third"; do
        use_namespace "$n"
        for q in q Q; do
            [ "$n,$q" = "$1,$2" ] && mine=t || mine=f
            check "in $n, $q" "$mine|$mine|$mine|$mine" "$(sql "SELECT q.paused, q.lease = 77, s.sent_total > 0,
                (SELECT c.ready + c.delayed + c.blocked + c.dead > 0 FROM mq.count('$q') c)
                FROM mq.list_queues('$q') q, mq.stats('$q') s")"
            if [ "$mine" = f ]; then
                expect <<TABLE
=0	SELECT count(*) FROM mq.receive('$q', 9)
=0	SELECT mq.requeue_dead('$q')
=0|0	SELECT * FROM mq.purge('$q')
=0	SELECT mq.purge_dead('$q')
=f	SELECT duplicate FROM mq.enqueue_unique('$q', 'mine', 'key')
=mine	SELECT body FROM mq.pop('$q', 9)
TABLE
            fi
        done
    done
    use_namespace "$1"
    check_sql "SELECT * FROM mq.count('$2')" '2|1|1|0|1'
}

for n in "$first" "$second" "$third"; do
    for q in q Q; do
        one_of_six "$n" "$q"
        in_all "SELECT mq.reset()"
        in_all "SELECT mq.create_queue('q', error_limit => 1), mq.create_queue('Q', error_limit => 1)"
    done
done

# Defaults, auto_create and an id belong to their namespace.
use_namespace "$second"
sql "SELECT mq.set_defaults(priority => 3), mq.set_auto_create(true)" >/dev/null
use_namespace "$third"
expect <<'TABLE'
=999 / 999	SELECT priority FROM mq.list_queues()
MQ002	SELECT mq.enqueue('new', 'x')
TABLE
id=$(sql "SELECT mq.enqueue('q', 'x')")
use_namespace "$second"
expect <<TABLE
=3 / 3	SELECT priority FROM mq.list_queues()
=f|not_found|not_found	SELECT mq.cancel($id), mq.ack($id, 1), mq.reschedule($id, 0)
=not_found	SELECT state FROM mq.receive_id($id)
TABLE

# A bell rings for its own sleepers only: each of the six queues has one, and one message is sent.
ring() {  # NAMESPACE QUEUE: prints the channels that rang
    local n q
    {
        for n in "$first" "$second" "$third"; do
            use_namespace "$n"
            for q in q Q; do
                in_namespace "SELECT mq.channel('$q') AS c \\gset
LISTEN :\"c\";
SELECT code FROM mq.doze('$q');
"
            done
        done
        printf '%s\n' ". $PWD/lib.sh" "use_namespace '$1'" "sql \"SELECT mq.enqueue('$2', 'x')\" >/dev/null" >"$scratch"
        echo "\\! bash $scratch"
        echo "SELECT 1;"
    } | run_psql -f - | sed -n 's/^Asynchronous notification "\([^"]*\)".*/\1/p'
}
scratch=$(mktemp)
for n in "$first" "$second" "$third"; do
    for q in q Q; do
        rang=$(ring "$n" "$q")
        use_namespace "$n"
        check "who is rung for by $n, $q" "$(sql "SELECT mq.channel('$q')")" "$rang"
    done
done
rm -f "$scratch"
finish
