-- Who takes from queues: whose messages are out, and who sleeps for more.

-- For the library: a first row with a code, or one row for each session that takes in a transaction or sleeps, and one a
-- queue for its leases: nothing says whose they are. Of a session's messages those among the first thousand ready ones are
-- seen, of the leases those among the first ten thousand entries that fall due.
CREATE OR REPLACE FUNCTION mq._consumers(only_queue text, max_count integer)
RETURNS TABLE (
    code text, detail text, queue text, activity text, pid integer, role text, application text, client text, message_id bigint,
    messages bigint, age_ms bigint, ends_in_ms bigint
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    o mq.outcome;
BEGIN
    IF only_queue IS NOT NULL AND NOT EXISTS (SELECT FROM mq.queue q WHERE q.name = only_queue) THEN
        o := mq._no_queue(only_queue);
    ELSIF max_count IS NULL OR max_count < 1 THEN
        o := ('MQ001', format('max_count %s is out of range: 1 or more is allowed', COALESCE(max_count::text, 'NULL')));
    END IF;
    IF o.code IS NOT NULL THEN
        code := o.code;
        detail := o.detail;
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
        WITH key AS MATERIALIZED (  -- see doorbell.sql
            SELECT DISTINCT l.pid, (l.objid::bigint / 4)::integer AS queue_id, l.objid::bigint % 4 = 0 AS sleeps
            FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE l.locktype = 'advisory' AND l.classid = 'mq.queue'::regclass::oid AND l.objsubid = 2 AND l.granted
              AND l.objid::bigint % 4 IN (0, 2) AND d.datname = current_database() AND l.pid <> pg_backend_pid()
        ), session AS (
            SELECT k.queue_id, k.sleeps, a.pid, a.usename, a.application_name,
                   CASE WHEN a.client_port >= 0 THEN host(a.client_addr) WHEN a.client_port = -1 THEN 'local' END AS client,
                   a.backend_xid, CASE WHEN k.sleeps THEN a.state_change ELSE a.xact_start END AS since
            FROM key k JOIN pg_stat_activity a ON a.pid = k.pid
        ), found AS (
            SELECT q.name, CASE WHEN s.sleeps THEN 'sleep' ELSE 'scope' END AS activity, s.pid, s.usename::text,
                   s.application_name, s.client, h.first AS message_id, COALESCE(h.n, 0) AS messages, mq._ms_since(s.since) AS age_ms,
                   NULL::bigint AS ends_in_ms
            FROM session s JOIN mq.queue q ON q.id = s.queue_id
            LEFT JOIN LATERAL (
                SELECT count(*) AS n, min(m.id) AS first
                FROM (SELECT t.id, t.xmax FROM mq.message t WHERE t.queue_id = s.queue_id AND t.state = 0
                      ORDER BY t.priority, t.position LIMIT 1000) m
                WHERE NOT s.sleeps AND m.xmax = s.backend_xid) h ON true
            WHERE only_queue IS NULL OR q.name = only_queue
            UNION ALL
            SELECT q.name, 'lease', NULL, NULL, NULL, NULL, h.first, h.n, NULL, GREATEST(0, extract(epoch FROM h.ends - clock_timestamp()) * 1000)::bigint
            FROM mq.queue q CROSS JOIN LATERAL (
                SELECT count(*) AS n, min(m.due) AS ends, (array_agg(m.id ORDER BY m.due, m.id))[1] AS first
                FROM (SELECT t.id, t.due, t.state FROM mq.message t
                      WHERE t.queue_id = q.id AND t.state <> 0 AND t.due >= '-infinity' ORDER BY t.due, t.id LIMIT 10000) m
                WHERE m.state = 2) h
            WHERE (only_queue IS NULL OR q.name = only_queue) AND h.n > 0)
        SELECT NULL, NULL, f.* FROM found f
        ORDER BY f.name, array_position('{scope,lease,sleep}', f.activity), f.age_ms DESC NULLS LAST, f.pid LIMIT max_count;
END $$;

-- Who takes from a queue, or from any: see _consumers. Of other roles' sessions age and client are NULL without
-- pg_read_all_stats.
CREATE OR REPLACE FUNCTION mq.consumers(queue text DEFAULT NULL, max_count integer DEFAULT 100)
RETURNS TABLE (
    name text, activity text, pid integer, role text, application text, client text, message_id bigint, messages bigint,
    age interval, ends_in interval
)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM mq._consumers(queue, max_count) LOOP
        PERFORM mq._raise(r.code, r.detail);
        name := r.queue;
        activity := r.activity;
        pid := r.pid;
        role := r.role;
        application := r.application;
        client := r.client;
        message_id := r.message_id;
        messages := r.messages;
        age := r.age_ms * interval '1 ms';
        ends_in := r.ends_in_ms * interval '1 ms';
        RETURN NEXT;
    END LOOP;
END $$;
