-- Looking without touching, and taking a message back. These scan: their cost grows with the queue.

-- state: ready, delayed, blocked, in_flight or dead; the order is that of delivery, of falling due, of
-- sending, of delivery with the leased ones last, of dying. A first row with a code, or any number of messages.
CREATE OR REPLACE FUNCTION mq._list(queue text, wanted text, max_count integer, skip integer)
RETURNS TABLE (
    code text, detail text, state text, id bigint, priority integer, attempts integer, errors integer,
    kind smallint, sent timestamptz, due timestamptz, first_received timestamptz, expires timestamptz,
    died timestamptz, headers text, last_error text, payload bytea, reason text, order_key text, dedup_key text
)
LANGUAGE plpgsql ROWS 100
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    qid integer;
    o mq.outcome;
BEGIN
    IF wanted IS NULL OR wanted NOT IN ('ready', 'delayed', 'blocked', 'in_flight', 'dead') THEN
        o := mq._outcome('MQ001', format('state "%s" is unknown: ready, delayed, blocked, in_flight or dead is allowed', wanted));
    ELSIF max_count IS NULL OR max_count < 0 OR skip IS NULL OR skip < 0 THEN
        o := mq._outcome('MQ001', format('max_count %s and skip %s must not be negative', max_count, skip));
    ELSE
        SELECT q.id INTO qid FROM mq.queue q WHERE q.name = queue;
        IF NOT FOUND THEN
            o := mq._no_queue(queue);
        END IF;
    END IF;
    IF o.code IS NOT NULL THEN
        code := o.code;
        detail := o.detail;
        RETURN NEXT;
    ELSIF wanted = 'dead' THEN
        RETURN QUERY SELECT NULL, NULL, wanted, d.id, d.priority, d.attempts, d.errors, d.kind, d.sent,
            NULL::timestamptz, d.first_received, d.expires, d.died, d.headers::text, d.last_error, d.payload,
            d.reason, d.order_key, d.dedup_key
        FROM mq.dead_letter d WHERE d.queue_id = qid ORDER BY d.died, d.id LIMIT max_count OFFSET skip;
    ELSIF wanted IN ('delayed', 'blocked') THEN
        RETURN QUERY SELECT NULL, NULL, wanted, m.id, m.priority, m.attempts, m.errors, m.kind, m.sent,
            m.due, m.first_received, m.expires, NULL::timestamptz, m.headers::text, m.last_error, m.payload,
            NULL, m.order_key, m.dedup_key
        FROM mq.message m
        WHERE m.queue_id = qid AND m.state <> 0 AND m.state = CASE wanted WHEN 'delayed' THEN 1 ELSE 3 END
        ORDER BY m.due, m.id LIMIT max_count OFFSET skip;
    ELSE
        RETURN QUERY
        SELECT NULL, NULL, wanted, m.id, m.priority, m.attempts, m.errors, m.kind, m.sent,
            m.due, m.first_received, m.expires, NULL::timestamptz, m.headers::text, m.last_error, m.payload,
            NULL, m.order_key, m.dedup_key
        FROM (
            (SELECT r.* FROM mq.message r
             WHERE r.queue_id = qid AND r.state = 0 AND (mq._holder(r.xmax) = 'held') = (wanted = 'in_flight')
               AND COALESCE(r.expires > clock_timestamp(), true)
             ORDER BY r.priority, r.position)
            UNION ALL
            (SELECT l.* FROM mq.message l
             WHERE wanted = 'in_flight' AND l.queue_id = qid AND l.state <> 0 AND l.state = 2 ORDER BY l.due, l.id)
        ) m LIMIT max_count OFFSET skip;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION mq.list(
    queue text, state text DEFAULT 'ready', max_count integer DEFAULT 100, skip integer DEFAULT 0
) RETURNS SETOF mq.item
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM mq._list(queue, list.state, max_count, skip) LOOP
        PERFORM mq._raise(r.code, r.detail);
        RETURN NEXT (r.id, queue, r.state, r.priority, r.attempts, r.errors, mq._kind(r.kind), r.payload,
                     mq._body(r.kind, r.payload), r.headers::json, r.sent, r.due, r.first_received,
                     r.expires, r.last_error, r.died, r.reason, r.order_key, r.dedup_key)::mq.item;
    END LOOP;
END $$;

-- The messages that the next takers would get; nothing about them changes.
CREATE OR REPLACE FUNCTION mq.peek(queue text, max_count integer DEFAULT 1) RETURNS SETOF mq.item
LANGUAGE sql AS $$ SELECT * FROM mq.list(queue, 'ready', max_count, 0) $$;

CREATE OR REPLACE FUNCTION mq._count(
    queue text, OUT code text, OUT detail text,
    OUT ready bigint, OUT delayed bigint, OUT blocked bigint, OUT in_flight bigint, OUT dead bigint
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    qid integer;
    o mq.outcome;
BEGIN
    SELECT q.id INTO qid FROM mq.queue q WHERE q.name = queue;
    IF NOT FOUND THEN
        o := mq._no_queue(queue);
        code := o.code;
        detail := o.detail;
        RETURN;
    END IF;
    SELECT count(*) FILTER (WHERE NOT s.held), count(*) FILTER (WHERE s.held) INTO ready, in_flight
    FROM (SELECT mq._holder(m.xmax) = 'held' AS held FROM mq.message m
          WHERE m.queue_id = qid AND m.state = 0 AND COALESCE(m.expires > clock_timestamp(), true)) s;
    SELECT count(*) FILTER (WHERE m.state = 1), count(*) FILTER (WHERE m.state = 3),
           in_flight + count(*) FILTER (WHERE m.state = 2) INTO delayed, blocked, in_flight
    FROM mq.message m WHERE m.queue_id = qid AND m.state <> 0;
    SELECT count(*) INTO dead FROM mq.dead_letter d WHERE d.queue_id = qid;
END $$;

-- Exact, by scanning the queue. For numbers at any depth see mq.stats.
CREATE OR REPLACE FUNCTION mq.count(
    queue text, OUT ready bigint, OUT delayed bigint, OUT blocked bigint, OUT in_flight bigint, OUT dead bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._count(queue);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    ready := r.ready;
    delayed := r.delayed;
    blocked := r.blocked;
    in_flight := r.in_flight;
    dead := r.dead;
END $$;

-- Where a message is and how it stands: no row if it is unknown, done, or ready and past its time to live.
CREATE OR REPLACE FUNCTION mq._get(message_id bigint)
RETURNS TABLE (
    queue text, state text, id bigint, priority integer, attempts integer, errors integer,
    kind smallint, sent timestamptz, due timestamptz, first_received timestamptz, expires timestamptz,
    died timestamptz, headers text, last_error text, payload bytea, reason text, order_key text, dedup_key text
)
LANGUAGE plpgsql ROWS 1
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
    RETURN QUERY
    SELECT (SELECT q.name FROM mq.queue q WHERE q.id = m.queue_id),
        CASE WHEN m.state = 0 THEN CASE WHEN mq._holder(m.xmax) = 'held' THEN 'in_flight' ELSE 'ready' END
             WHEN m.state = 1 THEN 'delayed' WHEN m.state = 2 THEN 'in_flight' ELSE 'blocked' END,
        m.id, m.priority, m.attempts, m.errors, m.kind, m.sent, m.due, m.first_received, m.expires,
        NULL::timestamptz, m.headers::text, m.last_error, m.payload, NULL, m.order_key, m.dedup_key
    FROM mq.message m
    WHERE m.id = message_id AND (m.state + 0 <> 0 OR COALESCE(m.expires > clock_timestamp(), true));
    IF NOT FOUND THEN
        RETURN QUERY
        SELECT (SELECT q.name FROM mq.queue q WHERE q.id = d.queue_id), 'dead', d.id, d.priority, d.attempts, d.errors,
            d.kind, d.sent, NULL::timestamptz, d.first_received, d.expires, d.died, d.headers::text, d.last_error,
            d.payload, d.reason, d.order_key, d.dedup_key
        FROM mq.dead_letter d WHERE d.id = message_id;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION mq.get(message_id bigint) RETURNS SETOF mq.item
LANGUAGE sql AS $$
    SELECT (r.id, r.queue, r.state, r.priority, r.attempts, r.errors, mq._kind(r.kind), r.payload,
            mq._body(r.kind, r.payload), r.headers::json, r.sent, r.due, r.first_received,
            r.expires, r.last_error, r.died, r.reason, r.order_key, r.dedup_key)::mq.item
    FROM mq._get(message_id) r
$$;

-- Takes back a message that nobody has taken: true if it was deleted, false if it is unknown or in flight.
CREATE OR REPLACE FUNCTION mq.cancel(message_id bigint) RETURNS boolean
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    m record;
BEGIN
    SELECT t.xmax AS holder, t.state, t.queue_id, t.order_key INTO m FROM mq.message t
    WHERE t.id = message_id AND t.state + 0 <> 2 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND OR m.state = 0 AND mq._holder(m.holder) = 'held' THEN
        RETURN false;
    END IF;
    PERFORM mq._withdraw(message_id);
    IF m.order_key IS NOT NULL THEN
        PERFORM mq._advance(m.queue_id, m.order_key);
    END IF;
    RETURN true;
END $$;
