-- Settling what a scope has taken.

-- One failed attempt: the message goes to the tail of its priority, or to the dead letters when
-- its errors have reached the queue's limit. The row is locked by this transaction.
CREATE OR REPLACE FUNCTION mq._count_failure(message_id bigint, reason text) RETURNS text
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    m record;
BEGIN
    SELECT t.queue_id, t.errors + 1 AS errors, q.error_limit INTO m
    FROM mq.message t JOIN mq.queue q ON q.id = t.queue_id WHERE t.id = message_id;
    IF m.errors >= m.error_limit THEN
        WITH gone AS (DELETE FROM mq.message t WHERE t.id = message_id RETURNING t.*)
        INSERT INTO mq.dead_letter (id, sent, queue_id, priority, attempts, errors, kind, expires,
                                    first_received, headers, last_error, payload)
        SELECT g.id, g.sent, g.queue_id, g.priority, g.attempts + 1, m.errors, g.kind, g.expires,
               COALESCE(g.first_received, clock_timestamp()), g.headers, left(reason, 10000), g.payload
        FROM gone g;
        RETURN 'dead';
    END IF;
    -- A new row, not an update: that would hand this transaction's lock on to the new version.
    WITH gone AS (DELETE FROM mq.message t WHERE t.id = message_id RETURNING t.*)
    INSERT INTO mq.message (id, position, sent, queue_id, priority, attempts, errors, state, kind, due,
                            expires, first_received, headers, last_error, payload)
    SELECT g.id, nextval('mq.position'), g.sent, g.queue_id, g.priority, g.attempts + 1, m.errors, g.state, g.kind, g.due,
           g.expires, COALESCE(g.first_received, clock_timestamp()), g.headers, left(reason, 10000), g.payload
    FROM gone g;
    PERFORM mq._returned(m.queue_id);
    RETURN 'returned';
END $$;

-- For the library, whose transaction holds the row; if it does not, the transaction must not commit.
CREATE OR REPLACE FUNCTION mq._ack(message_id bigint) RETURNS void
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    DELETE FROM mq.message m WHERE m.id = message_id;
    IF NOT FOUND THEN
        PERFORM mq._raise('MQ005', format('message %s is not held by this transaction any more', message_id));
    END IF;
END $$;

-- 'returned' or 'dead'; NULL if the attempt is not the message's current one: it was settled or
-- counted before, or another consumer has it.
CREATE OR REPLACE FUNCTION mq._nack(message_id bigint, attempt integer, error text) RETURNS text
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    PERFORM FROM mq.message m
    WHERE m.id = message_id AND m.attempts = attempt - 1
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN mq._count_failure(message_id, error);
END $$;

-- Ends a dequeue scope's message well: it is deleted with the transaction's commit. false if
-- this transaction does not hold the message at this attempt.
CREATE OR REPLACE FUNCTION mq.ack(message_id bigint, attempt integer) RETURNS boolean
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    PERFORM FROM mq.message m
    WHERE m.id = message_id AND m.attempts = attempt - 1 AND mq._holder(m.xmax) = 'held'
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM mq._ack(message_id);
    RETURN true;
END $$;

-- Ends it badly: the error is counted, and the message goes to the tail of its priority or, at the
-- queue's error limit, to the dead letters. false as for ack.
CREATE OR REPLACE FUNCTION mq.nack(message_id bigint, attempt integer, error text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    PERFORM FROM mq.message m WHERE m.id = message_id AND mq._holder(m.xmax) = 'held';
    RETURN FOUND AND mq._nack(message_id, attempt, error) IS NOT NULL;
END $$;
