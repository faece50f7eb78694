-- The doorbell: a producer notifies only if somebody sleeps. See docs/design.md, "The doorbell".
--
-- Advisory keys (oid of the queue table, 4 * queue id + role):
--   0  sleepers:  held shared, by session, by whoever sleeps or is about to
--   1  producers: held shared, to the end of the transaction, by whoever has made a message available
--   2  consumers: held shared, to the end of the transaction, by whoever has taken one
-- A sleeper announces itself in 0, then waits until it has had 1 and 2 for itself for a moment:
-- whoever came later has seen it and will ring.

CREATE OR REPLACE FUNCTION mq._channel(class integer, queue_id integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT 'pgq_' || class || '_' || queue_id $$;

-- The channel that a queue's bell rings on, for LISTEN; NULL if the queue does not exist.
CREATE OR REPLACE FUNCTION mq.channel(queue text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT mq._channel(q.tableoid::integer, q.id) FROM mq.queue q WHERE q.name = channel.queue
$$;

-- Rings at commit, if anybody sleeps. The caller holds the producers' key.
-- Each test takes and gives back its session lock in one expression: nothing can interrupt it between.
CREATE OR REPLACE FUNCTION mq._ring(class integer, queue_id integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    key integer := queue_id * 4;
BEGIN
    IF pg_try_advisory_lock(class, key) AND pg_advisory_unlock(class, key) THEN
        RETURN;  -- nobody sleeps
    ELSIF pg_try_advisory_lock_shared(class, key) AND pg_advisory_unlock_shared(class, key) THEN
        PERFORM pg_notify('pgq_' || class || '_' || queue_id, '');
    END IF;
    -- Refused both: another producer is asking the same thing, and was alone with the key.
END $$;

-- For a call that returns messages to a queue: takes the producers' key and rings.
CREATE OR REPLACE FUNCTION mq._returned(queue_id integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    class integer;
BEGIN
    SELECT q.tableoid::integer INTO class FROM mq.queue q WHERE q.id = _returned.queue_id;
    IF FOUND THEN
        PERFORM pg_advisory_xact_lock_shared(class, queue_id * 4 + 1);
        PERFORM mq._ring(class, queue_id);
    END IF;
END $$;

-- Announces a sleeper (unless it is announced already) and tells what it must still wait for:
-- producing and consuming say that a transaction that began earlier is in flight.
-- Outside a transaction only. After it, look once more; then sleep. See mq.awake.
CREATE OR REPLACE FUNCTION mq.doze(
    queue text, announced boolean DEFAULT false, due_from timestamptz DEFAULT '-infinity',
    OUT code text, OUT detail text,
    OUT producing boolean, OUT consuming boolean, OUT next_due timestamptz
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    q record;
    o mq.outcome;
BEGIN
    SELECT t.id, t.tableoid::integer AS class INTO q FROM mq.queue t WHERE t.name = queue;
    IF NOT FOUND THEN
        o := mq._no_queue(queue);
        code := o.code;
        detail := o.detail;
        RETURN;
    END IF;
    IF NOT announced THEN
        PERFORM pg_advisory_lock_shared(q.class, q.id * 4);
    END IF;
    producing := NOT (pg_try_advisory_lock(q.class, q.id * 4 + 1) AND pg_advisory_unlock(q.class, q.id * 4 + 1));
    consuming := NOT (pg_try_advisory_lock(q.class, q.id * 4 + 2) AND pg_advisory_unlock(q.class, q.id * 4 + 2));
    SELECT m.due INTO next_due FROM mq.message m
    WHERE m.queue_id = q.id AND m.state <> 0 AND m.due >= due_from
    ORDER BY m.due LIMIT 1;
END $$;

-- Takes back the announcement of mq.doze.
CREATE OR REPLACE FUNCTION mq.awake(queue text) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_unlock_shared(q.tableoid::integer, q.id * 4) FROM mq.queue q WHERE q.name = awake.queue
$$;
