-- Queues and the settings of the namespace.

CREATE OR REPLACE FUNCTION mq._create_queue(name text, a mq.attributes, if_not_exists boolean) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
DECLARE
    fault text := COALESCE(mq._attributes_fault(a), mq._name_fault(name));
    made integer;
BEGIN
    IF fault IS NOT NULL THEN
        RETURN mq._outcome('MQ001', fault);
    END IF;
    PERFORM mq._lock_attributes(false);
    INSERT INTO mq.queue AS q (name, own, lease_ms, delay_ms, max_size, priority, requeue, requeue_priority, error_limit,
                               ttl_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, retry_jitter, drop_dead)
    SELECT _create_queue.name, mq._given(a), f.* FROM mq._in_force(mq._given(a)) f
    ON CONFLICT ON CONSTRAINT queue_name_key DO NOTHING
    RETURNING q.id INTO made;
    IF FOUND THEN
        PERFORM mq._make_totals(made);
    ELSIF NOT COALESCE(if_not_exists, false) THEN
        RETURN mq._outcome('MQ003', format('queue "%s" exists already; its attributes are untouched', name));
    END IF;
    RETURN NULL;
END $$;

-- Times in seconds, fractions to the millisecond; NULL: as the namespace says.
CREATE OR REPLACE FUNCTION mq.create_queue(
    name text, lease double precision DEFAULT NULL, delay double precision DEFAULT NULL, max_size integer DEFAULT NULL,
    priority integer DEFAULT NULL, requeue boolean DEFAULT NULL, requeue_priority integer DEFAULT NULL,
    error_limit integer DEFAULT NULL, ttl double precision DEFAULT NULL, retry_delay double precision DEFAULT NULL,
    retry_factor double precision DEFAULT NULL, retry_max_delay double precision DEFAULT NULL,
    retry_jitter double precision DEFAULT NULL, drop_dead boolean DEFAULT NULL, if_not_exists boolean DEFAULT false
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._create_queue(name, mq._attributes(
        lease, delay, max_size, priority, requeue, requeue_priority, error_limit, ttl, retry_delay, retry_factor,
        retry_max_delay, retry_jitter, drop_dead), if_not_exists);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;

-- Deletes the messages of a queue up to an id, waiting for the scopes that hold some of them. A rollback is no
-- consumer's death: see _withdraw.
CREATE OR REPLACE FUNCTION mq._withdraw_all(queue_id integer, up_to bigint, OUT waiting bigint, OUT in_flight bigint)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    -- Counted once, in one statement: what consumers settle meanwhile changes its state, and goes all the same.
    SELECT count(*) FILTER (WHERE NOT s.held), count(*) FILTER (WHERE s.held) INTO waiting, in_flight FROM (
        SELECT mq._holder(m.xmax) = 'held' AS held FROM mq.message m
        WHERE m.queue_id = _withdraw_all.queue_id AND m.state = 0 AND m.id + 0 <= up_to
        UNION ALL
        SELECT m.state = 2 FROM mq.message m
        WHERE m.queue_id = _withdraw_all.queue_id AND m.state <> 0 AND m.id + 0 <= up_to) s;
    -- Again and again: what a consumer returns while it is waited for is a new row.
    WHILE EXISTS (SELECT FROM mq.message m WHERE m.queue_id = _withdraw_all.queue_id AND m.state = 0 AND m.id + 0 <= up_to)
       OR EXISTS (SELECT FROM mq.message m WHERE m.queue_id = _withdraw_all.queue_id AND m.state <> 0 AND m.id + 0 <= up_to) LOOP
        PERFORM FROM mq.message m
        WHERE m.queue_id = _withdraw_all.queue_id AND m.state = 0 AND m.id + 0 <= up_to FOR NO KEY UPDATE;
        PERFORM FROM mq.message m
        WHERE m.queue_id = _withdraw_all.queue_id AND m.state <> 0 AND m.id + 0 <= up_to FOR NO KEY UPDATE;
        BEGIN
            DELETE FROM mq.message m WHERE m.queue_id = _withdraw_all.queue_id AND m.state = 0 AND m.id + 0 <= up_to;
            DELETE FROM mq.message m WHERE m.queue_id = _withdraw_all.queue_id AND m.state <> 0 AND m.id + 0 <= up_to;
        EXCEPTION WHEN no_data_found THEN
            RAISE;  -- for the subtransaction's sake: see _holder
        END;
    END LOOP;
END $$;

-- Deletes a queue with all its messages. Waits for the transactions that are sending to it.
CREATE OR REPLACE FUNCTION mq._delete_queue(name text) RETURNS mq.outcome
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    q mq.queue;
    class integer;
BEGIN
    SELECT t.tableoid::integer INTO class FROM mq.queue t WHERE t.name = _delete_queue.name;
    SELECT t.* INTO q FROM mq.queue t WHERE t.name = _delete_queue.name FOR UPDATE;
    IF NOT FOUND THEN
        RETURN mq._no_queue(name);
    END IF;
    PERFORM pg_advisory_xact_lock(class, q.id * 4 + 1);
    PERFORM mq._withdraw_all(q.id, 9223372036854775807);
    DELETE FROM mq.dead_letter d WHERE d.queue_id = q.id;
    DELETE FROM mq.dedup_window d WHERE d.queue_id = q.id;
    DELETE FROM mq.topic_binding b WHERE b.queue_id = q.id;
    DELETE FROM mq.queue t WHERE t.id = q.id;
    PERFORM mq._drop_totals();
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mq.delete_queue(name text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._delete_queue(name);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;

CREATE OR REPLACE FUNCTION mq._purge(
    queue text, OUT code text, OUT detail text, OUT waiting bigint, OUT in_flight bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    q record;
    o mq.outcome;
    w record;
BEGIN
    SELECT t.id INTO q FROM mq.queue t WHERE t.name = queue;
    IF NOT FOUND THEN
        o := mq._no_queue(queue);
        code := o.code;
        detail := o.detail;
        RETURN;
    END IF;
    PERFORM mq._consuming(q.id);
    w := mq._withdraw_all(q.id, (SELECT p.last_value FROM mq.position p));
    PERFORM mq._unblock(q.id);
    waiting := w.waiting;
    in_flight := w.in_flight;
END $$;

-- Deletes all messages of a queue that were sent before, dead letters aside; it waits for the transactions that hold
-- some of them. How many waited, and how many were in flight.
CREATE OR REPLACE FUNCTION mq.purge(queue text, OUT waiting bigint, OUT in_flight bigint)
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._purge(queue);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    waiting := r.waiting;
    in_flight := r.in_flight;
END $$;

-- A paused queue takes messages and hands out none. What is in flight is settled as ever.
CREATE OR REPLACE FUNCTION mq._pause(queue text, pause boolean) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
DECLARE
    q record;
BEGIN
    UPDATE mq.queue t SET paused = pause, modified = clock_timestamp()
    WHERE t.name = queue AND t.paused <> pause
    RETURNING t.id, t.tableoid::integer AS class INTO q;
    IF NOT FOUND THEN
        IF NOT EXISTS (SELECT FROM mq.queue t WHERE t.name = queue) THEN
            RETURN mq._no_queue(queue);
        END IF;
    ELSIF NOT pause THEN
        -- What waits is made available: as a producer does.
        PERFORM pg_advisory_xact_lock_shared(q.class, q.id * 4 + 1);
        PERFORM mq._ring(q.class, q.id);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mq.pause(queue text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._pause(queue, true);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;

CREATE OR REPLACE FUNCTION mq.resume(queue text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._pause(queue, false);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;

-- For the library: own_bits has a bit for each attribute that the queue itself sets, in the order of the type.
CREATE OR REPLACE FUNCTION mq._queues(queue text)
RETURNS TABLE (
    name text, lease_ms bigint, delay_ms bigint, max_size integer, priority integer, requeue boolean,
    requeue_priority integer, error_limit integer, ttl_ms bigint, retry_delay_ms bigint, retry_factor double precision,
    retry_max_delay_ms bigint, retry_jitter double precision, drop_dead boolean, paused boolean, own_bits integer,
    created timestamptz, modified timestamptz
)
LANGUAGE sql STABLE AS $$
    SELECT q.name, q.lease_ms, q.delay_ms, q.max_size, q.priority, q.requeue, q.requeue_priority, q.error_limit, q.ttl_ms,
           q.retry_delay_ms, q.retry_factor, q.retry_max_delay_ms, q.retry_jitter, q.drop_dead, q.paused,
           (SELECT COALESCE(sum(1 << (a.n - 1)::integer), 0)::integer FROM unnest(
               '{lease_ms,delay_ms,max_size,priority,requeue,requeue_priority,error_limit,ttl_ms,retry_delay_ms,
                 retry_factor,retry_max_delay_ms,retry_jitter,drop_dead}'::text[]) WITH ORDINALITY AS a (name, n)
            WHERE q.own ? a.name),
           q.created, q.modified
    FROM mq.queue q WHERE _queues.queue IS NULL OR q.name = _queues.queue ORDER BY q.name
$$;

-- The attributes in force, in the units in which they are set; own: which of them the queue sets itself.
-- queue: that one alone, or nothing; NULL: all.
CREATE OR REPLACE FUNCTION mq.list_queues(queue text DEFAULT NULL)
RETURNS TABLE (
    name text, lease double precision, delay double precision, max_size integer, priority integer, requeue boolean,
    requeue_priority integer, error_limit integer, ttl double precision, retry_delay double precision,
    retry_factor double precision, retry_max_delay double precision, retry_jitter double precision, drop_dead boolean,
    paused boolean, own text[], created timestamptz, modified timestamptz
)
LANGUAGE sql STABLE AS $$
    SELECT q.name, mq._seconds(q.lease_ms), mq._seconds(q.delay_ms), q.max_size, q.priority, q.requeue,
           q.requeue_priority, q.error_limit, mq._seconds(q.ttl_ms), mq._seconds(q.retry_delay_ms),
           q.retry_factor, mq._seconds(q.retry_max_delay_ms), q.retry_jitter, q.drop_dead, q.paused,
           ARRAY(SELECT regexp_replace(k, '_ms$', '') FROM jsonb_object_keys(q.own) k ORDER BY 1),
           q.created, q.modified
    FROM mq.queue q WHERE list_queues.queue IS NULL OR q.name = list_queues.queue ORDER BY q.name
$$;

-- Whether a send to an unknown queue creates it with the attributes of the namespace.
CREATE OR REPLACE FUNCTION mq.set_auto_create(enabled boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF enabled IS NULL THEN
        PERFORM mq._raise('MQ001', 'auto_create must be true or false');
    END IF;
    UPDATE mq.namespace SET auto_create = enabled;
END $$;

-- Every queue, topic, message and dead letter goes; settings and grants stay.
CREATE OR REPLACE FUNCTION mq.reset() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- First: whoever tends the logs looks at what is truncated here.
    PERFORM pg_advisory_xact_lock('mq.topic_segment'::regclass::oid::integer, 0);
    TRUNCATE mq.queue, mq.message, mq.dead_letter, mq.dedup_window,
             mq.topic_message, mq.topic_subscriber, mq.topic_position, mq.topic_binding;
    PERFORM mq._drop_totals();
    PERFORM mq._drop_log(l.id) FROM mq.topic_log l WHERE l.topic <> '';
END $$;
