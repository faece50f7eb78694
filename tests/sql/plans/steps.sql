-- What is done for every message, in labelled parts; psql's. What plans.sh expects of each stands in the file expected.
\warn @@ enqueue
SELECT mq.enqueue('q', 'x');
\warn @@ enqueue_many
SELECT mq.enqueue_many('q', '{a,b,c}');
\warn @@ enqueue_many_ttl
SELECT mq.enqueue_many('q', '{d,e,f}', ttl => 86400);
\warn @@ enqueue_copy
-- An INSERT in the place of COPY, which has no plan.
BEGIN;
SELECT ids FROM mq._enqueue_copy('q', 3, 1, 0::smallint) \gset
INSERT INTO mq.message (sent, queue_id, priority, state, id, position, kind, payload)
    SELECT now(), q.id, q.priority, 0, i, i, 0, 'c' FROM unnest(:'ids'::bigint[]) i, mq.queue q WHERE q.name = 'q';
COMMIT;
\warn @@ pop
SELECT mq.pop('q');
\warn @@ pop_many
SELECT mq.pop('q', 4);
\warn @@ ack
SELECT mq.ack(id, attempts) FROM mq.dequeue('q');
\warn @@ nack
SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('q');
\warn @@ lost
BEGIN; SELECT mq.dequeue('q'); ROLLBACK;
SELECT mq.pop('q');
\warn @@ outlived
SELECT mq.enqueue('q', 'x', priority => 0, ttl => 0.001), mq.enqueue('q', 'x', priority => 0);
SELECT pg_sleep(0.002);
SELECT mq.pop('q');
\warn @@ enqueue_delayed
SELECT mq.enqueue('q', 'x', delay => 0.001);
SELECT pg_sleep(0.002);
\warn @@ promotion
SELECT mq._promote_queue('q', clock_timestamp() - interval '1 s', true);
\warn @@ doze
SELECT mq.doze('q', false, clock_timestamp() - interval '1 s');
SELECT mq.awake('q');
\warn @@ get
SELECT mq.get(id), mq.cancel(id) FROM mq.enqueue('q', 'x') id;
SELECT mq.get(0);
\warn @@ cancel
SELECT mq.cancel(id) FROM mq.enqueue('q', 'x') id;
\warn @@ receive
SELECT mq.enqueue_many('q', '{a,b,c,d,e,f,g,h}');
SELECT array_agg(id) AS ids, array_agg(attempts) AS attempts FROM mq.receive('q', 8, 60) \gset
\warn @@ keep
SELECT mq._keep(:'ids', :'attempts', array_fill(60000::bigint, '{8}'));
SELECT mq._keep(:'ids', array_fill(77, '{8}'), array_fill(60000::bigint, '{8}'));
\warn @@ ack_lease
SELECT mq.ack((:'ids'::bigint[])[1], (:'attempts'::integer[])[1]);
SELECT mq.ack_many((:'ids'::bigint[])[2:3], (:'attempts'::integer[])[2:3]);
\warn @@ extend
SELECT mq.extend((:'ids'::bigint[])[4], (:'attempts'::integer[])[4], 60);
\warn @@ release
SELECT mq.release((:'ids'::bigint[])[4], (:'attempts'::integer[])[4]);
\warn @@ nack_lease
SELECT mq.nack_many((:'ids'::bigint[])[5:6], (:'attempts'::integer[])[5:6], 'e');
SELECT mq.nack((:'ids'::bigint[])[7], (:'attempts'::integer[])[7], 'e', delay => 0.001);
SELECT mq.nack((:'ids'::bigint[])[8], (:'attempts'::integer[])[8], 'e', requeue => false);
\warn @@ stale
SELECT mq.ack((:'ids'::bigint[])[8], (:'attempts'::integer[])[8]), mq.ack((:'ids'::bigint[])[1], 7);
\warn @@ short_lease
SELECT mq.enqueue('q', 'x', priority => 0, requeue_priority => 1000);
SELECT mq.receive('q', 1, 0.001);
SELECT mq.enqueue('q', 'x', delay => 0.001, ttl => 0.001);
SELECT pg_sleep(0.002);
\warn @@ expiry
SELECT mq._promote_queue('q', clock_timestamp() - interval '1 s', true);
\warn @@ unique
SELECT mq.enqueue_unique('q', 'x', gen_random_uuid()::text);
\warn @@ unique_again
SELECT mq.enqueue_unique('q', 'x', 'the same');
SELECT mq.enqueue_unique('q', 'x', 'the same');
\warn @@ unique_window
SELECT mq.enqueue_unique('q', 'x', gen_random_uuid()::text, 0.001);
\warn @@ unique_expired
SELECT mq.enqueue_unique('q', 'x', 'brief', ttl => 0.001);
SELECT pg_sleep(0.002);
SELECT mq.enqueue_unique('q', 'x', 'brief', ttl => 0.001);
\warn @@ forget
BEGIN; SELECT mq._forget(mq.enqueue('q', 'x'), true); COMMIT;
\warn @@ ordered
SELECT mq.enqueue('q', 'x', order_key => 'a', priority => 0), mq.enqueue('q', 'x', order_key => 'a', priority => 0);
\warn @@ ordered_receive
SELECT id, attempts FROM mq.receive('q', 1, 60) \gset
\warn @@ ordered_ack
SELECT mq.ack(:id, :attempts);
\warn @@ ordered_pop
SELECT mq.pop('q');
\warn @@ reschedule
SELECT mq.reschedule(id, 0) FROM mq.enqueue('q', 'x', delay => 600) id;
\warn @@ cancel_delayed
SELECT mq.cancel(id) FROM mq.enqueue('q', 'x', delay => 600) id;
\warn @@ reschedule_unknown
SELECT mq.reschedule(0, 0);
\warn @@ receive_id
SELECT mq.receive_id(id, 0.001) FROM mq.enqueue('s', 'x') id;
\warn @@ brief
SELECT mq.enqueue('s', 'x', ttl => 0.001);
SELECT pg_sleep(0.002);
\warn @@ clean
SELECT mq.clean('s');
\warn @@ dead_letters
SELECT mq.enqueue('s', 'x', order_key => 'a'), mq.enqueue('s', 'x');
SELECT array_agg(id) AS dead FROM (SELECT m.id, mq.nack(m.id, m.attempts, 'e', false) FROM mq.dequeue('s', 2) m) m \gset
\warn @@ requeue_dead
SELECT mq.requeue_dead('s', :'dead');
\warn @@ purge_dead
SELECT mq.nack(id, attempts, 'e', false) FROM mq.dequeue('s', 2);
SELECT mq.purge_dead('s');
\warn @@ drop
SELECT mq.enqueue('d', 'x');
SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('d');
\warn @@ cursor
SELECT last_value AS head FROM mq.position \gset
SELECT mq.enqueue('q', 'x'), mq.enqueue('q', 'x');
BEGIN;
EXECUTE claim(1, 0, '{999}', ARRAY[:head], NULL) \gset
SELECT mq._ack(:id);
EXECUTE claim(1, 0, '{5,999}', ARRAY[:head, :head], NULL) \gset
SELECT mq._nack(:id, :attempts, 'e', NULL, NULL);
COMMIT;
\warn @@ cursor_pop
SELECT last_value AS head FROM mq.position \gset
SELECT mq.enqueue_many('q', '{a,b,c,d,e,f,g,h}');
EXECUTE claim(8, 1, '{999}', ARRAY[:head], NULL);
\warn @@ cursor_lease
SELECT last_value AS head FROM mq.position \gset
SELECT mq.enqueue('q', 'x');
EXECUTE claim(1, 2, '{999}', ARRAY[:head], NULL) \gset
SELECT mq.ack(:id, :attempts);
\warn @@ one
SELECT last_value AS head FROM mq.position \gset
SELECT mq.enqueue_many('q', '{a,b,c}');
BEGIN;
SELECT id FROM mq._claim_one('q', 0::smallint, NULL, 999, :head, NULL, NULL) \gset
SELECT mq._ack(:id);
COMMIT;
SELECT id FROM mq._claim_one('q', 1::smallint, NULL, 999, :head, NULL, NULL);
SELECT id, attempts FROM mq._claim_one('q', 2::smallint, NULL, 999, :head, NULL, NULL) \gset
SELECT mq.ack(:id, :attempts);
\warn @@ one_of
SELECT last_value AS head FROM mq.position \gset
SELECT mq.enqueue_many('q', '{a,b,c}');
BEGIN;
SELECT id FROM mq._claim_one('q', 0::smallint, NULL, 5, :head, '{5,999}', ARRAY[:head, :head]) \gset
SELECT mq._ack(:id);
COMMIT;
SELECT id FROM mq._claim_one('q', 1::smallint, NULL, 5, :head, '{5,999}', ARRAY[:head, :head]);
SELECT id, attempts FROM mq._claim_one('q', 2::smallint, NULL, 5, :head, '{5,999}', ARRAY[:head, :head]) \gset
SELECT mq.ack(:id, :attempts);
\warn @@ cursor_due
SELECT last_value AS head FROM mq.position \gset
SELECT mq.enqueue('q', 'x', delay => 0.001);
SELECT pg_sleep(0.002);
EXECUTE claim(8, 1, '{999}', ARRAY[:head], clock_timestamp() - interval '1 s');
\warn @@ cursor_empty
SELECT last_value AS head FROM mq.position \gset
EXECUTE claim(8, 0, '{999}', ARRAY[:head], clock_timestamp() - interval '1 s');
\warn @@ stuck
SELECT mq.enqueue('s', 'x', order_key => 'a'), mq.enqueue('s', 'x', order_key => 'a');
SELECT mq._unblock(id) FROM mq.queue WHERE name = 's';
\warn @@ purge
SELECT mq.purge('s');
\warn @@ topic_publish
SELECT mq.topic_publish('t', 'x');
SELECT mq.topic_publish('own', 'x');
\warn @@ topic_publish_many
SELECT mq.topic_publish_many('t', '{a,b,c}');
\warn @@ topic_next
SELECT position AS here FROM mq.topic_subscribe('t') \gset
SELECT mq.topic_publish_many('t', '{a,b,c}');
SELECT position AS here FROM mq.topic_next('t', :'here', 2) ORDER BY id DESC LIMIT 1 \gset
SELECT count(*) FROM mq.topic_next('t', :'here', 9);
SELECT count(*) FROM mq.topic_next('t', 'now');
\warn @@ topic_durable
SELECT number, position AS here FROM mq.topic_subscribe('t', 'd') \gset
SELECT position AS here FROM mq.topic_latest('t', :'here') \gset
SELECT mq.topic_commit('t', 'd', :number, :'here');
SELECT c.code FROM mq.topic_subscriber s, mq._topic_commit(s.id, -1, 'x') c WHERE s.name = 'd';
SELECT r.number FROM mq.topic_subscriber s, mq._topic_rewind(s.id) r WHERE s.name = 'd';
\warn @@ topic_oldest
SELECT count(*) FROM mq.topic_next('t', 'oldest', 3);
\warn @@ topic_latest
SELECT kind FROM mq.topic_latest('t');
\warn @@ topic_turned
SELECT format('4:%s:%s', pg_snapshot_xmax(pg_current_snapshot()), string_agg(x::text, ',' ORDER BY x)) AS here
FROM generate_series(4, 23) x \gset
SELECT count(*) FROM mq.topic_next('t', :'here', 9);
SELECT count(*) FROM mq.topic_latest('t', :'here');
