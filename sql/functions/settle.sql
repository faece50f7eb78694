-- Settling what was taken, in a scope or by a lease. The attempt is the fence: a consumer that has lost its message, to
-- another one or to the count of a failure, can change nothing about it.

-- One failed attempt: the message goes back, or to the dead letters when its errors have reached the limit or it is not
-- to be requeued. What the message says goes before what its queue says; requeue and delay_ms, unless NULL, before both.
-- The row is locked by this transaction. 'returned', 'dead', or 'dropped'.
CREATE OR REPLACE FUNCTION mq._fail(message_id bigint, error text, requeue boolean, delay_ms bigint) RETURNS text
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    m record;
    death text;
BEGIN
    SELECT t.queue_id, t.order_key, t.errors + 1 AS errors,
           -- A lease was counted when it was given.
           CASE t.state WHEN 2 THEN t.attempts ELSE t.attempts + 1 END AS attempts,
           COALESCE(t.error_limit, q.error_limit) AS error_limit,
           COALESCE(_fail.requeue, t.requeue, q.requeue) AS requeue,
           COALESCE(NULLIF(COALESCE(t.requeue_priority, q.requeue_priority), -1), t.priority) AS priority,
           q.retry_delay_ms, q.retry_factor, q.retry_max_delay_ms, q.retry_jitter, q.drop_dead
    INTO m FROM mq.message t JOIN mq.queue q ON q.id = t.queue_id WHERE t.id = message_id;
    IF m.error_limit > 0 AND m.errors >= m.error_limit THEN
        death := 'error_limit';
    ELSIF NOT m.requeue THEN
        death := 'not_requeued';
    END IF;
    IF death IS NOT NULL THEN
        PERFORM mq._bury(message_id, death, m.attempts, m.errors, error, m.drop_dead);
        PERFORM mq._advance(m.queue_id, m.order_key);
        RETURN CASE WHEN m.drop_dead THEN 'dropped' ELSE 'dead' END;
    END IF;
    delay_ms := COALESCE(delay_ms, mq._retry_delay_ms(m.errors, m.retry_delay_ms, m.retry_factor, m.retry_max_delay_ms,
                                                      m.retry_jitter));
    PERFORM mq._put_back(message_id, CASE WHEN delay_ms > 0 THEN 1 ELSE 0 END::smallint,
                         CASE WHEN delay_ms > 0 THEN clock_timestamp() + delay_ms * interval '1 ms' END,
                         m.priority, m.attempts, m.errors, error);
    PERFORM mq._returned(m.queue_id);
    RETURN 'returned';
END $$;

-- The pause before the attempt that follows so many errors: the delay, times the factor for each error but the
-- first, and that no more than the cap; less a random part of up to the jitter's share of it.
CREATE OR REPLACE FUNCTION mq._retry_delay_ms(
    errors integer, delay_ms bigint, factor double precision, max_delay_ms bigint, jitter double precision
) RETURNS bigint
LANGUAGE sql AS $$
    SELECT CASE WHEN delay_ms > 0 THEN
        (LEAST(GREATEST(max_delay_ms, delay_ms), delay_ms * power(factor, LEAST(errors - 1, 100)))
         * (1 - jitter * random()))::bigint
        ELSE 0 END
$$;

CREATE OR REPLACE FUNCTION mq._bury(
    message_id bigint, reason text, attempts integer, errors integer, error text, drop_it boolean
) RETURNS void
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    IF drop_it THEN
        DELETE FROM mq.message t WHERE t.id = message_id;
        RETURN;
    END IF;
    WITH gone AS (DELETE FROM mq.message t WHERE t.id = message_id RETURNING t.*)
    INSERT INTO mq.dead_letter (id, sent, queue_id, priority, attempts, errors, kind, expires, first_received, headers,
                                last_error, payload, reason, lease_ms, requeue, error_limit, requeue_priority,
                                order_key, dedup_key)
    SELECT g.id, g.sent, g.queue_id, g.priority, _bury.attempts, _bury.errors, g.kind, g.expires,
           COALESCE(g.first_received, clock_timestamp()), g.headers, left(COALESCE(error, g.last_error), 10000),
           g.payload, _bury.reason, g.lease_ms, g.requeue, g.error_limit, g.requeue_priority, g.order_key, g.dedup_key
    FROM gone g;
END $$;

-- For the library, whose transaction holds the row; if it does not, the transaction must not commit.
CREATE OR REPLACE FUNCTION mq._ack(message_id bigint) RETURNS void
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    m record;
BEGIN
    DELETE FROM mq.message t WHERE t.id = message_id RETURNING t.queue_id, t.order_key INTO m;
    IF NOT FOUND THEN
        PERFORM mq._raise('MQ005', format('message %s is not held by this transaction any more', message_id));
    ELSIF m.order_key IS NOT NULL THEN
        PERFORM mq._advance(m.queue_id, m.order_key);
    END IF;
END $$;

-- Locks a message for its consumer: by a lease at this attempt, or taken in this very transaction. 'held', 'stale', or
-- 'not_found'. A lease that has run out is its consumer's until somebody has noticed.
CREATE OR REPLACE FUNCTION mq._hold(message_id bigint, attempt integer) RETURNS text
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    m record;
BEGIN
    SELECT t.state, t.attempts, t.xmax INTO m FROM mq.message t WHERE t.id = message_id;
    IF NOT FOUND THEN
        -- A dead letter was lost to the count of its failure.
        PERFORM FROM mq.dead_letter d WHERE d.id = message_id;
        RETURN CASE WHEN FOUND THEN 'stale' ELSE 'not_found' END;
    ELSIF m.state = 2 THEN
        -- Waits for one who is just finding that the lease has run out.
        PERFORM FROM mq.message t
        WHERE t.id = message_id AND t.state + 0 = 2 AND t.attempts = attempt FOR UPDATE;
    ELSE
        PERFORM FROM mq.message t
        WHERE t.id = message_id AND t.state + 0 = 0 AND t.attempts = attempt - 1 AND mq._holder(t.xmax) = 'held'
        FOR UPDATE SKIP LOCKED;
    END IF;
    RETURN CASE WHEN FOUND THEN 'held' ELSE 'stale' END;
END $$;

CREATE OR REPLACE FUNCTION mq._nack(
    message_id bigint, attempt integer, error text, requeue boolean, delay_ms bigint
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    held text := mq._hold(message_id, attempt);
BEGIN
    RETURN CASE held WHEN 'held' THEN mq._fail(message_id, error, requeue, delay_ms) ELSE held END;
END $$;

-- Gives a message back as it was, at the tail: no failure, but the attempt stays counted.
CREATE OR REPLACE FUNCTION mq._release(message_id bigint, attempt integer) RETURNS text
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    held text := mq._hold(message_id, attempt);
    m record;
BEGIN
    IF held <> 'held' THEN
        RETURN held;
    END IF;
    SELECT t.priority, t.errors, t.queue_id INTO m FROM mq.message t WHERE t.id = message_id;
    PERFORM mq._put_back(message_id, 0::smallint, NULL, m.priority, attempt, m.errors, NULL);
    PERFORM mq._returned(m.queue_id);
    RETURN 'released';
END $$;

CREATE OR REPLACE FUNCTION mq._extend(message_id bigint, attempt integer, lease_ms bigint) RETURNS text
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    held text;
    m record;
BEGIN
    IF lease_ms = 0 THEN
        RETURN mq._release(message_id, attempt);
    END IF;
    held := mq._hold(message_id, attempt);
    IF held <> 'held' THEN
        RETURN held;
    END IF;
    SELECT t.queue_id, t.state, t.due, COALESCE(_extend.lease_ms, t.lease_ms, q.lease_ms) AS lease_ms INTO m
    FROM mq.message t JOIN mq.queue q ON q.id = t.queue_id WHERE t.id = message_id;
    IF m.state = 2 THEN  -- a scope needs no extension
        UPDATE mq.message t SET due = clock_timestamp() + m.lease_ms * interval '1 ms' WHERE t.id = message_id;
        IF clock_timestamp() + m.lease_ms * interval '1 ms' < m.due THEN
            PERFORM mq._returned(m.queue_id);  -- who sleeps until the later time must know
        END IF;
    END IF;
    RETURN 'extended';
END $$;

-- Many at once, in the order of their ids, so that two calls do not wait for each other. One row each, n
-- counted from 1 as they were given. verb: ack, nack, release or extend; only nack looks at error, requeue and
-- delay_ms, only extend at lease_ms.
CREATE OR REPLACE FUNCTION mq._settle(
    verb text, ids bigint[], attempts integer[], error text, requeue boolean, delay_ms bigint, lease_ms bigint
) RETURNS TABLE (code text, detail text, n integer, id bigint, outcome text)
LANGUAGE plpgsql ROWS 10 AS $$
DECLARE
    u record;
BEGIN
    detail := CASE WHEN cardinality(ids) <> cardinality(attempts)
                   THEN format('%s ids need as many attempts, not %s', cardinality(ids), cardinality(attempts))
                   ELSE COALESCE(mq._time_fault('delay', delay_ms, 0), mq._time_fault('lease', lease_ms, 0)) END;
    IF detail IS NOT NULL THEN
        code := 'MQ001';
        RETURN NEXT;
        RETURN;
    ELSIF verb = 'ack' THEN
        RETURN QUERY SELECT * FROM mq._ack_many(ids, attempts);
        RETURN;
    END IF;
    FOR u IN SELECT * FROM unnest(ids, attempts) WITH ORDINALITY AS w (id, attempt, n) ORDER BY w.id LOOP
        n := u.n;
        id := u.id;
        outcome := CASE verb WHEN 'nack' THEN mq._nack(u.id, u.attempt, error, requeue, delay_ms)
                             WHEN 'release' THEN mq._release(u.id, u.attempt)
                             ELSE mq._extend(u.id, u.attempt, lease_ms) END;
        RETURN NEXT;
    END LOOP;
END $$;

-- Messages leased, or locked by this very transaction, go in one statement; those that a subtransaction has locked, and
-- the lost ones, one by one.
CREATE OR REPLACE FUNCTION mq._ack_many(ids bigint[], attempts integer[])
RETURNS TABLE (code text, detail text, n integer, id bigint, outcome text)
LANGUAGE plpgsql ROWS 10
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    mine CONSTANT xid := pg_current_xact_id_if_assigned()::xid;
    m record;
    u record;
    gone bigint[] := '{}';
    gone_attempts integer[] := '{}';
BEGIN
    FOR m IN
        -- Not a join, whose sides change places with the statistics: IS TRUE keeps the subselect a hashed one.
        DELETE FROM mq.message t
        WHERE t.id = ANY (ids) AND (t.state + 0 = 2 OR t.state + 0 = 0 AND t.xmax = mine)
          AND ((t.id, t.attempts + CASE t.state WHEN 2 THEN 0 ELSE 1 END) IN
               (SELECT w.id, w.attempt FROM unnest(_ack_many.ids, _ack_many.attempts) AS w (id, attempt))) IS TRUE
        RETURNING t.id, t.attempts + CASE t.state WHEN 2 THEN 0 ELSE 1 END AS attempts, t.queue_id, t.order_key
    LOOP
        gone := gone || m.id;
        gone_attempts := gone_attempts || m.attempts;
        IF m.order_key IS NOT NULL THEN
            PERFORM mq._advance(m.queue_id, m.order_key);
        END IF;
    END LOOP;
    IF cardinality(gone) = cardinality(ids) THEN
        RETURN QUERY SELECT NULL, NULL, w.n::integer, w.id, 'done' FROM unnest(ids) WITH ORDINALITY AS w (id, n);
        RETURN;
    END IF;
    FOR u IN
        SELECT w.id, w.attempt, w.n, g.id AS gone
        FROM unnest(ids, attempts) WITH ORDINALITY AS w (id, attempt, n)
        LEFT JOIN unnest(gone, gone_attempts) AS g (id, attempt) ON g.id = w.id AND g.attempt = w.attempt
        ORDER BY w.id
    LOOP
        n := u.n;
        id := u.id;
        outcome := CASE WHEN u.gone IS NOT NULL THEN 'done' ELSE mq._hold(u.id, u.attempt) END;
        IF outcome = 'held' THEN
            PERFORM mq._ack(u.id);
            outcome := 'done';
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- For the library's thread that extends leases while handlers run: never waits. 'busy': somebody has the row locked, the
-- handler itself by settling its message, or one who finds that the lease has run out. leases_ms: of the call that gave
-- the lease. left_ms: how long the lease is now.
CREATE OR REPLACE FUNCTION mq._keep(ids bigint[], attempts integer[], leases_ms bigint[])
RETURNS TABLE (n integer, outcome text, left_ms bigint)
LANGUAGE plpgsql ROWS 10
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    u record;
    m record;
BEGIN
    FOR u IN SELECT * FROM unnest(ids, attempts, leases_ms) WITH ORDINALITY AS w (id, attempt, lease_ms, n) LOOP
        n := u.n;
        left_ms := NULL;
        SELECT t.id, t.queue_id, t.lease_ms INTO m FROM mq.message t
        WHERE t.id = u.id AND t.state + 0 = 2 AND t.attempts = u.attempt FOR UPDATE SKIP LOCKED;
        IF FOUND THEN
            outcome := 'extended';
            left_ms := COALESCE(m.lease_ms, u.lease_ms, (SELECT q.lease_ms FROM mq.queue q WHERE q.id = m.queue_id));
            UPDATE mq.message t SET due = clock_timestamp() + left_ms * interval '1 ms' WHERE t.id = u.id;
        ELSE
            PERFORM FROM mq.message t WHERE t.id = u.id AND t.state + 0 = 2 AND t.attempts = u.attempt;
            outcome := CASE WHEN FOUND THEN 'busy' ELSE 'stale' END;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- A message that nobody has becomes ready so many milliseconds from now, 0: now; at the tail of its priority.
CREATE OR REPLACE FUNCTION mq._reschedule(message_id bigint, delay_ms bigint, OUT code text, OUT detail text, OUT outcome text)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    m record;
    at timestamptz;
    new_state smallint;
BEGIN
    detail := CASE WHEN delay_ms IS NULL THEN 'the delay must not be NULL' ELSE mq._time_fault('delay', delay_ms, 0) END;
    IF detail IS NOT NULL THEN
        code := 'MQ001';
        RETURN;
    END IF;
    SELECT t.id, t.queue_id, t.priority, t.attempts, t.errors, t.state, t.order_key, t.xmax AS holder INTO m
    FROM mq.message t WHERE t.id = message_id AND t.state + 0 <> 2 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND OR m.state = 0 AND mq._holder(m.holder) = 'held' THEN
        PERFORM FROM mq.message t WHERE t.id = message_id;
        outcome := CASE WHEN FOUND THEN 'in_flight' ELSE 'not_found' END;
        RETURN;
    END IF;
    IF m.state = 0 AND mq._holder(m.holder) = 'gone' THEN
        PERFORM mq._fail(message_id, 'the consumer died or rolled back', NULL, NULL);
        SELECT r.outcome INTO outcome FROM mq._reschedule(message_id, delay_ms) r;
        RETURN;
    END IF;
    at := CASE WHEN delay_ms > 0 THEN clock_timestamp() + delay_ms * interval '1 ms' END;
    new_state := mq._state_to_be(m.queue_id, m.order_key, m.id, at);
    BEGIN
        PERFORM mq._put_back(m.id, new_state, at, m.priority, m.attempts, m.errors, NULL);
    EXCEPTION WHEN no_data_found THEN
        RAISE;  -- for the subtransaction's sake: see _holder
    END;
    PERFORM mq._returned(m.queue_id);
    outcome := CASE new_state WHEN 0 THEN 'ready' WHEN 1 THEN 'delayed' ELSE 'blocked' END;
END $$;
