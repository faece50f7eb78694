-- What is not done for every message, as steps.sql. All but the first three, and doctor, look at a small queue.
\warn @@ stats
SELECT mq.stats('q');
\warn @@ consumers
SELECT mq.consumers();
\warn @@ clean_large
SELECT mq.clean('m');
\warn @@ browse
SELECT mq.enqueue('s', 'x'), mq.enqueue('s', 'x', delay => 600);
SELECT mq.list('s', state) FROM unnest('{ready,delayed,blocked,in_flight,dead}'::text[]) state;
SELECT mq.peek('s');
\warn @@ count
SELECT mq.count('s');
\warn @@ stats_small
SELECT mq.stats('s');
\warn @@ doctor
SELECT mq.doctor(wait_age => 0, dead_per_hour => 1);
\warn @@ delete_queue
SELECT mq.create_queue('p'), mq.enqueue('p', 'x');
SELECT mq.delete_queue('p');
\warn @@ topic_list
SELECT count(*) FROM mq.topic_list();
\warn @@ topic_subscribers
SELECT position AS here FROM mq.topic_next('t', 'oldest', 3) ORDER BY id DESC LIMIT 1 \gset
SELECT mq.topic_subscribe('t', 'new', :'here');
SELECT count(*) FROM mq.topic_subscribers();
SELECT mq.topic_unsubscribe('t', 'new');
\warn @@ topic_create
SELECT mq._topic_create('t', NULL, NULL, false);
BEGIN;
SELECT mq.topic_create('new', 60, 1000);
SELECT mq.topic_subscribe('new', 'new');
SELECT mq.topic_delete('new');
ROLLBACK;
\warn @@ topic_tend
BEGIN;
UPDATE mq.topic_segment SET sealed = sealed - interval '1 h';
SELECT mq.topic_tend();
ROLLBACK;
