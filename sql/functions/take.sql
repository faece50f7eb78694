-- The public face of taking.

-- For callers in other languages: the next messages, taken and deleted in one step, in order;
-- none is a normal outcome. Commit, and they are done; roll back, and they come back, with the
-- attempt counted. filter: only messages whose headers contain this JSON object.
CREATE OR REPLACE FUNCTION mq.pop(queue text, max_count integer DEFAULT 1, filter jsonb DEFAULT NULL) RETURNS SETOF mq.item
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM mq._take(queue, max_count, 1::smallint, NULL, filter);
END $$;

-- The first half of a dequeue scope: the next messages, locked in this transaction. Do the work in
-- it too, settle each message by ack or nack, then commit. To keep a failed piece of work from
-- undoing the rest, do it behind a SAVEPOINT, roll back to that, and nack.
CREATE OR REPLACE FUNCTION mq.dequeue(queue text, max_count integer DEFAULT 1, filter jsonb DEFAULT NULL) RETURNS SETOF mq.item
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM mq._take(queue, max_count, 0::smallint, NULL, filter);
END $$;

-- The next messages, leased: they are this consumer's for so many seconds from now, whatever becomes of its connection.
-- Commit at once. Settle each by ack, nack or release, with its id and attempts; extend the lease if the work takes
-- longer; else the message comes back when it has run out. due says when that is.
CREATE OR REPLACE FUNCTION mq.receive(
    queue text, max_count integer DEFAULT 1, lease double precision DEFAULT NULL, filter jsonb DEFAULT NULL
) RETURNS SETOF mq.item
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM mq._take(queue, max_count, 2::smallint, mq._ms(lease), filter);
END $$;

CREATE OR REPLACE FUNCTION mq._take(queue text, max_count integer, how smallint, lease_ms bigint, filter jsonb)
RETURNS SETOF mq.item
LANGUAGE plpgsql AS $$
DECLARE
    fault text := mq._take_fault(max_count, lease_ms, filter);
    c record;
    taken boolean := false;
    again boolean := true;
BEGIN
    PERFORM mq._raise(CASE WHEN fault IS NOT NULL THEN 'MQ001' END, fault);
    WHILE again LOOP
        again := false;
        FOR c IN SELECT * FROM mq._claim(queue, max_count, how, lease_ms, filter::text, NULL, NULL, '-infinity',
                                         false, false, false) LOOP
            IF c.id IS NULL THEN
                PERFORM mq._raise(c.code, c.detail);
                again := c.lost > 0 AND NOT taken;
            ELSE
                taken := true;
                RETURN NEXT (c.id, queue, 'in_flight', c.priority, c.attempts, c.errors, mq._kind(c.kind), c.payload,
                             mq._body(c.kind, c.payload), c.headers, c.sent, c.due, c.first_received,
                             c.expires, c.last_error, NULL, NULL, c.order_key, c.dedup_key)::mq.item;
            END IF;
        END LOOP;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION mq._take_fault(max_count integer, lease_ms bigint, filter jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF max_count IS NULL OR max_count NOT BETWEEN 1 AND 100000 THEN
        RETURN format('max_count %s is out of range: 1 to 100000 is allowed', COALESCE(max_count::text, 'NULL'));
    ELSIF jsonb_typeof(filter) <> 'object' THEN
        RETURN 'the filter is not a JSON object';
    END IF;
    RETURN CASE WHEN lease_ms IS NOT NULL THEN mq._time_fault('lease', lease_ms, 0) END;
END $$;

-- Leases one message, if it is ready. outcome: 'received'; 'in_flight'; 'not_found', if there is none or it is not
-- ready; detail says which.
CREATE OR REPLACE FUNCTION mq._receive_id(message_id bigint, lease_ms bigint)
RETURNS TABLE (
    code text, detail text, outcome text, queue text, id bigint, priority integer, attempts integer, errors integer,
    kind smallint, sent timestamptz, due timestamptz, first_received timestamptz, expires timestamptz, headers text,
    last_error text, payload bytea, order_key text, dedup_key text
)
LANGUAGE plpgsql ROWS 1
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    q record;
    r record;
    m record;
BEGIN
    detail := mq._time_fault('lease', lease_ms, 0);
    IF detail IS NOT NULL THEN
        code := 'MQ001';
        RETURN NEXT;
        RETURN;
    END IF;
    outcome := 'not_found';
    SELECT t.name, t.id, t.tableoid::integer AS class, t.lease_ms, t.paused, t.received INTO q
    FROM mq.message s JOIN mq.queue t ON t.id = s.queue_id WHERE s.id = message_id;
    IF q.paused THEN
        detail := format('queue "%s" is paused', q.name);
        RETURN NEXT;
        RETURN;
    ELSIF q.id IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock_shared(q.class, q.id * 4 + 2);
        PERFORM mq._promote(t.queue_id, '-infinity', 1000, false) FROM mq.message t
        WHERE t.id = message_id AND t.state + 0 <> 0 AND t.due <= clock_timestamp();
    END IF;
    SELECT t.state, t.xmax, t.expires, t.order_key, t.queue_id INTO r FROM mq.message t WHERE t.id = message_id;
    IF NOT FOUND THEN
        detail := format('message %s does not exist', message_id);
    ELSIF r.state = 2 OR r.state = 0 AND mq._holder(r.xmax) = 'held' THEN
        outcome := 'in_flight';
        detail := format('message %s is in flight', message_id);
    ELSIF r.state <> 0 OR r.expires <= clock_timestamp()
          OR r.order_key IS NOT NULL AND NOT mq._is_next(r.queue_id, r.order_key, message_id) THEN
        detail := format('message %s is not ready', message_id);
    ELSE
        SELECT t.*, t.xmax AS holder INTO m FROM mq.message t
        WHERE t.id = message_id AND t.state + 0 = 0 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND OR mq._holder(m.holder) = 'held' THEN
            outcome := 'in_flight';
            detail := format('message %s is in flight', message_id);
        ELSIF mq._holder(m.holder) = 'gone' THEN
            detail := format('message %s was lost by its consumer, which is counted now', message_id);
            PERFORM mq._fail(message_id, 'the consumer died or rolled back', NULL, NULL);
        ELSE
            UPDATE mq.message t SET state = 2, attempts = t.attempts + 1,
                   first_received = COALESCE(t.first_received, clock_timestamp()),
                   due = clock_timestamp() + COALESCE(t.lease_ms, _receive_id.lease_ms, q.lease_ms) * interval '1 ms'
            WHERE t.id = message_id RETURNING t.* INTO m;
            PERFORM nextval(q.received);
            outcome := 'received';
            queue := q.name;
            id := m.id;
            priority := m.priority;
            attempts := m.attempts;
            errors := m.errors;
            kind := m.kind;
            sent := m.sent;
            due := m.due;
            first_received := m.first_received;
            expires := m.expires;
            headers := m.headers::text;
            last_error := m.last_error;
            payload := m.payload;
            order_key := m.order_key;
            dedup_key := m.dedup_key;
        END IF;
    END IF;
    RETURN NEXT;
END $$;

-- The same for people: the message, or a row of NULLs but for state, which is then 'in_flight' or 'not_found'.
CREATE OR REPLACE FUNCTION mq.receive_id(message_id bigint, lease double precision DEFAULT NULL) RETURNS mq.item
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    SELECT * INTO r FROM mq._receive_id(message_id, mq._ms(lease));
    PERFORM mq._raise(r.code, r.detail);
    IF r.outcome <> 'received' THEN
        RETURN (NULL, NULL, r.outcome, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, r.detail, NULL,
                NULL, NULL, NULL)::mq.item;
    END IF;
    RETURN (r.id, r.queue, 'in_flight', r.priority, r.attempts, r.errors, mq._kind(r.kind), r.payload,
            mq._body(r.kind, r.payload), r.headers::json, r.sent, r.due, r.first_received, r.expires, r.last_error,
            NULL, NULL, r.order_key, r.dedup_key)::mq.item;
END $$;
