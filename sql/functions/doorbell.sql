-- The doorbell: a producer notifies only if somebody sleeps. See docs/design.md, "The doorbell".
--
-- Advisory keys (oid of the queue table, 4 * queue id + role):
--   0  sleepers:  held shared, by session, by whoever sleeps or is about to
--   1  producers: held shared, to the end of the transaction, by whoever has made a message available
--   2  consumers: held shared, to the end of the transaction, by whoever has taken one
--   3  totals:    held for a moment by a batch that is counted: see stats.sql
-- A sleeper announces itself in 0, then waits until it has had 1 and 2 for itself for a moment:
-- whoever came later has seen it and will ring.

CREATE OR REPLACE FUNCTION mq._channel(class integer, queue_id integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT 'pgq_' || class || '_' || queue_id $$;

CREATE OR REPLACE FUNCTION mq._channel_of(queue text, OUT code text, OUT detail text, OUT channel text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    o mq.outcome;
BEGIN
    SELECT mq._channel(q.tableoid::integer, q.id) INTO channel FROM mq.queue q WHERE q.name = queue;
    IF NOT FOUND THEN
        o := mq._no_queue(queue);
        code := o.code;
        detail := o.detail;
    END IF;
END $$;

-- The channel that a queue's bell rings on, for LISTEN.
CREATE OR REPLACE FUNCTION mq.channel(queue text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    r record := mq._channel_of(queue);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.channel;
END $$;

-- Rings at commit, if anybody sleeps. The caller holds the producers' key. Always true. In two parts, so that the first
-- is inlined: mostly nobody sleeps.
-- Each test takes and gives back its session lock in one expression: nothing can interrupt it between.
CREATE OR REPLACE FUNCTION mq._ring_sleepers(class integer, queue_id integer) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_try_advisory_lock_shared(class, queue_id * 4) AND pg_advisory_unlock_shared(class, queue_id * 4) THEN
        PERFORM pg_notify('pgq_' || class || '_' || queue_id, '');
    END IF;
    -- Refused: another producer is asking the same thing, and was alone with the key.
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION mq._ring(class integer, queue_id integer) RETURNS boolean
LANGUAGE sql AS $$
    SELECT pg_try_advisory_lock(class, queue_id * 4) AND pg_advisory_unlock(class, queue_id * 4)
        OR mq._ring_sleepers(class, queue_id)
$$;

-- Takes the consumers' key.
CREATE OR REPLACE FUNCTION mq._consuming(queue_id integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared('mq.queue'::regclass::oid::integer, queue_id * 4 + 2);
END $$;

-- For a call that returns messages to a queue: takes the consumers' key, as delete_queue, which holds the
-- producers' one, may be waiting for this very transaction; and rings.
CREATE OR REPLACE FUNCTION mq._returned(queue_id integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mq._consuming(queue_id);
    PERFORM mq._ring('mq.queue'::regclass::oid::integer, queue_id);
END $$;

-- In how many milliseconds the next message falls due, delayed or leased, 0 if it is; NULL if none does before due_to.
CREATE OR REPLACE FUNCTION mq._due_in_ms(queue_id integer, due_from timestamptz, due_to timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    next_due timestamptz;
BEGIN
    SELECT m.due INTO next_due FROM mq.message m
    WHERE m.queue_id = _due_in_ms.queue_id AND m.state <> 0 AND m.due >= due_from AND m.due < due_to
    ORDER BY m.due LIMIT 1;
    RETURN CASE WHEN next_due IS NOT NULL
        THEN GREATEST(0, ceil(extract(epoch FROM next_due - clock_timestamp()) * 1000)) END;
END $$;

-- Announces a sleeper (unless it is announced already) and tells what it must still wait for:
-- producing and consuming say that a transaction that began earlier is in flight, and due_in_ms when
-- the next message falls due.
-- Outside a transaction only. After it, look once more; then sleep. See mq.awake.
CREATE OR REPLACE FUNCTION mq.doze(
    queue text, announced boolean DEFAULT false, due_from timestamptz DEFAULT '-infinity',
    OUT code text, OUT detail text,
    OUT producing boolean, OUT consuming boolean, OUT due_in_ms bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    q record;
    o mq.outcome;
BEGIN
    SELECT t.id, t.tableoid::integer AS class, t.paused INTO q FROM mq.queue t WHERE t.name = queue;
    IF NOT FOUND THEN
        o := mq._no_queue(queue);
        code := o.code;
        detail := o.detail;
        RETURN;
    END IF;
    IF announced IS NOT TRUE THEN
        PERFORM pg_advisory_lock_shared(q.class, q.id * 4);
    END IF;
    producing := NOT (pg_try_advisory_lock(q.class, q.id * 4 + 1) AND pg_advisory_unlock(q.class, q.id * 4 + 1));
    consuming := NOT (pg_try_advisory_lock(q.class, q.id * 4 + 2) AND pg_advisory_unlock(q.class, q.id * 4 + 2));
    IF NOT q.paused THEN
        due_in_ms := mq._due_in_ms(q.id, due_from, 'infinity');
    END IF;
END $$;

-- Takes back the announcement of mq.doze.
CREATE OR REPLACE FUNCTION mq.awake(queue text) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_unlock_shared(q.tableoid::integer, q.id * 4) FROM mq.queue q WHERE q.name = awake.queue
$$;

-- The channel that everybody who waits in this namespace listens on, too. No queue has the id 0.
CREATE OR REPLACE FUNCTION mq._shutdown_channel() RETURNS text
LANGUAGE sql STABLE AS $$ SELECT mq._channel('mq.queue'::regclass::oid::integer, 0) $$;

-- Ends every wait in the namespace, with the status SHUTDOWN, when this commits: of listeners, workers, subscribers.
-- Whoever begins to wait later does so.
CREATE OR REPLACE FUNCTION mq.shutdown() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(mq._shutdown_channel(), '');
END $$;
