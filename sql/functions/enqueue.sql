-- Sending.

-- The queue to send to, created if that is asked for and allowed, with the producers' key held
-- to the end of the transaction; id is NULL if there is no such queue.
-- A queue that is just being deleted is waited for, and looked up again.
CREATE OR REPLACE FUNCTION mq._open_for_send(
    name text, create_queue boolean,
    OUT id integer, OUT max_size integer, OUT priority integer, OUT class integer
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    LOOP
        SELECT q.id, q.max_size, q.priority, q.tableoid::integer INTO id, max_size, priority, class
        FROM mq.queue q WHERE q.name = _open_for_send.name;
        IF FOUND THEN
            IF pg_try_advisory_xact_lock_shared(class, id * 4 + 1) THEN
                IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
                    -- One snapshot serves the whole transaction: the queue may be gone since. Fails if so.
                    PERFORM FROM mq.queue q WHERE q.id = _open_for_send.id FOR KEY SHARE;
                END IF;
                EXIT;
            END IF;
            PERFORM pg_advisory_xact_lock_shared(class, id * 4 + 1);
        ELSE
            EXIT WHEN mq._name_fault(name) IS NOT NULL
                OR NOT COALESCE(create_queue, (SELECT n.auto_create FROM mq.namespace n));
            PERFORM mq._create_queue(name, NULL, NULL, NULL, true);
        END IF;
    END LOOP;
END $$;

-- kind: 0 binary, 1 text, 2 JSON. Text is taken to be UTF-8: the callers see to it.
-- create_queue: NULL means as the namespace is set.
-- The message joins the caller's transaction; nothing is written unless code is NULL.
CREATE OR REPLACE FUNCTION mq._enqueue(
    queue text, payload bytea, kind smallint, priority integer, delay_ms bigint, ttl_ms bigint,
    headers text, create_queue boolean,
    OUT code text, OUT detail text, OUT id bigint, OUT sent timestamptz
)
LANGUAGE plpgsql AS $$
DECLARE
    q record;
    o mq.outcome;
BEGIN
    q := mq._open_for_send(queue, create_queue);
    IF q.id IS NULL THEN
        o := mq._no_queue(queue);
    ELSE
        o := mq._message_fault(queue, q.max_size, payload, kind, priority, delay_ms, ttl_ms, headers);
    END IF;
    IF o.code IS NOT NULL THEN
        code := o.code;
        detail := o.detail;
        RETURN;
    END IF;
    id := nextval('mq.position');
    sent := clock_timestamp();
    INSERT INTO mq.message (id, position, sent, queue_id, priority, state, kind, due, expires, headers, payload)
    VALUES (_enqueue.id, _enqueue.id, _enqueue.sent, q.id, COALESCE(_enqueue.priority, q.priority),
            CASE WHEN delay_ms > 0 THEN 1 ELSE 0 END, _enqueue.kind,
            CASE WHEN delay_ms > 0 THEN _enqueue.sent + delay_ms * interval '1 ms' END,
            _enqueue.sent + ttl_ms * interval '1 ms', _enqueue.headers::json, _enqueue.payload);
    PERFORM mq._ring(q.class, q.id);
END $$;

-- All or nothing; ids come in input order. An array other than payloads may be NULL, and so may
-- each of its elements. On failure, failed is the 1-based number of the message at fault.
CREATE OR REPLACE FUNCTION mq._enqueue_many(
    queue text, payloads bytea[], kinds smallint[], priorities integer[], delays_ms bigint[],
    ttls_ms bigint[], headers text[], create_queue boolean,
    OUT code text, OUT detail text, OUT failed integer, OUT ids bigint[], OUT sent timestamptz
)
LANGUAGE plpgsql AS $$
DECLARE
    q record;
    o mq.outcome;
    many integer := COALESCE(cardinality(payloads), 0);
    u record;
BEGIN
    q := mq._open_for_send(queue, create_queue);
    IF q.id IS NULL THEN
        o := mq._no_queue(queue);
    ELSE
        -- Not by subscript: to find an element of an array costs as much as there are before it.
        FOR u IN
            SELECT * FROM unnest(payloads, kinds, priorities, delays_ms, ttls_ms, headers) WITH ORDINALITY
                AS m (payload, kind, priority, delay_ms, ttl_ms, headers, i)
        LOOP
            o := mq._message_fault(queue, q.max_size, u.payload, u.kind, u.priority, u.delay_ms, u.ttl_ms, u.headers);
            IF o.code IS NOT NULL THEN
                failed := u.i;
                o.detail := format('message %s of %s: %s', u.i, many, o.detail);
                EXIT;
            END IF;
        END LOOP;
    END IF;
    IF o.code IS NOT NULL THEN
        code := o.code;
        detail := o.detail;
        RETURN;
    END IF;
    sent := clock_timestamp();
    WITH fresh AS (
        SELECT nextval('mq.position') AS id, m.*
        FROM unnest(payloads, kinds, priorities, delays_ms, ttls_ms, headers) WITH ORDINALITY
            AS m (payload, kind, priority, delay_ms, ttl_ms, headers, i)
    ), stored AS (
        INSERT INTO mq.message (id, position, sent, queue_id, priority, state, kind, due, expires, headers, payload)
        SELECT f.id, f.id, _enqueue_many.sent, q.id, COALESCE(f.priority, q.priority),
               CASE WHEN f.delay_ms > 0 THEN 1 ELSE 0 END, COALESCE(f.kind, 0),
               CASE WHEN f.delay_ms > 0 THEN _enqueue_many.sent + f.delay_ms * interval '1 ms' END,
               _enqueue_many.sent + f.ttl_ms * interval '1 ms', f.headers::json, f.payload
        FROM fresh f
    )
    SELECT array_agg(f.id ORDER BY f.i) INTO ids FROM fresh f;
    IF many > 0 THEN
        PERFORM mq._ring(q.class, q.id);
    END IF;
END $$;

-- delay and ttl in seconds, fractions to the millisecond; headers: a JSON object.
CREATE OR REPLACE FUNCTION mq.enqueue(
    queue text, payload bytea, priority integer DEFAULT NULL, delay double precision DEFAULT NULL,
    ttl double precision DEFAULT NULL, headers json DEFAULT NULL, create_queue boolean DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._enqueue(queue, payload, 0::smallint, priority, mq._ms(delay), mq._ms(ttl),
                            headers::text, create_queue);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.id;
END $$;

CREATE OR REPLACE FUNCTION mq.enqueue(
    queue text, payload text, priority integer DEFAULT NULL, delay double precision DEFAULT NULL,
    ttl double precision DEFAULT NULL, headers json DEFAULT NULL, create_queue boolean DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._enqueue(queue, convert_to(payload, 'UTF8'), 1::smallint, priority, mq._ms(delay),
                            mq._ms(ttl), headers::text, create_queue);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.id;
END $$;

CREATE OR REPLACE FUNCTION mq.enqueue(
    queue text, payload json, priority integer DEFAULT NULL, delay double precision DEFAULT NULL,
    ttl double precision DEFAULT NULL, headers json DEFAULT NULL, create_queue boolean DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._enqueue(queue, convert_to(payload::text, 'UTF8'), 2::smallint, priority, mq._ms(delay),
                            mq._ms(ttl), headers::text, create_queue);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.id;
END $$;

-- Many texts at once, with the same options: all or nothing, ids in input order.
CREATE OR REPLACE FUNCTION mq.enqueue_many(
    queue text, payloads text[], priority integer DEFAULT NULL, delay double precision DEFAULT NULL,
    ttl double precision DEFAULT NULL, create_queue boolean DEFAULT NULL
) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    many integer[] := ARRAY[COALESCE(cardinality(payloads), 0)];
    r record;
BEGIN
    r := mq._enqueue_many(
        queue, ARRAY(SELECT convert_to(p.t, 'UTF8') FROM unnest(payloads) WITH ORDINALITY AS p (t, i) ORDER BY p.i),
        array_fill(1::smallint, many), array_fill(priority, many), array_fill(mq._ms(delay), many),
        array_fill(mq._ms(ttl), many), NULL, create_queue);
    PERFORM mq._raise(r.code, r.detail);
    RETURN COALESCE(r.ids, '{}');
END $$;
