-- Reading a topic. See docs/design.md, "Topics".
--
-- A position says what has been read, as snapshots: "seen", all that was visible in that snapshot; or
-- "seen/upto/number/xid/id", that, and of what has become visible in upto since, the messages up to this one: segment by
-- segment, in each by transaction and id. So a message is never passed over, whenever its transaction commits, and the
-- messages of one publisher keep their order: what was committed before another transaction began has the lower number
-- and xid. A reader keeps no lock and writes nothing.

-- What this transaction sees, as far as others have made it: what it publishes itself it may still publish more of.
CREATE OR REPLACE FUNCTION mq._visible_now() RETURNS pg_snapshot
LANGUAGE plpgsql AS $$
DECLARE
    s pg_snapshot := pg_current_snapshot();
    own xid8 := pg_current_xact_id_if_assigned();
BEGIN
    IF pg_is_in_recovery() THEN
        -- A standby does not say which transactions are in flight: all that is older than the oldest of them is over.
        RETURN format('%1$s:%1$s:', pg_snapshot_xmin(s));
    ELSIF own IS NULL OR own >= pg_snapshot_xmax(s) THEN
        RETURN s;
    END IF;
    RETURN format('%s:%s:%s', pg_snapshot_xmin(s), pg_snapshot_xmax(s), (
        SELECT string_agg(x::text, ',' ORDER BY x) FROM (SELECT pg_snapshot_xip(s) UNION SELECT own) AS u (x)))::pg_snapshot;
END $$;

-- NULL: now.
CREATE OR REPLACE FUNCTION mq._parse_position(
    after text, OUT seen pg_snapshot, OUT upto pg_snapshot, OUT number bigint, OUT xid xid8, OUT id bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    parts text[] := string_to_array(after, '/');
BEGIN
    seen := COALESCE(parts[1]::pg_snapshot, mq._visible_now());
    upto := parts[2];
    number := parts[3];
    xid := parts[4];
    id := parts[5];
END $$;

-- What is wrong with a position; NULL: nothing.
CREATE OR REPLACE FUNCTION mq._position_fault(after text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    now pg_snapshot := mq._visible_now();
    p record;
    upto pg_snapshot;
BEGIN
    IF after !~ '^[0-9:,]+(/[0-9:,]+/[0-9]+/[0-9]+/[0-9]+)?$' THEN
        RETURN format('"%s" is no position in a topic', left(after, 80));
    END IF;
    p := mq._parse_position(after);
    upto := COALESCE(p.upto, p.seen);
    IF current_setting('transaction_isolation') NOT LIKE 'read %'
       AND (pg_snapshot_xmax(upto) > pg_snapshot_xmax(now)
            OR EXISTS (SELECT FROM pg_snapshot_xip(now) x WHERE pg_visible_in_snapshot(x, upto))) THEN
        RETURN format('position "%s" is later than what this transaction sees, being of %s', left(after, 80),
                      upper(current_setting('transaction_isolation')));
    ELSIF pg_snapshot_xmax(upto) > pg_snapshot_xmax(now) THEN
        RETURN format('position "%s" is of another server, or of what was here before a restore or a crash: see topic_restored',
                      left(after, 80));
    END IF;
    RETURN NULL;
EXCEPTION WHEN data_exception OR invalid_parameter_value THEN
    RETURN format('"%s" is no position in a topic', left(after, 80));
END $$;

-- Where a subscriber may start: 'now', 'oldest', or a position. NULL: it is none of these.
CREATE OR REPLACE FUNCTION mq._start(start text, OUT code text, OUT detail text, OUT "position" text)
LANGUAGE plpgsql AS $$
BEGIN
    IF start = 'now' THEN
        "position" := mq._visible_now();
    ELSIF start = 'oldest' THEN
        "position" := '1:1:';
    ELSE
        detail := CASE WHEN start IS NULL THEN 'a subscriber starts at "now", "oldest" or a position, not at NULL'
                       ELSE mq._position_fault(start) || ': "now", "oldest" or a position is allowed' END;
        code := CASE WHEN detail IS NOT NULL THEN 'MQ001' END;
        "position" := CASE WHEN detail IS NULL THEN start END;
    END IF;
END $$;

-- The transactions that were in flight in seen and are over in upto, in order; the rest of what is new has begun since.
-- NULL: none.
CREATE OR REPLACE FUNCTION mq._turned(seen pg_snapshot, upto pg_snapshot) RETURNS xid8[]
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN (SELECT array_agg(x ORDER BY x) FROM pg_snapshot_xip(seen) x WHERE pg_visible_in_snapshot(x, upto));
END $$;

-- The segments of a topic's log in which somebody at seen may have something to read, from segment from_number on, in
-- order; the log; and its newest segment's trimmed_by. A sealed one was complete before its sealing was visible. Whoever calls it
-- has set the rest of what it needs.
CREATE OR REPLACE FUNCTION mq._segments_to_read(
    topic text, seen pg_snapshot, from_number bigint,
    OUT ids integer[], OUT numbers bigint[], OUT log integer, OUT trimmed_by xid8
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    current regclass;
BEGIN
    SELECT t.id, t.current INTO log, current FROM mq.topic_log t WHERE t.topic = _segments_to_read.topic;
    IF NOT FOUND THEN
        SELECT t.id, t.current INTO log, current FROM mq.topic_log t WHERE t.topic = '';
    END IF;
    SELECT array_agg(w.id), array_agg(w.number), (array_agg(w.trimmed_by))[count(*)] INTO ids, numbers, trimmed_by FROM (
        SELECT s.id, s.number, s.trimmed_by FROM mq.topic_segment s
        WHERE s.log_id = log AND s.number >= COALESCE(from_number, 0)
          AND (s.sealed_by IS NULL OR NOT pg_visible_in_snapshot(s.sealed_by, seen))
        ORDER BY s.number) w;
    PERFORM mq._hear(current);
END $$;

-- Whether messages of a log were removed that somebody at seen, who has come to segment number in the batch that follows, may
-- not have read. Asked after reading: what is emptied meanwhile is among it. Who begins with the oldest misses nothing.
CREATE OR REPLACE FUNCTION mq._trimmed(log integer, seen pg_snapshot, number bigint) RETURNS boolean
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_variable
DECLARE
    last mq.topic_segment;
BEGIN
    SELECT t.* INTO last FROM mq.topic_segment t WHERE t.log_id = log ORDER BY t.number DESC LIMIT 1;
    RETURN COALESCE(last.trimmed >= number, last.trimmed IS NOT NULL AND pg_snapshot_xmax(seen) > '1'::xid8)
       AND NOT COALESCE(pg_visible_in_snapshot(last.trimmed_by, seen), false);
END $$;

-- The next messages of a topic, up to many, in order; then a row of report, with id NULL: new_position, behind what was
-- read, NULL if there may be more; then it is batch and '/number/xid/id' of the last message. trimmed: messages that were
-- not read may have been removed, their time being over. An unknown topic has no messages.
-- The plans are made for each call: which segment, that is which table, stands in the variables. So the two queries here
-- are the only ones.
CREATE OR REPLACE FUNCTION mq._topic_read(topic text, after text, many integer)
RETURNS TABLE (
    code text, detail text, id bigint, published timestamptz, kind smallint, headers json, payload bytea, number bigint,
    xid xid8, batch text, new_position text, trimmed boolean
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
    p record := mq._parse_position(after);
    now pg_snapshot := mq._visible_now();
    upto pg_snapshot;
    turned xid8[];
    s record;
    got bigint := 0;
    n bigint;
    first_seen CONSTANT pg_snapshot := p.seen;
    first_number CONSTANT bigint := p.number;
BEGIN
    IF pg_snapshot_xmax(COALESCE(p.upto, p.seen)) > pg_snapshot_xmax(now) OR current_setting('transaction_isolation') NOT LIKE 'read %' THEN
        detail := mq._position_fault(after);
        IF detail IS NOT NULL THEN
            code := 'MQ001';
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    trimmed := false;
    LOOP
        upto := COALESCE(p.upto, now);
        turned := CASE WHEN pg_snapshot_xmin(p.seen) < pg_snapshot_xmax(p.seen) THEN mq._turned(p.seen, upto) END;
        s := mq._segments_to_read(topic, p.seen, p.number);
        FOR i IN 1 .. COALESCE(cardinality(s.ids), 0) LOOP
            IF s.numbers[i] IS DISTINCT FROM p.number THEN
                p.xid := '0';
                p.id := 0;
            END IF;
            IF p.xid < pg_snapshot_xmax(p.seen) THEN
                IF turned IS NOT NULL THEN
                    RETURN QUERY SELECT NULL, NULL, m.id, m.published, m.kind, m.headers, m.payload, s.numbers[i], m.xid, NULL, NULL,
                            NULL::boolean
                        -- One after the other: = ANY would not come in order, and with the order all of the topic would be
                        -- gone through.
                        FROM unnest(turned) t (x) CROSS JOIN LATERAL (
                            SELECT w.* FROM mq.topic_message w
                            WHERE w.segment = s.ids[i] AND w.topic = _topic_read.topic AND w.xid = t.x AND (w.xid, w.id) > (p.xid, p.id)
                            ORDER BY w.xid, w.id LIMIT many - got) m
                        WHERE t.x >= p.xid LIMIT many - got;
                    GET DIAGNOSTICS n = ROW_COUNT;
                    got := got + n;
                    EXIT WHEN got >= many;
                END IF;
                p.xid := pg_snapshot_xmax(p.seen);
                p.id := 0;
            END IF;
            RETURN QUERY SELECT NULL, NULL, m.id, m.published, m.kind, m.headers, m.payload, s.numbers[i], m.xid, NULL, NULL,
                    NULL::boolean
                FROM mq.topic_message m
                WHERE m.segment = s.ids[i] AND m.topic = _topic_read.topic AND (m.xid, m.id) > (p.xid, p.id)
                  AND m.xid < pg_snapshot_xmax(upto) AND pg_visible_in_snapshot(m.xid, upto)
                ORDER BY m.xid, m.id LIMIT many - got;
            GET DIAGNOSTICS n = ROW_COUNT;
            got := got + n;
            EXIT WHEN got >= many;
        END LOOP;
        -- The current segment is not emptied: who reads in no other loses nothing while he reads.
        trimmed := trimmed OR cardinality(s.ids) > 1 OR s.trimmed_by IS NOT NULL AND NOT pg_visible_in_snapshot(s.trimmed_by, first_seen);
        EXIT WHEN got > 0 OR p.upto IS NULL;
        -- That batch was at its end: what has come since.
        p.seen := p.upto;
        p.upto := NULL;
        p.number := NULL;
    END LOOP;
    batch := p.seen::text || '/' || upto::text;
    new_position := CASE WHEN got < many THEN upto END;
    trimmed := trimmed AND mq._trimmed(s.log, first_seen, first_number);
    RETURN NEXT;
END $$;

-- The newest message of a topic that was not read, in the order of reading; then the report, whose position is behind
-- all there is.
CREATE OR REPLACE FUNCTION mq._topic_latest(topic text, after text)
RETURNS TABLE (
    code text, detail text, id bigint, published timestamptz, kind smallint, headers json, payload bytea, number bigint,
    xid xid8, batch text, new_position text, trimmed boolean
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
    p record := mq._parse_position(after);
    now pg_snapshot := mq._visible_now();
    seen pg_snapshot := COALESCE(p.upto, p.seen);
    upto pg_snapshot := now;
    rest boolean := false;
    turned xid8[];
    low_xid xid8;
    low_id bigint;
    s record;
BEGIN
    IF pg_snapshot_xmax(seen) > pg_snapshot_xmax(now) OR current_setting('transaction_isolation') NOT LIKE 'read %' THEN
        detail := mq._position_fault(after);
        IF detail IS NOT NULL THEN
            code := 'MQ001';
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    -- What has come since the batch that was being read, if one was; then the rest of that.
    <<ranges>>
    LOOP
        turned := ARRAY(SELECT x FROM pg_snapshot_xip(seen) x WHERE pg_visible_in_snapshot(x, upto) ORDER BY x DESC);
        s := mq._segments_to_read(topic, seen, CASE WHEN rest THEN p.number END);
        FOR i IN REVERSE COALESCE(cardinality(s.ids), 0) .. 1 LOOP
            low_xid := '0';
            low_id := 0;
            IF rest AND s.numbers[i] = p.number THEN
                low_xid := p.xid;
                low_id := p.id;
            END IF;
            RETURN QUERY SELECT NULL, NULL, m.id, m.published, m.kind, m.headers, m.payload, s.numbers[i], m.xid, NULL, NULL,
                    NULL::boolean
                FROM mq.topic_message m
                WHERE m.segment = s.ids[i] AND m.topic = _topic_latest.topic AND (m.xid, m.id) > (low_xid, low_id)
                  AND m.xid >= pg_snapshot_xmax(seen) AND m.xid < pg_snapshot_xmax(upto) AND pg_visible_in_snapshot(m.xid, upto)
                ORDER BY m.xid DESC, m.id DESC LIMIT 1;
            EXIT ranges WHEN FOUND;
            IF cardinality(turned) > 0 THEN
                RETURN QUERY SELECT NULL, NULL, m.id, m.published, m.kind, m.headers, m.payload, s.numbers[i], m.xid, NULL, NULL,
                        NULL::boolean
                    FROM unnest(turned) t (x) CROSS JOIN LATERAL (
                        SELECT w.* FROM mq.topic_message w
                        WHERE w.segment = s.ids[i] AND w.topic = _topic_latest.topic AND w.xid = t.x
                          AND (w.xid, w.id) > (low_xid, low_id)
                        ORDER BY w.xid DESC, w.id DESC LIMIT 1) m
                    LIMIT 1;
                EXIT ranges WHEN FOUND;
            END IF;
        END LOOP;
        EXIT WHEN p.upto IS NULL OR rest;
        rest := true;
        seen := p.seen;
        upto := p.upto;
    END LOOP;
    batch := now;
    new_position := now;
    trimmed := mq._trimmed(s.log, p.seen, p.number);
    RETURN NEXT;
END $$;

CREATE OR REPLACE FUNCTION mq._topic_items(topic text, after text, many integer, latest boolean) RETURNS SETOF mq.topic_item
LANGUAGE plpgsql AS $$
DECLARE
    r record;
    report record;
BEGIN
    PERFORM mq._raise('MQ001', mq._topic_fault(topic)) WHERE mq._topic_fault(topic) IS NOT NULL;
    IF many IS NULL OR many NOT BETWEEN 1 AND 1000000 THEN
        PERFORM mq._raise('MQ001', format('max_count %s is out of range: 1 to 1000000 is allowed', many));
    END IF;
    r := mq._start(after);
    PERFORM mq._raise(r.code, r.detail);
    RETURN QUERY
        WITH read AS MATERIALIZED (
            SELECT t.* FROM mq._topic_read(topic, r.position, many) t WHERE NOT latest
            UNION ALL
            SELECT t.* FROM mq._topic_latest(topic, r.position) t WHERE latest)
        SELECT m.id, topic, mq._kind(m.kind), m.payload, mq._body(m.kind, m.payload), m.headers, m.published,
               CASE WHEN latest THEN e.new_position ELSE format('%s/%s/%s/%s', e.batch, m.number, m.xid, m.id) END
        FROM read m, read e WHERE m.id IS NOT NULL AND e.id IS NULL;
END $$;

-- The next messages of a topic after a position: what topic_subscribe gave, or the position of a message that was read;
-- or after 'now', which is none, or from 'oldest' on. Reading changes nothing: the position is the reader's to keep.
-- None is a normal outcome.
CREATE OR REPLACE FUNCTION mq.topic_next(topic text, after text, max_count integer DEFAULT 1) RETURNS SETOF mq.topic_item
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM mq._topic_items(topic, after, max_count, false);
END $$;

-- The newest message after a position, the older ones passed over.
CREATE OR REPLACE FUNCTION mq.topic_latest(topic text, after text DEFAULT 'oldest') RETURNS SETOF mq.topic_item
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM mq._topic_items(topic, after, 1, true);
END $$;
