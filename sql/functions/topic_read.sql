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

-- The report of _topic_read on a position that is none to read from; all NULL: it is one.
CREATE OR REPLACE FUNCTION mq._no_position(after text) RETURNS mq.topic_message
LANGUAGE plpgsql AS $$
DECLARE
    report mq.topic_message;
    fault text := mq._position_fault(after);
BEGIN
    IF fault IS NOT NULL THEN
        report.kind := -1;
        report.payload := convert_to(fault, 'UTF8');
    END IF;
    RETURN report;
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

-- The segments of a topic's log in which somebody at seen may have something to read; in the batch up to upto he has come
-- to segment from_number, and earlier ones may have got something since. A sealed one was complete before its sealing was
-- visible. It becomes a part of the caller's query, whose plan is to be by the index.
-- By way of mq.topic_message no reader reads: a session may not know of a partition and would pass over what is there.
CREATE OR REPLACE FUNCTION mq._segments_to_read(topic text, seen pg_snapshot, upto pg_snapshot, from_number bigint)
RETURNS SETOF mq.topic_segment
LANGUAGE sql STABLE AS $$
    SELECT s.* FROM mq.topic_segment s
    WHERE s.log_id = COALESCE((SELECT t.id FROM mq.topic_log t WHERE t.topic = _segments_to_read.topic),
                              (SELECT t.id FROM mq.topic_log t WHERE t.topic = ''))
      AND (s.sealed_by IS NULL
           OR NOT pg_visible_in_snapshot(s.sealed_by, seen)
              AND (s.number >= COALESCE(from_number, 0) OR NOT pg_visible_in_snapshot(s.sealed_by, upto)))
$$;

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

-- The next messages of a topic, up to many, in order, as they are stored: whole rows go through a function at two thirds of
-- what some of their columns cost. Then a row of report, with id NULL:
--   kind     -1: after is no position to read from; payload says why. Else the sum of
--             1: there may be more: the position is payload || '/' || xid || '/' || id of the last message; else it is payload;
--             2: messages that were not read may have been removed, their time being over.
--   topic     what the positions of these messages begin with; headers: {segment: number}.
-- An unknown topic has no messages. How the messages are read is planned for each call, as which table is seen then: so all
-- else is asked in one query.
CREATE OR REPLACE FUNCTION mq._topic_read(topic text, after text, many integer) RETURNS SETOF mq.topic_message
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    p record := mq._parse_position(after);
    first_seen CONSTANT pg_snapshot := p.seen;
    first_number CONSTANT bigint := p.number;
    now pg_snapshot := mq._visible_now();
    upto pg_snapshot;
    turned xid8[];
    s record;
    log integer;
    numbers text;
    got bigint := 0;
    n bigint;
    trimmed boolean := false;
    report mq.topic_message;
BEGIN
    IF pg_snapshot_xmax(COALESCE(p.upto, p.seen)) > pg_snapshot_xmax(now) OR current_setting('transaction_isolation') NOT LIKE 'read %' THEN
        report := mq._no_position(after);
        IF report.kind IS NOT NULL THEN
            RETURN NEXT report;
            RETURN;
        END IF;
    END IF;
    LOOP
        upto := COALESCE(p.upto, now);
        turned := CASE WHEN pg_snapshot_xmin(p.seen) < pg_snapshot_xmax(p.seen) THEN mq._turned(p.seen, upto) END;
        numbers := NULL;
        FOR s IN SELECT t.id, t.messages::text AS messages, t.number, t.log_id, t.trimmed_by, count(*) OVER () AS of
                 FROM mq._segments_to_read(topic, p.seen, upto, p.number) t ORDER BY t.number LOOP
            log := s.log_id;
            -- The current segment is not emptied: who reads in no other loses nothing while he reads.
            trimmed := trimmed OR s.of > 1 OR NOT COALESCE(pg_visible_in_snapshot(s.trimmed_by, first_seen), true);
            CONTINUE WHEN s.number < p.number;
            numbers := concat_ws(',', numbers, format('"%s":%s', s.id, s.number));
            IF s.number IS DISTINCT FROM p.number THEN
                p.number := s.number;
                p.xid := '0';
                p.id := 0;
            ELSIF s.of = 1 AND p.xid >= pg_snapshot_xmax(p.seen) AND p.xid < pg_snapshot_xmin(upto) THEN
                -- All before this transaction is over and was read: the batch need not come to its end before the next begins.
                p.seen := format('%1$s:%1$s:', p.xid);
                p.upto := NULL;
                upto := now;
            END IF;
            IF p.xid < pg_snapshot_xmax(p.seen) THEN
                IF turned IS NOT NULL THEN
                    -- One after the other: = ANY would not come in order, and with the order all of the topic would be
                    -- gone through.
                    RETURN QUERY EXECUTE
                        'SELECT m.* FROM unnest($1) t (x) CROSS JOIN LATERAL (
                             SELECT w.* FROM ' || s.messages || ' w
                             WHERE w.topic = $2 AND w.xid = t.x AND (w.xid, w.id) > ($3, $4) ORDER BY w.xid, w.id LIMIT $5) m
                         WHERE t.x >= $3 LIMIT $5'
                        USING turned, topic, p.xid, p.id, many - got;
                    GET DIAGNOSTICS n = ROW_COUNT;
                    got := got + n;
                    EXIT WHEN got >= many;
                END IF;
                p.xid := pg_snapshot_xmax(p.seen);
                p.id := 0;
            END IF;
            RETURN QUERY EXECUTE
                'SELECT m.* FROM ' || s.messages || ' m
                 WHERE m.topic = $1 AND (m.xid, m.id) > ($2, $3) AND m.xid < pg_snapshot_xmax($4)'
                || CASE WHEN pg_snapshot_xmin(upto) < pg_snapshot_xmax(upto)
                        THEN ' AND (m.xid < pg_snapshot_xmin($4) OR pg_visible_in_snapshot(m.xid, $4))' ELSE '' END
                || ' ORDER BY m.xid, m.id LIMIT $5'
                USING topic, p.xid, p.id, upto, many - got;
            GET DIAGNOSTICS n = ROW_COUNT;
            got := got + n;
            EXIT WHEN got >= many;
        END LOOP;
        EXIT WHEN got > 0 OR p.upto IS NULL;
        -- That batch was at its end: what has come since.
        p.seen := p.upto;
        p.upto := NULL;
        p.number := NULL;
    END LOOP;
    report.kind := CASE WHEN got < many THEN 0 ELSE 1 END + CASE WHEN trimmed AND mq._trimmed(log, first_seen, first_number) THEN 2 ELSE 0 END;
    report.topic := p.seen::text || '/' || upto::text;
    report.headers := '{' || numbers || '}';
    report.payload := convert_to(CASE WHEN got < many THEN upto::text ELSE report.topic || '/' || p.number END, 'UTF8');
    RETURN NEXT report;
END $$;

-- The newest message of a topic that was not read, in the order of reading; then the report of _topic_read, whose position
-- is behind all there is.
CREATE OR REPLACE FUNCTION mq._topic_latest(topic text, after text) RETURNS SETOF mq.topic_message
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
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
    log integer;
    n bigint;
    report mq.topic_message;
BEGIN
    IF pg_snapshot_xmax(seen) > pg_snapshot_xmax(now) OR current_setting('transaction_isolation') NOT LIKE 'read %' THEN
        report := mq._no_position(after);
        IF report.kind IS NOT NULL THEN
            RETURN NEXT report;
            RETURN;
        END IF;
    END IF;
    -- What has come since the batch that was being read, if one was; then the rest of that.
    <<ranges>>
    LOOP
        turned := ARRAY(SELECT x FROM pg_snapshot_xip(seen) x WHERE pg_visible_in_snapshot(x, upto) ORDER BY x DESC);
        FOR s IN SELECT t.messages::text AS messages, t.number, t.log_id
                 FROM mq._segments_to_read(topic, seen, upto, CASE WHEN rest THEN p.number END) t ORDER BY t.number DESC LOOP
            log := s.log_id;
            low_xid := '0';
            low_id := 0;
            IF rest AND s.number <= p.number THEN
                EXIT WHEN s.number < p.number;
                low_xid := p.xid;
                low_id := p.id;
            END IF;
            RETURN QUERY EXECUTE
                'SELECT m.* FROM ' || s.messages || ' m
                 WHERE m.topic = $1 AND (m.xid, m.id) > ($2, $3) AND m.xid >= pg_snapshot_xmax($4)
                   AND m.xid < pg_snapshot_xmax($5) AND pg_visible_in_snapshot(m.xid, $5)
                 ORDER BY m.xid DESC, m.id DESC LIMIT 1'
                USING topic, low_xid, low_id, seen, upto;
            GET DIAGNOSTICS n = ROW_COUNT;
            EXIT ranges WHEN n > 0;
            IF cardinality(turned) > 0 THEN
                RETURN QUERY EXECUTE
                    'SELECT m.* FROM unnest($1) t (x) CROSS JOIN LATERAL (
                         SELECT w.* FROM ' || s.messages || ' w
                         WHERE w.topic = $2 AND w.xid = t.x AND (w.xid, w.id) > ($3, $4)
                         ORDER BY w.xid DESC, w.id DESC LIMIT 1) m
                     LIMIT 1'
                    USING turned, topic, low_xid, low_id;
                GET DIAGNOSTICS n = ROW_COUNT;
                EXIT ranges WHEN n > 0;
            END IF;
        END LOOP;
        EXIT WHEN p.upto IS NULL OR rest;
        rest := true;
        seen := p.seen;
        upto := p.upto;
    END LOOP;
    report.kind := CASE WHEN mq._trimmed(log, p.seen, p.number) THEN 2 ELSE 0 END;
    report.payload := convert_to(now::text, 'UTF8');
    RETURN NEXT report;
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
        SELECT m.id, _topic_items.topic, mq._kind(m.kind), m.payload, mq._body(m.kind, m.payload), m.headers, m.published,
               CASE WHEN latest THEN convert_from(e.payload, 'UTF8')
                    ELSE format('%s/%s/%s/%s', e.topic, e.headers->>m.segment::text, m.xid, m.id) END
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
