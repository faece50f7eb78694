-- Subscribers. One without a name is a position that its reader keeps. A named one is durable: its position stands in
-- mq.topic_position, and moves in the transaction that commits it.

CREATE OR REPLACE FUNCTION mq._last_position(subscriber_id integer) RETURNS text
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    RETURN (SELECT p.position FROM mq.topic_position p WHERE p.subscriber_id = _last_position.subscriber_id
            ORDER BY p.number DESC LIMIT 1);
END $$;

CREATE OR REPLACE FUNCTION mq._subscriber_fault(name text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT regexp_replace(mq._name_fault(name), '^(a )?queue', '\1subscriber') $$;

-- subscriber NULL: no durable one; the position alone. start: where a new one begins, 'now', 'oldest' or a position.
-- hold_ms: how long what it has not committed is kept though its time is over, counted from when its segment was sealed; NULL: as
-- it is, and not at all for a new one; -1: not at all.
-- number: how many times it has committed, the fence of the next commit; created: there was no such subscriber before.
CREATE OR REPLACE FUNCTION mq._topic_subscribe(
    topic text, subscriber text, start text, hold_ms bigint,
    OUT code text, OUT detail text, OUT "position" text, OUT subscriber_id integer, OUT number bigint, OUT created boolean
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
    s record;
BEGIN
    detail := COALESCE(mq._topic_fault(topic), CASE WHEN subscriber IS NOT NULL THEN mq._subscriber_fault(subscriber) END,
                       CASE WHEN hold_ms <> -1 THEN mq._time_fault('hold', hold_ms, 1) || '; -1 is none' END);
    IF detail IS NOT NULL THEN
        code := 'MQ001';
        RETURN;
    END IF;
    s := mq._start(start);
    code := s.code;
    detail := s.detail;
    IF code IS NOT NULL THEN
        RETURN;
    END IF;
    "position" := s.position;
    created := false;
    IF subscriber IS NULL THEN
        RETURN;
    END IF;
    LOOP
        SELECT t.id, t.hold_ms INTO s FROM mq.topic_subscriber t
        WHERE t.topic = _topic_subscribe.topic AND t.name = _topic_subscribe.subscriber;
        IF FOUND THEN
            subscriber_id := s.id;
            IF NULLIF(hold_ms, -1) IS DISTINCT FROM s.hold_ms AND hold_ms IS NOT NULL THEN
                UPDATE mq.topic_subscriber t SET hold_ms = NULLIF(_topic_subscribe.hold_ms, -1) WHERE t.id = subscriber_id;
            END IF;
            SELECT p.position, p.number INTO "position", number FROM mq.topic_position p
            WHERE p.subscriber_id = _topic_subscribe.subscriber_id ORDER BY p.number DESC LIMIT 1;
            RETURN;
        END IF;
        INSERT INTO mq.topic_subscriber AS t (topic, name, hold_ms) VALUES (topic, subscriber, NULLIF(hold_ms, -1))
        ON CONFLICT ON CONSTRAINT topic_subscriber_topic_name_key DO NOTHING RETURNING t.id INTO subscriber_id;
        IF FOUND THEN
            number := 0;
            created := true;
            INSERT INTO mq.topic_position (subscriber_id, number, position) VALUES (subscriber_id, 0, "position");
            RETURN;
        END IF;
    END LOOP;
END $$;

-- A named subscriber is made, or found again where it was; without a name the position alone is given, for topic_next.
-- hold in seconds; -1: none.
CREATE OR REPLACE FUNCTION mq.topic_subscribe(
    topic text, subscriber text DEFAULT NULL, start text DEFAULT 'now', hold double precision DEFAULT NULL,
    OUT "position" text, OUT number bigint, OUT created boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._topic_subscribe(topic, subscriber, start, mq._ms(hold));
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    "position" := r.position;
    number := r.number;
    created := r.created;
END $$;

-- Moves a durable subscriber, in the caller's transaction. number: that of the position it has moved on from, given by
-- topic_subscribe or the last commit; another one has committed meanwhile if it is not the last any more, and nothing is
-- done. Waits for a transaction that has committed for the same subscriber and is not over.
CREATE OR REPLACE FUNCTION mq._topic_commit(subscriber_id integer, number bigint, after text, OUT code text, OUT detail text)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM mq.topic_position p WHERE p.subscriber_id = _topic_commit.subscriber_id AND p.number = _topic_commit.number;
    IF FOUND THEN
        INSERT INTO mq.topic_position (subscriber_id, number, position)
        VALUES (_topic_commit.subscriber_id, _topic_commit.number + 1, after);
    ELSIF mq._last_position(_topic_commit.subscriber_id) IS NOT NULL THEN
        code := 'MQ005';
        detail := 'another process has committed for this subscriber meanwhile: subscribe again, to go on from there';
    ELSE
        code := 'MQ002';
        detail := 'the subscriber does not exist any more';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION mq.topic_commit(topic text, subscriber text, number bigint, after text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    fault text := CASE WHEN after IS NULL THEN 'a position must not be NULL' ELSE mq._position_fault(after) END;
    r record;
BEGIN
    PERFORM mq._raise('MQ001', fault) WHERE fault IS NOT NULL;
    r := mq._topic_commit((SELECT s.id FROM mq.topic_subscriber s WHERE s.topic = topic_commit.topic AND s.name = subscriber),
                          number, after);
    PERFORM mq._raise(r.code, r.detail);
    RETURN number + 1;
END $$;

-- Where a durable subscriber has committed last, and the fence of its next commit.
CREATE OR REPLACE FUNCTION mq._topic_rewind(
    subscriber_id integer, OUT code text, OUT detail text, OUT "position" text, OUT number bigint
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
BEGIN
    SELECT p.position, p.number INTO "position", number FROM mq.topic_position p
    WHERE p.subscriber_id = _topic_rewind.subscriber_id ORDER BY p.number DESC LIMIT 1;
    IF NOT FOUND THEN
        code := 'MQ002';
        detail := 'the subscriber does not exist any more';
    END IF;
END $$;

-- What a subscriber held back is free.
CREATE OR REPLACE FUNCTION mq._topic_unsubscribe(topic text, subscriber text) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
DECLARE
    fault text := COALESCE(mq._topic_fault(topic), mq._subscriber_fault(subscriber));
BEGIN
    IF fault IS NOT NULL THEN
        RETURN mq._outcome('MQ001', fault);
    END IF;
    DELETE FROM mq.topic_position p USING mq.topic_subscriber s
    WHERE s.topic = _topic_unsubscribe.topic AND s.name = subscriber AND p.subscriber_id = s.id;
    DELETE FROM mq.topic_subscriber s WHERE s.topic = _topic_unsubscribe.topic AND s.name = subscriber;
    RETURN CASE WHEN NOT FOUND THEN
        mq._outcome('MQ002', format('topic "%s" has no subscriber "%s"', topic, subscriber)) END;
END $$;

-- Whether there was such a subscriber.
CREATE OR REPLACE FUNCTION mq.topic_unsubscribe(topic text, subscriber text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._topic_unsubscribe(topic, subscriber);
BEGIN
    PERFORM mq._raise(o.code, o.detail) WHERE o.code <> 'MQ002';
    RETURN o.code IS NULL;
END $$;

-- How many messages a position is behind, counted up to most, and when the first of them was published.
CREATE OR REPLACE FUNCTION mq._topic_lag(topic text, after text, most bigint, OUT behind bigint, OUT oldest timestamptz)
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    p record := mq._parse_position(after);
    turned xid8[] := ARRAY(SELECT x FROM pg_snapshot_xip(p.seen) x);
    s record;
    low_xid xid8;
    low_id bigint;
BEGIN
    behind := 0;
    FOR s IN SELECT t.messages::text AS messages, t.number
             FROM mq._segments_to_read(topic, p.seen, p.seen, NULL) t ORDER BY t.number LOOP
        -- What is not read lies behind where the batch has come to, or was not visible in it; a batch may be long.
        low_xid := CASE WHEN p.upto IS NULL OR s.number > p.number THEN '0' ELSE pg_snapshot_xmin(p.upto) END;
        low_id := 0;
        IF s.number = p.number AND p.xid < low_xid THEN
            low_xid := p.xid;
            low_id := p.id;
        END IF;
        -- One condition: of two, the index may begin at the lower one.
        IF low_xid < pg_snapshot_xmax(p.seen) THEN
            low_xid := pg_snapshot_xmax(p.seen);
            low_id := 0;
        END IF;
        EXECUTE 'SELECT $1 + count(*), LEAST($2, min(u.published)) FROM (
                (SELECT m.published FROM ' || s.messages || ' m
                 WHERE m.topic = $3 AND (m.xid, m.id) > ($4, $5)
                   AND ($6 IS NULL OR NOT pg_visible_in_snapshot(m.xid, $6) OR ($7, m.xid, m.id) > ($8, $9, $10))
                 ORDER BY m.xid, m.id LIMIT $11 - $1)
                UNION ALL
                (SELECT w.published FROM unnest($12) t (x) CROSS JOIN LATERAL (
                     SELECT m.published FROM ' || s.messages || ' m
                     WHERE m.topic = $3 AND m.xid = t.x
                       AND ($6 IS NULL OR NOT pg_visible_in_snapshot(m.xid, $6) OR ($7, m.xid, m.id) > ($8, $9, $10))
                     ORDER BY m.xid, m.id LIMIT $11 - $1) w
                 LIMIT $11 - $1)) u'
            INTO behind, oldest
            USING behind, oldest, topic, low_xid, low_id, p.upto, s.number, p.number, p.xid, p.id, most, turned;
        EXIT WHEN behind >= most;
    END LOOP;
    behind := LEAST(behind, most);
END $$;

-- The durable subscribers, of one topic or of all. behind: the messages to be read, counted up to 10000; age: how long
-- the first of them has been there, in seconds.
CREATE OR REPLACE FUNCTION mq.topic_subscribers(topic_name text DEFAULT NULL)
RETURNS TABLE (
    topic text, subscriber text, behind bigint, age double precision, hold double precision, commits bigint,
    committed timestamptz, created timestamptz, "position" text
)
LANGUAGE plpgsql STABLE
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    RETURN QUERY SELECT s.topic, s.name, l.behind, extract(epoch FROM clock_timestamp() - l.oldest)::double precision,
            mq._seconds(s.hold_ms), p.number, p.committed, s.created, p.position
        FROM mq.topic_subscriber s
        CROSS JOIN LATERAL (SELECT t.number, t.committed, t.position FROM mq.topic_position t
                            WHERE t.subscriber_id = s.id ORDER BY t.number DESC LIMIT 1) p
        CROSS JOIN LATERAL mq._topic_lag(s.topic, p.position, 10000) l
        WHERE topic_name IS NULL OR s.topic = topic_name
        ORDER BY s.topic, s.name;
END $$;

-- The topics that the common log holds messages of.
CREATE OR REPLACE FUNCTION mq._common_topics() RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    messages regclass;
BEGIN
    FOR messages IN SELECT t.messages FROM mq.topic_segment t JOIN mq.topic_log l ON l.id = t.log_id WHERE l.topic = '' LOOP
        -- From each to the next in the index.
        RETURN QUERY EXECUTE
            'WITH RECURSIVE found (topic) AS (
                 (SELECT m.topic FROM ' || messages || ' m ORDER BY m.topic LIMIT 1)
                 UNION ALL
                 SELECT (SELECT m.topic FROM ' || messages || ' m WHERE m.topic > f.topic ORDER BY m.topic LIMIT 1)
                 FROM found f WHERE f.topic IS NOT NULL)
             SELECT f.topic FROM found f WHERE f.topic IS NOT NULL';
    END LOOP;
END $$;

-- The topics that were created, that the common log holds messages of, or that somebody subscribes to or has bound.
-- retain in seconds; own_log: it was created, and has a retention of its own; messages: counted up to 10000; bytes: of its
-- own log; queues: those bound to it. With the owner's rights: a producer may list topics, though it can read no message.
CREATE OR REPLACE FUNCTION mq.topic_list(topic text DEFAULT NULL)
RETURNS TABLE (
    name text, own_log boolean, retain double precision, max_messages bigint, messages bigint, oldest timestamptz,
    newest timestamptz, bytes bigint, subscribers bigint, queues text[]
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    common mq.topic_log := (SELECT l FROM mq.topic_log l WHERE l.topic = '');
BEGIN
    RETURN QUERY
        WITH names AS (
            SELECT l.topic FROM mq.topic_log l WHERE l.topic <> ''
            UNION SELECT c FROM mq._common_topics() c
            UNION SELECT s.topic FROM mq.topic_subscriber s
            UNION SELECT b.topic FROM mq.topic_binding b)
        SELECT n.topic, l.id IS NOT NULL, mq._seconds(COALESCE(l.retain_ms, common.retain_ms)),
               CASE WHEN l.id IS NULL THEN common.max_messages ELSE l.max_messages END, g.behind, g.oldest,
               (SELECT t.published FROM mq._topic_latest(n.topic, '1:1:') t WHERE t.id IS NOT NULL),
               CASE WHEN l.id IS NOT NULL THEN (
                   SELECT sum(pg_total_relation_size(s.messages))::bigint FROM mq.topic_segment s WHERE s.log_id = l.id) END,
               (SELECT count(*) FROM mq.topic_subscriber s WHERE s.topic = n.topic),
               ARRAY(SELECT q.name FROM mq.topic_binding b JOIN mq.queue q ON q.id = b.queue_id WHERE b.topic = n.topic ORDER BY 1)
        FROM names n
        LEFT JOIN mq.topic_log l ON l.topic = n.topic
        CROSS JOIN LATERAL mq._topic_lag(n.topic, '1:1:', 10000) g
        WHERE topic_list.topic IS NULL OR n.topic = topic_list.topic
        ORDER BY n.topic;
END $$;
