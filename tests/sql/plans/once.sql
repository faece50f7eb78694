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
