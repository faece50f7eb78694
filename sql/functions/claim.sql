-- Taking messages. See docs/design.md, "The cursor".

-- Takes up to max_count messages in order, at most 1,000 with order keys.
--
-- how: 0 the rows stay locked to the end of the transaction; 1 they are deleted in it; 2 they are
--   leased, for the message's own time, else lease_ms, else the queue's. A message that failed in
--   this transaction is not taken again in it, but by a lease.
-- filter: only messages whose headers contain this object. The others stay, so a look that
--   filters tells the cursor nothing.
-- cursor_priority, cursor_position: parallel arrays, sorted by priority; for each priority the
--   position from which to look. Empty: from the very start, which is a sweep.
-- due_from: first do what is due from that time on, or, in a scope of its own (alone, and how is
--   0), only tell when something falls due; NULL: neither.
-- alone: the transaction holds nothing else, and the caller commits at once when it gets nothing.
--   A lost message then ends the claim, so that its count is committed before anything else can
--   go wrong. Otherwise the claim goes on behind it.
-- mark: report tail and producers, for the cursor.
-- look_behind: report more.
--
-- One row a message, its attempts and when it was first received being this time's; and last a report,
-- without an id: code is NULL, or why there is nothing; lost is how many messages were found that stand
-- elsewhere now: their consumer had died and was counted, or they were stuck and are free; exhausted:
-- nothing is left; micros the time it took; tail the last position given out before the look, and
-- producers the transactions that may hold one up to there and be in flight; due_in_ms and due_mark
-- are _promote's, due_micros the time that took; more: another message stands behind, if nobody has taken it.
CREATE OR REPLACE FUNCTION mq._claim(
    queue text, max_count integer, how smallint, lease_ms bigint, filter text,
    cursor_priority integer[], cursor_position bigint[], due_from timestamptz, alone boolean, mark boolean,
    look_behind boolean
) RETURNS TABLE (
    code text, detail text, lost integer, exhausted boolean, micros integer, tail bigint, producers text,
    due_in_ms bigint, due_mark timestamptz, due_micros integer, more boolean,
    id bigint, "position" bigint, priority integer, attempts integer, errors integer, kind smallint, sent timestamptz,
    due timestamptz, first_received timestamptz, expires timestamptz, headers json, last_error text, payload bytea,
    order_key text, dedup_key text
)
LANGUAGE plpgsql ROWS 1
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    began CONSTANT timestamptz := clock_timestamp();
    q record;
    o mq.outcome;
    r record;
    p record;
    ranges integer := cardinality(cursor_priority);
    at_priority integer := 0;
    at_position bigint := 0;
    asked integer;
    ended boolean := false;
    n integer;
    ordered integer := 0;
    wanted jsonb;
    holder text;
    taken bigint[] := '{}';
    by_id boolean;  -- the order of what is taken is that of the ids, in which they are found
    expired bigint[];
    died bigint[];
    advanced text[];
    count bigint;
BEGIN
    SELECT t.id, t.lease_ms, t.received, t.received_many, t.paused, t.tableoid::integer AS class,
           EXISTS (SELECT FROM mq.message w
                   WHERE w.queue_id = t.id AND w.state = 0 AND w.priority < cursor_priority[1]) AS urgent
    INTO q FROM mq.queue t WHERE t.name = queue;
    IF filter IS NOT NULL THEN
        wanted := mq._filter(filter);
    END IF;
    IF q.id IS NULL OR filter IS NOT NULL AND wanted IS NULL THEN
        o := CASE WHEN q.id IS NULL THEN mq._no_queue(queue) ELSE mq._outcome('MQ001', 'the filter is not a JSON object') END;
        code := o.code;
        detail := o.detail;
        RETURN NEXT;
        RETURN;
    ELSIF q.paused THEN
        lost := 0;
        exhausted := false;
        micros := 0;
        RETURN NEXT;
        RETURN;
    END IF;
    -- Before the first row is locked: a sleeper that finds this key free finds the rows free too.
    IF NOT pg_try_advisory_xact_lock_shared(q.class, q.id * 4 + 2) THEN
        PERFORM pg_advisory_xact_lock_shared(q.class, q.id * 4 + 2);
    END IF;
    IF due_from IS NOT NULL THEN
        IF alone AND how = 0 THEN
            -- This transaction may stay open for long: what it made ready would be hidden as long.
            due_in_ms := mq._due_in_ms(q.id, due_from, began + interval '100 ms');
        ELSE
            -- The most urgent of what is due is to go first.
            p := mq._promote(q.id, due_from, CASE WHEN alone THEN GREATEST(max_count, 1000) ELSE max_count END, NOT alone);
            due_in_ms := p.due_in_ms;
            due_mark := p.due_mark;
            q.urgent := true;
        END IF;
        due_micros := mq._micros_since(began);
    END IF;
    IF mark AND filter IS NULL THEN
        SELECT k.tail, k.producers INTO tail, producers FROM mq._mark(q.id) k;
    END IF;

    -- Range i begins at the cursor of priority i and ends before the next priority that has one;
    -- range 0 holds whatever is more urgent than those.
    <<ranges>>
    FOR i IN CASE WHEN ranges > 0 AND NOT q.urgent THEN 1 ELSE 0 END .. COALESCE(ranges, 0) LOOP
        IF i > 0 THEN
            at_priority := cursor_priority[i];
            at_position := cursor_position[i];
        END IF;
        LOOP
            asked := LEAST(max_count - cardinality(taken), 1000);
            SELECT count(*) AS seen, max(l.priority) AS priority, array_agg(l.position) AS positions,
                   min(l.priority) = max(l.priority) AND bool_and(l.position = l.id) AS by_id,
                   array_agg(l.id) FILTER (WHERE NOT l.odd) AS plain, array_agg(l.id) FILTER (WHERE l.odd) AS ids,
                   array_agg(l.holder) FILTER (WHERE l.odd) AS holders,
                   array_agg(l.expires <= began) FILTER (WHERE l.odd) AS expired,
                   array_agg(l.order_key) FILTER (WHERE l.odd) AS keys
            INTO r FROM (
                SELECT t.id, t.priority, t.position, t.xmax AS holder, t.expires, t.order_key,
                       t.xmax <> '0'::xid OR t.expires IS NOT NULL OR t.order_key IS NOT NULL AS odd
                FROM mq.message t
                WHERE t.queue_id = q.id AND t.state = 0
                  AND (t.priority, t.position) >= (at_priority, at_position)
                  AND t.priority < COALESCE(cursor_priority[i + 1], 2147483648)
                  -- Tested before the row is locked.
                  AND (t.errors = 0 AND t.order_key IS NULL AND wanted IS NULL
                       OR mq._may_take(how, t.xmin, t.errors, t.headers, wanted, t.queue_id, t.order_key, t.id))
                ORDER BY t.priority, t.position
                LIMIT asked FOR UPDATE SKIP LOCKED) l;
            IF r.seen > 0 THEN
                by_id := taken = '{}' AND r.by_id;
            END IF;
            taken := taken || r.plain;
            FOR k IN 1 .. COALESCE(cardinality(r.ids), 0) LOOP
                IF r.holders[k] <> '0'::xid THEN
                    holder := mq._holder(r.holders[k]);
                    CONTINUE WHEN holder = 'held';  -- this transaction has it already
                    IF holder = 'gone' AND r.expired[k] IS NOT TRUE THEN
                        died := died || r.ids[k];
                        CONTINUE;
                    END IF;
                END IF;
                IF r.expired[k] THEN
                    expired := expired || r.ids[k];
                ELSE
                    taken := taken || r.ids[k];
                END IF;
                IF r.keys[k] IS NOT NULL THEN
                    ordered := ordered + 1;
                    IF how = 1 OR r.expired[k] THEN
                        advanced := advanced || r.keys[k];
                    END IF;
                END IF;
            END LOOP;
            ended := cardinality(taken) = max_count OR ordered >= 1000 OR alone AND died IS NOT NULL;
            EXIT ranges WHEN ended;
            EXIT WHEN r.seen < asked;
            at_priority := r.priority;
            at_position := r.positions[r.seen] + 1;
        END LOOP;
    END LOOP;
    n := cardinality(taken);

    IF n > 0 AND how = 0 THEN
        RETURN QUERY SELECT code, detail, lost, exhausted, micros, tail, producers, due_in_ms, due_mark, due_micros, more,
            t.id, t.position, t.priority, t.attempts + 1, t.errors, t.kind, t.sent, t.due,
            COALESCE(t.first_received, began), t.expires, t.headers, t.last_error, t.payload,
            t.order_key, t.dedup_key
        FROM mq.message t WHERE t.id = ANY (taken) ORDER BY t.priority, t.position;
    ELSIF n > 0 AND how = 1 AND by_id THEN
        RETURN QUERY DELETE FROM mq.message t WHERE t.id = ANY (taken)
        RETURNING code, detail, lost, exhausted, micros, tail, producers, due_in_ms, due_mark, due_micros, more,
            t.id, t.position, t.priority, t.attempts + 1, t.errors, t.kind, t.sent, t.due,
            COALESCE(t.first_received, began), t.expires, t.headers, t.last_error, t.payload,
            t.order_key, t.dedup_key;
    ELSIF n > 0 AND how = 1 THEN
        RETURN QUERY WITH g AS (DELETE FROM mq.message t WHERE t.id = ANY (taken) RETURNING t.*)
        SELECT code, detail, lost, exhausted, micros, tail, producers, due_in_ms, due_mark, due_micros, more,
            g.id, g.position, g.priority, g.attempts + 1, g.errors, g.kind, g.sent, g.due,
            COALESCE(g.first_received, began), g.expires, g.headers, g.last_error, g.payload,
            g.order_key, g.dedup_key
        FROM g ORDER BY g.priority, g.position;
    ELSIF n > 0 AND by_id THEN
        RETURN QUERY UPDATE mq.message t SET state = 2, attempts = t.attempts + 1, first_received = COALESCE(t.first_received, began),
            due = began + COALESCE(t.lease_ms, _claim.lease_ms, q.lease_ms) * interval '1 ms'
        WHERE t.id = ANY (taken)
        RETURNING code, detail, lost, exhausted, micros, tail, producers, due_in_ms, due_mark, due_micros, more,
            t.id, t.position, t.priority, t.attempts, t.errors, t.kind, t.sent, t.due,
            t.first_received, t.expires, t.headers, t.last_error, t.payload,
            t.order_key, t.dedup_key;
    ELSIF n > 0 THEN
        RETURN QUERY WITH l AS (
            UPDATE mq.message t SET state = 2, attempts = t.attempts + 1, first_received = COALESCE(t.first_received, began),
                   due = began + COALESCE(t.lease_ms, _claim.lease_ms, q.lease_ms) * interval '1 ms'
            WHERE t.id = ANY (taken) RETURNING t.*)
        SELECT code, detail, lost, exhausted, micros, tail, producers, due_in_ms, due_mark, due_micros, more,
            l.id, l.position, l.priority, l.attempts, l.errors, l.kind, l.sent, l.due,
            l.first_received, l.expires, l.headers, l.last_error, l.payload,
            l.order_key, l.dedup_key
        FROM l ORDER BY l.priority, l.position;
    END IF;
    IF COALESCE(expired, died) IS NOT NULL OR advanced IS NOT NULL THEN
        PERFORM mq._settle_found(q.id, expired, advanced, died);
    END IF;
    IF n = 1 THEN
        count := nextval(q.received);
    ELSIF n > 1 THEN
        PERFORM mq._add_total(q.class, q.id, q.received, q.received_many, n);
    END IF;

    lost := COALESCE(cardinality(died), 0);
    exhausted := NOT ended AND filter IS NULL;
    IF due_from IS NOT NULL THEN
        IF how = 1 THEN
            lost := lost + p.returned;  -- counted in this transaction, and not taken in it
        END IF;
        IF COALESCE(ranges, 0) = 0 AND exhausted AND n = 0 THEN
            -- A sweep that finds nothing looks for what is stuck behind its order key, too.
            IF NOT (alone AND how = 0) THEN
                lost := lost + mq._unblock(q.id);
            ELSIF mq._next_stuck(q.id, '') IS NOT NULL THEN
                due_in_ms := 0;
            END IF;
        END IF;
    END IF;
    IF look_behind AND n = max_count THEN
        more := EXISTS (SELECT FROM mq.message t WHERE t.queue_id = q.id AND t.state = 0
                        AND (t.priority, t.position) > (r.priority, r.positions[r.seen]));
    END IF;
    micros := mq._micros_since(began);
    RETURN NEXT;
END $$;

CREATE OR REPLACE FUNCTION mq._micros_since(began timestamptz) RETURNS integer
LANGUAGE sql VOLATILE AS $$ SELECT (date_part('epoch', clock_timestamp() - began) * 1000000)::integer $$;

-- What a claim found beside what it takes: messages whose time to live is over, order keys whose first message goes,
-- and messages whose consumer died.
CREATE OR REPLACE FUNCTION mq._settle_found(queue_id integer, expired bigint[], advanced text[], died bigint[]) RETURNS void
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    FOR i IN 1 .. COALESCE(cardinality(expired), 0) LOOP
        DELETE FROM mq.message m WHERE m.id = expired[i];
    END LOOP;
    FOR i IN 1 .. COALESCE(cardinality(advanced), 0) LOOP
        PERFORM mq._advance(queue_id, advanced[i]);
    END LOOP;
    FOR i IN 1 .. COALESCE(cardinality(died), 0) LOOP
        PERFORM mq._fail(died[i], 'the consumer died or rolled back', NULL, NULL);
    END LOOP;
END $$;

-- What most claims are: one message, from where the cursors stand: at_priority and at_position are the first one, and if there
-- are others the arrays hold all of them as in _claim, else NULL. No row: nothing is there that is so simple to take, and
-- nothing was done; _claim says more. alone is taken for granted with how 0. What has expired and what was lost by its consumer
-- is passed over: a sweep sees to it. attempts and first_received are this time's.
CREATE OR REPLACE FUNCTION mq._claim_one(
    queue text, how smallint, lease_ms bigint, at_priority integer, at_position bigint,
    cursor_priority integer[], cursor_position bigint[]
) RETURNS SETOF mq.message
LANGUAGE plpgsql ROWS 1
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    began CONSTANT timestamptz := clock_timestamp();
    locked bigint[];
    q record;
    m mq.message;
    count bigint;
BEGIN
    -- The consumers' key: see _claim. Not as conditions, which would make a join of the second one.
    SELECT t.id, t.lease_ms, t.received, t.paused,
           EXISTS (SELECT FROM mq.message w
                   WHERE w.queue_id = t.id AND w.state = 0 AND w.priority < at_priority) AS urgent,
           pg_try_advisory_xact_lock_shared(t.tableoid::integer, t.id * 4 + 2) AS seen
    INTO q FROM mq.queue t WHERE t.name = queue;
    IF NOT FOUND OR q.paused OR q.urgent OR NOT q.seen THEN
        RETURN;
    END IF;
    -- The ranges are as in _claim. The id alone where the row comes with the statement that follows: a third less to do.
    IF cursor_priority IS NOT NULL AND how <> 0 THEN
        SELECT ARRAY[f.id] INTO locked FROM generate_series(1, cardinality(cursor_priority)) r (i), LATERAL (
            SELECT t.id FROM mq.message t
            WHERE t.queue_id = q.id AND t.state = 0 AND (t.priority, t.position) >= (cursor_priority[r.i], cursor_position[r.i])
              AND t.priority < COALESCE(cursor_priority[r.i + 1], 2147483648)
              AND mq._is_simple(t, t.xmax, t.xmin, how, began)
            ORDER BY t.priority, t.position LIMIT 1 FOR UPDATE SKIP LOCKED) f LIMIT 1;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    ELSIF cursor_priority IS NOT NULL THEN
        SELECT f.* INTO m FROM generate_series(1, cardinality(cursor_priority)) r (i), LATERAL (
            SELECT t.* FROM mq.message t
            WHERE t.queue_id = q.id AND t.state = 0 AND (t.priority, t.position) >= (cursor_priority[r.i], cursor_position[r.i])
              AND t.priority < COALESCE(cursor_priority[r.i + 1], 2147483648)
              AND mq._is_simple(t, t.xmax, t.xmin, how, began)
            ORDER BY t.priority, t.position LIMIT 1 FOR UPDATE SKIP LOCKED) f LIMIT 1;
    ELSIF how = 0 THEN
        SELECT t.* INTO m FROM mq.message t
        WHERE t.queue_id = q.id AND t.state = 0 AND (t.priority, t.position) >= (at_priority, at_position)
          AND mq._is_simple(t, t.xmax, t.xmin, how, began)
        ORDER BY t.priority, t.position LIMIT 1 FOR UPDATE SKIP LOCKED;
    END IF;
    IF how = 1 THEN
        DELETE FROM mq.message d WHERE d.id = ANY (COALESCE(locked, ARRAY(
            SELECT t.id FROM mq.message t
            WHERE t.queue_id = q.id AND t.state = 0 AND (t.priority, t.position) >= (at_priority, at_position)
              AND mq._is_simple(t, t.xmax, t.xmin, how, began)
            ORDER BY t.priority, t.position LIMIT 1 FOR UPDATE SKIP LOCKED)))
        RETURNING d.* INTO m;
    ELSIF how = 2 THEN
        UPDATE mq.message d SET state = 2, attempts = d.attempts + 1, first_received = COALESCE(d.first_received, began),
               due = began + COALESCE(d.lease_ms, _claim_one.lease_ms, q.lease_ms) * interval '1 ms'
        WHERE d.id = ANY (COALESCE(locked, ARRAY(
            SELECT t.id FROM mq.message t
            WHERE t.queue_id = q.id AND t.state = 0 AND (t.priority, t.position) >= (at_priority, at_position)
              AND mq._is_simple(t, t.xmax, t.xmin, how, began)
            ORDER BY t.priority, t.position LIMIT 1 FOR UPDATE SKIP LOCKED)))
        RETURNING d.* INTO m;
    END IF;
    IF m.id IS NULL THEN
        RETURN;
    ELSIF how <> 2 THEN
        m.attempts := m.attempts + 1;
        m.first_received := COALESCE(m.first_received, began);
    END IF;
    IF how = 1 AND m.order_key IS NOT NULL THEN
        PERFORM mq._advance(q.id, m.order_key);
    END IF;
    count := nextval(q.received);
    RETURN NEXT m;
END $$;

-- The last position given out, and which producers are in flight.
CREATE OR REPLACE FUNCTION mq._mark(queue_id integer, OUT tail bigint, OUT producers text)
LANGUAGE plpgsql AS $$
BEGIN
    -- In this order: who took a position before it was read has had the producers' key since.
    SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO tail FROM mq.position s;
    SELECT COALESCE(string_agg(l.virtualtransaction, ' '), '') INTO producers FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'advisory' AND l.classid = 'mq.queue'::regclass::oid AND l.objid = (queue_id * 4 + 1)::oid
      AND l.objsubid = 2 AND l.granted
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database());
END $$;

-- Whether a ready message that is not the plainest may be taken: not what this transaction has failed, unless it commits
-- before the work begins; and the filter before the order key: to ask for the key is to lock it.
CREATE OR REPLACE FUNCTION mq._may_take(
    how smallint, sender xid, errors integer, headers json, wanted jsonb, queue_id integer, order_key text, message_id bigint
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF errors > 0 AND how <> 2 AND mq._in_progress(sender) THEN
        RETURN false;
    ELSIF wanted IS NOT NULL AND NOT mq._matches(headers, wanted) THEN
        RETURN false;
    END IF;
    RETURN order_key IS NULL OR mq._is_next(queue_id, order_key, message_id);
END $$;

-- Whether a ready message can be taken without anything else to be done first. Inlined where it stands.
CREATE OR REPLACE FUNCTION mq._is_simple(m mq.message, holder xid, sender xid, how smallint, began timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
SELECT holder = '0'::xid AND (m.expires IS NULL OR m.expires > began)
       AND (m.errors = 0 AND m.order_key IS NULL
            OR mq._may_take(how, sender, m.errors, m.headers, NULL, m.queue_id, m.order_key, m.id))
$$;

-- Whether a ready message of an order key may be taken: it is the first of its key, and none of the key is in
-- flight. Takes the key's lock to the end of the transaction: of two that ask for the same key at once, one is refused.
CREATE OR REPLACE FUNCTION mq._is_next(queue_id integer, order_key text, message_id bigint) RETURNS boolean
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    hash bigint := hashtextextended(order_key, queue_id);
BEGIN
    IF NOT pg_try_advisory_xact_lock(('mq.queue'::regclass::oid::bigint << 32) # hash) THEN
        RETURN false;
    END IF;
    -- A look of its own sees what was committed before the lock was had.
    IF mq._first_of_key(queue_id, order_key) IS DISTINCT FROM message_id THEN
        RETURN false;
    END IF;
    PERFORM FROM mq.message t
    WHERE hashtextextended(t.order_key, t.queue_id) >= hash AND hashtextextended(t.order_key, t.queue_id) <= hash
      AND t.order_key IS NOT NULL AND t.state IN (0, 2)
      AND t.id + 0 <> message_id AND (t.state = 2 OR mq._holder(t.xmax) = 'held')
    ORDER BY hashtextextended(t.order_key, t.queue_id) LIMIT 1;
    RETURN NOT FOUND;
END $$;

-- NULL if it is no filter.
CREATE OR REPLACE FUNCTION mq._filter(filter text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    wanted jsonb;
BEGIN
    wanted := filter;
    RETURN CASE WHEN jsonb_typeof(wanted) = 'object' THEN wanted END;
EXCEPTION WHEN data_exception OR statement_too_complex THEN
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mq._matches(headers json, filter jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN COALESCE(headers::jsonb @> filter, false);
EXCEPTION WHEN data_exception THEN
    RETURN false;  -- \u0000, which jsonb cannot hold
END $$;

