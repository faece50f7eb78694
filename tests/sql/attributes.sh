#!/bin/bash
# The attributes of queues: their ranges, the cascade message > call > queue > namespace > built-in, and changing them.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
trap drop_namespace EXIT
install_namespace

message() {  # TEXT: what the error says
    run_psql -v VERBOSITY=terse -c "$(in_namespace "$1")" 2>&1 >/dev/null | sed -n 's/^ERROR:  //p'
}

# Built-in values, and that each attribute can be set at each level, and unset again.
cascade() {
    local name built queue namespace_value
    while read -r name built queue namespace_value; do
        expect <<TABLE
=	SELECT mq.create_queue('q')
=	SELECT mq.create_queue('r', $name => '$queue')
=$built|{}	SELECT $name, own FROM mq.list_queues('q')
=$queue|{$name}	SELECT $name, own FROM mq.list_queues('r')
=	SELECT mq.set_defaults($name => '$namespace_value')
=$namespace_value|{}	SELECT $name, own FROM mq.list_queues('q')
=$queue	SELECT $name FROM mq.list_queues('r')
=	SELECT mq.create_queue('late')
=$namespace_value	SELECT $name FROM mq.list_queues('late')
=	SELECT mq.set_queue('late', $name => '$queue')
=$queue|{$name}|t	SELECT $name, own, modified > created FROM mq.list_queues('late')
=	SELECT mq.set_queue('late', unset => '{$name}')
=$namespace_value|{}	SELECT $name, own FROM mq.list_queues('late')
=	SELECT mq.set_queue('r', unset => '{$name,$name}')
=	SELECT mq.set_defaults(unset => '{$name}')
=$built / $built / $built	SELECT $name FROM mq.list_queues()
=	SELECT mq.set_queue('r', $name => '$queue', unset => '{$name}')
=$queue	SELECT $name FROM mq.list_queues('r')
=	SELECT mq.reset()
TABLE
    done <<'LIST'
lease 30 0.25 7
delay 0 0.001 9999999
max_size 65536 0 -1
priority 999 0 2147483647
requeue t f f
requeue_priority -1 0 2147483647
error_limit -1 1 2147483647
ttl -1 0.001 9999999
retry_delay 0 0.5 9999999
retry_factor 1 100 2.5
retry_max_delay 3600 0 9999999
retry_jitter 0 1 0.25
drop_dead f t t
LIST
}

# A bad value is refused by each that takes it, with a message that names the attribute and its range; nothing changes.
ranges() {
    local name value want call got
    sql "SELECT mq.create_queue('q', priority => 5)" >/dev/null
    local before
    before=$(sql "SELECT * FROM mq.queue; SELECT own FROM mq.namespace")
    while read -r name value want; do
        for call in "mq.create_queue('new', $name => $value)" "mq.set_queue('q', $name => $value)" \
            "mq.set_defaults($name => $value)"; do
            check_state "SELECT $call" MQ001
            got=$(message "SELECT $call" || true)
            check "$call names the attribute: $got" yes "$([[ $got == *"$name"* ]] && echo yes)"
            check "$call names its range: $got" yes "$([[ $got == *"$want"* ]] && echo yes)"
        done
    done <<'LIST'
lease -1 0 to 9999999 seconds
lease -0.001 0 to 9999999 seconds
lease 9999999.001 0 to 9999999 seconds
lease 'NaN' 0 to 9999999 seconds
lease 'Infinity' 0 to 9999999 seconds
lease '-Infinity' 0 to 9999999 seconds
lease 1e300 0 to 9999999 seconds
delay -1 0 to 9999999 seconds
delay 9999999.001 0 to 9999999 seconds
delay 'NaN' 0 to 9999999 seconds
max_size -2 0 to 1073741823 bytes, or -1
max_size 1073741824 0 to 1073741823 bytes, or -1
max_size -2147483648 0 to 1073741823 bytes, or -1
priority -1 0 to 2147483647
priority -2147483648 0 to 2147483647
requeue_priority -2 0 to 2147483647, or -1
error_limit 0 1 to 2147483647, or -1
error_limit -2 1 to 2147483647, or -1
ttl 0 9999999 seconds, or -1
ttl 0.0001 9999999 seconds, or -1
ttl -0.001 9999999 seconds, or -1
ttl -2 9999999 seconds, or -1
ttl 'NaN' 9999999 seconds, or -1
ttl 9999999.001 9999999 seconds, or -1
retry_delay -1 0 to 9999999 seconds
retry_delay 'Infinity' 0 to 9999999 seconds
retry_max_delay -1 0 to 9999999 seconds
retry_max_delay 1e18 0 to 9999999 seconds
retry_factor 0.99 1 to 100
retry_factor 100.01 1 to 100
retry_factor -1 1 to 100
retry_factor 'NaN' 1 to 100
retry_factor 'Infinity' 1 to 100
retry_jitter -0.01 0 to 1
retry_jitter 1.01 0 to 1
retry_jitter 'NaN' 0 to 1
LIST
    check "nothing has changed" "$before" "$(sql "SELECT * FROM mq.queue; SELECT own FROM mq.namespace")"
    expect <<'TABLE'
=	SELECT mq.reset()
TABLE
}

changing() {
    expect <<'TABLE'
=	SELECT mq.create_queue('q', priority => 5, error_limit => 3)
MQ001	SELECT mq.set_queue('q')
MQ001	SELECT mq.set_queue('q', unset => '{}')
MQ001	SELECT mq.set_queue('q', unset => NULL)
MQ001	SELECT mq.set_queue('q', unset => ARRAY[NULL]::text[])
MQ001	SELECT mq.set_queue('q', unset => '{priority,nonsense}')
MQ001	SELECT mq.set_queue('q', unset => '{Priority}')
MQ001	SELECT mq.set_queue('q', priority => 6, unset => '{""}')
MQ001	SELECT mq.set_defaults()
MQ001	SELECT mq.set_defaults(unset => '{created}')
MQ001	SELECT mq.set_queue(NULL, priority => 1)
MQ002	SELECT mq.set_queue('none', priority => 1)
MQ002	SELECT mq.set_queue('Q', priority => 1)
=1	SELECT count(*) FROM mq.list_queues()
=5|3|{error_limit,priority}|t	SELECT priority, error_limit, own, created = modified FROM mq.list_queues()
=	SELECT mq.set_queue('q', lease => 1.2344)
=1.234|5|3|t	SELECT lease, priority, error_limit, modified > created FROM mq.list_queues()
=0	SELECT count(*) FROM mq.list_queues('none')
=1	SELECT count(*) FROM mq.list_queues('q')
=1	SELECT count(*) FROM mq.list_queues(NULL)
MQ003	SELECT mq.create_queue('q', priority => 7)
=	SELECT mq.create_queue('q', priority => 7, if_not_exists => true)
MQ001	SELECT mq.create_queue('q', priority => -7, if_not_exists => true)
=5	SELECT priority FROM mq.list_queues()
=	BEGIN
=	SELECT mq.set_queue('q', priority => 8)
=	SELECT mq.set_defaults(delay => 9)
=9	SELECT delay FROM mq.list_queues()
=8	SELECT priority FROM mq.list_queues()
=	ROLLBACK
=5|1.234|0	SELECT priority, lease, delay FROM mq.list_queues()
=	SELECT mq.reset()
=	SELECT mq.set_defaults(priority => 42)
=	SELECT mq.reset()
=t	SELECT mq.enqueue('made', 'x', create_queue => true) > 0
=42|{}	SELECT priority, own FROM mq.list_queues()
=42	SELECT priority FROM mq.pop('made')
=	SELECT mq.set_defaults(unset => '{priority}')
=999	SELECT priority FROM mq.list_queues()
=	SELECT mq.reset()
TABLE
}

# What the message or the call says goes before what the queue says, whatever changes afterwards.
of_messages() {
    expect <<'TABLE'
=	SELECT mq.create_queue('q', lease => 100, delay => 600, priority => 5, ttl => 700, max_size => 3)
=t	SELECT mq.enqueue('q', 'a') > 0
=delayed|5|600|700	SELECT state, priority, extract(epoch FROM due - sent)::integer, extract(epoch FROM expires - sent)::integer FROM mq.list('q', 'delayed')
=0|1|0|0|0	SELECT * FROM mq.count('q')
=t	SELECT mq.cancel(id) FROM mq.list('q', 'delayed')
=t	SELECT mq.enqueue('q', 'b', 0, delay => 0, ttl => -1) > 0
=ready|0||	SELECT state, priority, due, expires FROM mq.peek('q')
=in_flight|100	SELECT state, round(extract(epoch FROM due - first_received)) FROM mq.receive('q')
=done	SELECT mq.ack(id, attempts) FROM mq.list('q', 'in_flight')
=t	SELECT mq.enqueue('q', 'c', delay => 0, lease => 50) > 0
=50	SELECT round(extract(epoch FROM due - first_received)) FROM mq.receive('q', 1, 20)
=done	SELECT mq.ack(id, attempts) FROM mq.list('q', 'in_flight')
=t	SELECT mq.enqueue('q', 'd', delay => 0) > 0
=20	SELECT round(extract(epoch FROM due - first_received)) FROM mq.receive('q', 1, 20)
=done	SELECT mq.ack(id, attempts) FROM mq.list('q', 'in_flight')
=t	SELECT mq.enqueue('q', 'e', due => now() + interval '50 s') > 0
=t	SELECT due = now() + (due - now()) AND due - sent BETWEEN interval '40 s' AND interval '50 s' FROM mq.list('q', 'delayed')
=t	SELECT mq.cancel(id) FROM mq.list('q', 'delayed')
=t	SELECT mq.enqueue('q', 'f', due => now() - interval '1 day') > 0
=f|t	SELECT body, due IS NULL FROM mq.pop('q')
=t	SELECT mq.enqueue('q', 'g', due => '-infinity') > 0
=g	SELECT body FROM mq.pop('q')
MQ001	SELECT mq.enqueue('q', 'x', due => 'infinity')
MQ001	SELECT mq.enqueue('q', 'x', due => now() + interval '10000000 s')
MQ001	SELECT mq.enqueue('q', 'x', due => now(), delay => 0)
MQ001	SELECT mq.enqueue('q', 'x', lease => -1)
MQ001	SELECT mq.enqueue('q', 'x', lease => 'nan')
MQ001	SELECT mq.enqueue('q', 'x', lease => 9999999.001)
MQ001	SELECT mq.enqueue('q', 'x', error_limit => 0)
MQ001	SELECT mq.enqueue('q', 'x', error_limit => -2)
MQ001	SELECT mq.enqueue('q', 'x', requeue_priority => -2)
MQ001	SELECT mq.enqueue('q', 'x', order_key => '')
MQ001	SELECT mq.enqueue('q', 'x', order_key => repeat('x', 256))
MQ001	SELECT mq.enqueue('q', 'x', order_key => repeat('é', 128))
MQ001	SELECT mq.enqueue_unique('q', 'x', NULL)
MQ001	SELECT mq.enqueue_unique('q', 'x', '')
MQ001	SELECT mq.enqueue_unique('q', 'x', repeat('x', 256))
MQ001	SELECT mq.enqueue_unique('q', 'x', 'k', -1)
MQ001	SELECT mq.enqueue_unique('q', 'x', 'k', 'nan')
MQ001	SELECT mq.enqueue_unique('q', 'x', 'k', 'infinity')
MQ001	SELECT mq.enqueue_unique('q', 'x', 'k', 9999999.001)
MQ001	SELECT mq.enqueue_unique('q', NULL::text, 'k')
MQ004	SELECT mq.enqueue_unique('q', 'long', 'k')
MQ001	SELECT mq.enqueue_many('q', '{a,b}', order_keys => '{a}')
MQ001	SELECT mq.enqueue_many('q', '{a,b}', dedup_keys => '{a,b,c}')
MQ001	SELECT mq.enqueue_many('q', '{a,b}', dedup_keys => '{a,""}')
MQ001	SELECT mq.enqueue_many('q', '{a,b}', dedup_window => 1)
MQ001	SELECT mq.receive('q', 1, -1)
MQ001	SELECT mq.receive('q', 1, 'nan')
MQ001	SELECT mq.receive('q', 1, 9999999.001)
MQ001	SELECT mq.receive('q', 0)
MQ001	SELECT mq.receive('q', NULL)
MQ001	SELECT mq.receive('q', 100001)
MQ001	SELECT mq.receive_id(1, 'infinity')
MQ001	SELECT mq.extend(1, 1, -1)
MQ001	SELECT mq.extend(1, 1, 'nan')
MQ001	SELECT mq.nack(1, 1, delay => -1)
MQ001	SELECT mq.nack(1, 1, delay => 'infinity')
MQ001	SELECT mq.reschedule(1, NULL)
MQ001	SELECT mq.reschedule(1, -1)
MQ001	SELECT mq.reschedule(1, 'nan')
MQ001	SELECT * FROM mq.ack_many('{1,2}', '{1}')
MQ001	SELECT * FROM mq.nack_many('{1}', '{1,2}')
MQ001	SELECT * FROM mq.extend_many('{1}', '{1}', 'nan')
=0	SELECT count(*) FROM mq.ack_many(NULL, NULL)
=0	SELECT count(*) FROM mq.ack_many('{}', '{}')
=|not_found	SELECT * FROM mq.ack_many('{NULL}', '{NULL}')
=|not_found	SELECT * FROM mq.nack_many('{NULL}', '{NULL}')
=0	SELECT count(*) FROM mq.release_many('{}', '{}')
=0|0|0|0|0	SELECT * FROM mq.count('q')
=0	SELECT count(*) FROM mq.dedup_window
=	SELECT mq.reset()
TABLE
}

cascade
ranges
changing
of_messages
finish
