-- What happens to a message at its time: a delayed one becomes ready, a lease that nobody extended has run out;
-- and what an ordered one does when those before it are gone.

-- Gives a message another row under its id, at the tail. Not an update, which would hand this transaction's lock on
-- to the new version of the row, where it would be taken for a consumer's. error NULL: the last one stays.
CREATE OR REPLACE FUNCTION mq._put_back(
    message_id bigint, state smallint, due timestamptz, priority integer, attempts integer, errors integer, error text
) RETURNS void
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    WITH gone AS (DELETE FROM mq.message m WHERE m.id = message_id RETURNING m.*)
    INSERT INTO mq.message (id, position, sent, queue_id, priority, attempts, errors, state, kind, due, expires,
                            first_received, headers, last_error, payload, lease_ms, requeue, error_limit,
                            requeue_priority, order_key, dedup_key)
    SELECT g.id, nextval('mq.position'), g.sent, g.queue_id, _put_back.priority, _put_back.attempts, _put_back.errors,
           _put_back.state, g.kind, _put_back.due, g.expires,
           CASE WHEN _put_back.attempts > 0 THEN COALESCE(g.first_received, clock_timestamp()) END,
           g.headers, COALESCE(left(error, 10000), g.last_error), g.payload, g.lease_ms, g.requeue, g.error_limit,
           g.requeue_priority, g.order_key, g.dedup_key
    FROM gone g;
END $$;

-- The first message of an order key. Compared as a row: an equality would make the columns constants, and any index
-- would do for the order.
CREATE OR REPLACE FUNCTION mq._first_of_key(queue_id integer, order_key text) RETURNS bigint
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    first record;
BEGIN
    SELECT t.queue_id, t.order_key, t.id INTO first FROM mq.message t
    WHERE (t.queue_id, t.order_key) >= (_first_of_key.queue_id, _first_of_key.order_key) AND t.order_key IS NOT NULL
    ORDER BY t.queue_id, t.order_key, t.id LIMIT 1;
    RETURN CASE WHEN first.queue_id = queue_id AND first.order_key = order_key THEN first.id END;
END $$;

-- A message of an order key is gone: the next of the key becomes ready. One that is ready already and that nobody has is
-- put at the tail too, since cursors may have passed it while it could not be taken.
CREATE OR REPLACE FUNCTION mq._advance(queue_id integer, order_key text) RETURNS boolean
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    next bigint;
    m record;
BEGIN
    IF order_key IS NULL THEN
        RETURN false;
    END IF;
    -- Before the look: a sleeper that finds nobody at work has been seen by it, or will see what comes of it.
    PERFORM mq._consuming(queue_id);
    next := mq._first_of_key(queue_id, order_key);
    SELECT t.id, t.state, t.priority, t.attempts, t.errors INTO m FROM mq.message t
    WHERE t.id = next AND (t.state + 0 = 3 OR t.state + 0 = 0 AND t.xmax = '0'::xid)
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    BEGIN
        PERFORM mq._put_back(m.id, 0::smallint, NULL, m.priority, m.attempts, m.errors, NULL);
    EXCEPTION WHEN no_data_found THEN
        RAISE;  -- for the subtransaction's sake: see _holder
    END;
    PERFORM mq._returned(queue_id);
    RETURN true;
END $$;

-- The first message of an order key that waits to be advanced, behind the key given; NULL: none. There is one only if
-- its sender did not see that the one before it was just going.
CREATE OR REPLACE FUNCTION mq._next_stuck(queue_id integer, after text) RETURNS text
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    -- Most queues have no blocked message: they stand at the end of the index of due times.
    PERFORM FROM mq.message t WHERE t.queue_id = _next_stuck.queue_id AND t.state <> 0 AND t.due IS NULL LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- From the first message of a key to that of the next one.
    RETURN (WITH RECURSIVE head AS (
        (SELECT t.order_key, t.state FROM mq.message t
         WHERE t.queue_id = _next_stuck.queue_id AND t.order_key > after AND t.order_key IS NOT NULL
         ORDER BY t.queue_id, t.order_key, t.id LIMIT 1)
        UNION ALL
        SELECT n.order_key, n.state FROM head h CROSS JOIN LATERAL (
            SELECT t.order_key, t.state FROM mq.message t
            WHERE t.queue_id = _next_stuck.queue_id AND t.order_key > h.order_key AND t.order_key IS NOT NULL
            ORDER BY t.queue_id, t.order_key, t.id LIMIT 1) n
    ) SELECT h.order_key FROM head h WHERE h.state = 3 LIMIT 1);
END $$;

CREATE OR REPLACE FUNCTION mq._unblock(queue_id integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    key text := '';
    n integer := 0;
BEGIN
    LOOP
        key := mq._next_stuck(queue_id, key);
        EXIT WHEN key IS NULL;
        n := n + mq._advance(queue_id, key)::integer;
    END LOOP;
    RETURN n;
END $$;

-- Does what is due, oldest first, for at most max_count messages; with urgent, of the oldest 1,000 those of the first
-- priorities, so that a transaction that may stay open hides no more than it needs. due_in_ms: when the next falls
-- due, NULL if none does within 100 ms; due_mark: from where to look the next time, NULL if there is more.
CREATE OR REPLACE FUNCTION mq._promote(
    queue_id integer, due_from timestamptz, max_count integer, urgent boolean,
    OUT promoted integer, OUT returned integer, OUT expired integer, OUT due_in_ms bigint, OUT due_mark timestamptz
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    ids bigint[];
    at timestamptz := clock_timestamp();
    m record;
BEGIN
    promoted := 0;
    returned := 0;
    expired := 0;
    IF urgent THEN
        ids := ARRAY(
            SELECT s.id FROM (
                SELECT t.id, t.priority, t.due FROM mq.message t
                WHERE t.queue_id = _promote.queue_id AND t.state <> 0 AND t.due >= due_from AND t.due <= at
                ORDER BY t.due LIMIT GREATEST(max_count, 1000)) s
            ORDER BY s.priority, s.due, s.id);
    ELSE
        ids := ARRAY(
            SELECT t.id FROM mq.message t
            WHERE t.queue_id = _promote.queue_id AND t.state <> 0 AND t.due >= due_from AND t.due <= at
            ORDER BY t.due LIMIT max_count FOR UPDATE SKIP LOCKED);
    END IF;
    FOR i IN 1 .. cardinality(ids) LOOP
        EXIT WHEN promoted + returned + expired >= max_count;
        SELECT t.id, t.state, t.priority, t.attempts, t.errors, t.expires, t.order_key INTO m
        FROM mq.message t WHERE t.id = ids[i] AND t.state + 0 <> 0 AND t.due <= at FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        IF m.expires <= at THEN
            DELETE FROM mq.message t WHERE t.id = m.id;
            PERFORM mq._advance(queue_id, m.order_key);
            expired := expired + 1;
        ELSIF m.state = 2 THEN
            PERFORM mq._fail(m.id, 'the lease ran out', NULL, NULL);
            returned := returned + 1;
        ELSE
            PERFORM mq._put_back(m.id, mq._state_to_be(queue_id, m.order_key, m.id, NULL), NULL,
                                 m.priority, m.attempts, m.errors, NULL);
            promoted := promoted + 1;
        END IF;
    END LOOP;
    -- Near enough: behind what is near stand the leases that were settled early, dead but not vacuumed perhaps.
    due_in_ms := mq._due_in_ms(queue_id, due_from, at + interval '100 ms');
    IF cardinality(ids) < max_count THEN
        -- The grace is for a transaction that commits later than its message is due.
        due_mark := at - interval '1 s';
    END IF;
END $$;

-- The same for the library, which runs it on its own, outside a scope; with unblock, what is stuck too.
CREATE OR REPLACE FUNCTION mq._promote_queue(
    queue text, due_from timestamptz, unblock boolean, OUT due_in_ms bigint, OUT due_mark timestamptz
)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
    qid integer;
BEGIN
    SELECT q.id INTO qid FROM mq.queue q WHERE q.name = queue;
    IF FOUND THEN
        r := mq._promote(qid, due_from, 1000, false);
        due_in_ms := r.due_in_ms;
        due_mark := r.due_mark;
        IF unblock THEN
            PERFORM mq._unblock(qid);
        END IF;
    END IF;
END $$;
