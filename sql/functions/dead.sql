-- Dead letters: list them with mq.list(queue, 'dead').

CREATE OR REPLACE FUNCTION mq._requeue_dead(
    queue text, ids bigint[], target text, OUT code text, OUT detail text, OUT requeued bigint
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    q record;
    source integer;
    o mq.outcome;
    d mq.dead_letter;
BEGIN
    SELECT t.id INTO source FROM mq.queue t WHERE t.name = queue;
    IF NOT FOUND THEN
        o := mq._no_queue(queue);
    ELSE
        q := mq._open_for_send(COALESCE(target, queue), false);
        IF q.id IS NULL THEN
            o := mq._no_queue(COALESCE(target, queue));
        END IF;
    END IF;
    IF o.code IS NOT NULL THEN
        code := o.code;
        detail := o.detail;
        RETURN;
    END IF;
    WITH back AS (
        DELETE FROM mq.dead_letter t
        WHERE t.queue_id = source AND (ids IS NULL OR t.id = ANY (ids)) AND t.order_key IS NULL AND t.dedup_key IS NULL
        RETURNING t.*
    )
    INSERT INTO mq.message (id, position, sent, queue_id, priority, attempts, errors, state, kind, expires,
                            first_received, headers, last_error, payload, lease_ms, requeue, error_limit, requeue_priority)
    SELECT b.id, nextval('mq.position'), b.sent, q.id, b.priority, b.attempts, 0, 0, b.kind, b.expires,
           b.first_received, b.headers, b.last_error, b.payload, b.lease_ms, b.requeue, b.error_limit, b.requeue_priority
    FROM (SELECT * FROM back ORDER BY died, id) b;
    GET DIAGNOSTICS requeued = ROW_COUNT;
    FOR d IN SELECT t.* FROM mq.dead_letter t
             WHERE t.queue_id = source AND (ids IS NULL OR t.id = ANY (ids)) AND num_nonnulls(t.order_key, t.dedup_key) > 0
             ORDER BY t.dedup_key NULLS FIRST, t.id FOR UPDATE LOOP
        INSERT INTO mq.message (id, position, sent, queue_id, priority, attempts, errors, state, kind, expires,
                                first_received, headers, last_error, payload, lease_ms, requeue, error_limit,
                                requeue_priority, order_key, dedup_key)
        VALUES (d.id, nextval('mq.position'), d.sent, q.id, d.priority, d.attempts, 0,
                mq._state_to_be(q.id, d.order_key, d.id, NULL), d.kind, d.expires, d.first_received, d.headers,
                d.last_error, d.payload, d.lease_ms, d.requeue, d.error_limit, d.requeue_priority, d.order_key, d.dedup_key)
        ON CONFLICT (queue_id, dedup_key) WHERE dedup_key IS NOT NULL DO NOTHING;
        IF FOUND THEN
            DELETE FROM mq.dead_letter t WHERE t.id = d.id;
            requeued := requeued + 1;
        END IF;
    END LOOP;
    IF requeued > 0 THEN
        PERFORM mq._ring(q.class, q.id);
    END IF;
END $$;

-- Dead letters go back to the tail of their queue, or of the target, with a clean error count; their attempts and last
-- error stay. ids: which ones; NULL: all. How many did: one stays dead while a message of its dedup key is there.
CREATE OR REPLACE FUNCTION mq.requeue_dead(queue text, ids bigint[] DEFAULT NULL, target text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._requeue_dead(queue, ids, target);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.requeued;
END $$;

CREATE OR REPLACE FUNCTION mq._purge_dead(
    queue text, ids bigint[], OUT code text, OUT detail text, OUT purged bigint
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
    DELETE FROM mq.dead_letter d WHERE d.queue_id = qid AND (ids IS NULL OR d.id = ANY (ids));
    GET DIAGNOSTICS purged = ROW_COUNT;
END $$;

-- Deletes dead letters for good. ids: which ones; NULL: all. How many went.
CREATE OR REPLACE FUNCTION mq.purge_dead(queue text, ids bigint[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._purge_dead(queue, ids);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.purged;
END $$;
