-- Dead letters: list them with mq.list(queue, 'dead').

CREATE OR REPLACE FUNCTION mq._requeue_dead(
    queue text, ids bigint[], OUT code text, OUT detail text, OUT requeued bigint
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    q record;
    o mq.outcome;
BEGIN
    q := mq._open_for_send(queue, false);
    IF q.id IS NULL THEN
        o := mq._no_queue(queue);
        code := o.code;
        detail := o.detail;
        RETURN;
    END IF;
    WITH back AS (
        DELETE FROM mq.dead_letter d
        WHERE d.queue_id = q.id AND (ids IS NULL OR d.id = ANY (ids))
        RETURNING d.*
    )
    INSERT INTO mq.message (id, position, sent, queue_id, priority, attempts, errors, state, kind,
                            expires, first_received, headers, last_error, payload)
    SELECT b.id, nextval('mq.position'), b.sent, b.queue_id, b.priority, b.attempts, 0, 0, b.kind,
           b.expires, b.first_received, b.headers, b.last_error, b.payload
    FROM (SELECT * FROM back ORDER BY died, id) b;
    GET DIAGNOSTICS requeued = ROW_COUNT;
    IF requeued > 0 THEN
        PERFORM mq._ring(q.class, q.id);
    END IF;
END $$;

-- Dead letters go back to the tail of their queue, with a clean error count; their attempts and last
-- error stay. ids: which ones; NULL: all. How many did.
CREATE OR REPLACE FUNCTION mq.requeue_dead(queue text, ids bigint[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._requeue_dead(queue, ids);
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
