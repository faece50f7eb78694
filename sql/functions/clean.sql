-- Tidying on request. Delivery never needs it: consumers find what is due, and nothing outdated is handed out.

CREATE OR REPLACE FUNCTION mq._clean(only_queue text)
RETURNS TABLE (code text, detail text, queue text, promoted bigint, returned bigint, expired bigint, windows bigint)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    at timestamptz;  -- as an expression it would be tested on every row: it is volatile
    q record;
    o mq.outcome;
    p record;
    m record;
BEGIN
    IF only_queue IS NOT NULL AND NOT EXISTS (SELECT FROM mq.queue t WHERE t.name = only_queue) THEN
        o := mq._no_queue(only_queue);
        code := o.code;
        detail := o.detail;
        RETURN NEXT;
        RETURN;
    END IF;
    FOR q IN SELECT t.id, t.name, t.tableoid::integer AS class FROM mq.queue t
             WHERE only_queue IS NULL OR t.name = only_queue ORDER BY t.id LOOP
        PERFORM pg_advisory_xact_lock_shared(q.class, q.id * 4 + 2);
        queue := q.name;
        at := clock_timestamp();
        promoted := 0;
        returned := 0;
        expired := 0;
        LOOP
            p := mq._promote(q.id, '-infinity', 10000, false);
            promoted := promoted + p.promoted;
            returned := returned + p.returned;
            expired := expired + p.expired;
            EXIT WHEN p.due_mark IS NOT NULL OR p.promoted + p.returned + p.expired = 0;
        END LOOP;
        PERFORM mq._unblock(q.id);
        FOR m IN SELECT t.id, t.order_key, t.state, t.xmax AS holder FROM mq.message t
                 WHERE t.queue_id = q.id AND t.expires <= at AND t.expires IS NOT NULL AND t.state + 0 <> 2
                   AND NOT (t.state + 0 = 0 AND mq._holder(t.xmax) = 'held')
                 ORDER BY t.expires FOR NO KEY UPDATE SKIP LOCKED LOOP
            CONTINUE WHEN m.state = 0 AND mq._holder(m.holder) = 'held';
            PERFORM mq._withdraw(m.id);
            PERFORM mq._advance(q.id, m.order_key);
            expired := expired + 1;
        END LOOP;
        DELETE FROM mq.dedup_window d WHERE d.queue_id = q.id AND d.until < at;
        GET DIAGNOSTICS windows = ROW_COUNT;
        IF promoted + returned > 0 THEN
            PERFORM mq._ring(q.class, q.id);
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- In one queue, or in all: makes ready what is due (promoted), takes back what was leased for too long (returned), and
-- deletes messages past their time to live (expired) and dedup windows that are over (windows). Safe beside consumers.
CREATE OR REPLACE FUNCTION mq.clean(queue text DEFAULT NULL)
RETURNS TABLE (name text, promoted bigint, returned bigint, expired bigint, windows bigint)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM mq._clean(queue) LOOP
        PERFORM mq._raise(r.code, r.detail);
        name := r.queue;
        promoted := r.promoted;
        returned := r.returned;
        expired := r.expired;
        windows := r.windows;
        RETURN NEXT;
    END LOOP;
END $$;
