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
--
-- One row a message, and last a report: code is NULL, or why there is nothing; lost is how many
-- messages were found that stand elsewhere now: their consumer had died and was counted, or they
-- were stuck and are free; exhausted: nothing is left; micros the time it took; tail the last
-- position given out before the look, and producers the transactions that may hold one up to
-- there and be in flight; due_in_ms and due_mark are _promote's, due_micros the time that took;
-- more, in a transaction of its own: another message stands behind, if nobody has taken it.
CREATE OR REPLACE FUNCTION mq._claim(
    queue text, max_count integer, how smallint, lease_ms bigint, filter text,
    cursor_priority integer[], cursor_position bigint[], due_from timestamptz, alone boolean, mark boolean
) RETURNS TABLE (
    report boolean, code text, detail text, lost integer, exhausted boolean, micros integer,
    tail bigint, producers text,
    due_in_ms bigint, due_mark timestamptz, due_micros integer, more boolean,
    id bigint, pos bigint, priority integer, attempts integer, errors integer, kind smallint,
    sent timestamptz, due timestamptz, first_received timestamptz, expires timestamptz, headers text, last_error text,
    payload bytea, order_key text, dedup_key text
)
LANGUAGE plpgsql ROWS 1
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    began timestamptz := clock_timestamp();
    q record;
    o mq.outcome;
    r record;
    p record;
    ranges integer := COALESCE(array_length(cursor_priority, 1), 0);
    at_priority integer := 0;
    at_position bigint := 0;
    asked integer;
    seen integer;
    taken integer := 0;
    ordered integer := 0;
    all_seen boolean := filter IS NULL;
    removed bigint[] := '{}';
    advanced text[] := '{}';
    leased bigint[] := '{}';
    died bigint[] := '{}';
    holder text;
    wanted jsonb;
    count bigint;
BEGIN
    IF filter IS NOT NULL THEN
        wanted := mq._filter(filter);
    END IF;
    SELECT t.id, t.tableoid::integer AS class, t.lease_ms, t.received, t.paused INTO q FROM mq.queue t WHERE t.name = queue;
    IF NOT FOUND OR filter IS NOT NULL AND wanted IS NULL THEN
        o := CASE WHEN q.id IS NULL THEN mq._no_queue(queue) ELSE mq._outcome('MQ001', 'the filter is not a JSON object') END;
        report := true;
        code := o.code;
        detail := o.detail;
        RETURN NEXT;
        RETURN;
    ELSIF q.paused THEN
        report := true;
        lost := 0;
        exhausted := false;
        micros := 0;
        RETURN NEXT;
        RETURN;
    END IF;
    -- Before the first row is locked: a sleeper that finds this key free finds the rows free too.
    PERFORM pg_advisory_xact_lock_shared(q.class, q.id * 4 + 2);
    IF due_from IS NOT NULL AND alone AND how = 0 THEN
        -- This transaction may stay open for long: what it made ready would be hidden as long.
        due_in_ms := mq._due_in_ms(q.id, due_from, began + interval '100 ms');
    ELSIF due_from IS NOT NULL THEN
        -- The most urgent of what is due is to go first.
        p := mq._promote(q.id, due_from, CASE WHEN alone THEN GREATEST(max_count, 1000) ELSE max_count END, NOT alone);
        due_in_ms := p.due_in_ms;
        due_mark := p.due_mark;
    END IF;
    due_micros := extract(epoch FROM clock_timestamp() - began) * 1000000;

    IF mark AND filter IS NULL THEN
        -- In this order: who took a position before it was read has had the producers' key since.
        SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO tail FROM mq.position s;
        SELECT COALESCE(string_agg(l.virtualtransaction, ' '), '') INTO producers FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = q.class::oid AND l.objid = (q.id * 4 + 1)::oid
          AND l.objsubid = 2 AND l.granted
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database());
    END IF;

    report := false;
    lease_ms := COALESCE(lease_ms, q.lease_ms);
    -- Range i begins at the cursor of priority i and ends before the next priority that has one;
    -- range 0 holds whatever is more urgent than those.
    <<ranges>>
    FOR i IN 0 .. ranges LOOP
        IF i > 0 THEN
            at_priority := cursor_priority[i];
            at_position := cursor_position[i];
        END IF;
        LOOP
            asked := LEAST(max_count - taken, 1000);
            seen := 0;
            FOR r IN
                SELECT m.*, m.xmax AS holder FROM mq.message m
                WHERE m.queue_id = q.id AND m.state = 0
                  AND (m.priority, m.position) >= (at_priority, at_position)
                  AND m.priority < COALESCE(cursor_priority[i + 1], 2147483648)
                  -- These are tested before the row is locked. Not what this transaction has failed, unless it commits
                  -- before the work begins:
                  AND (m.errors = 0 OR how = 2 OR NOT mq._in_progress(m.xmin))
                  -- The filter first: to ask for the key is to lock it.
                  AND CASE WHEN wanted IS NULL OR mq._matches(m.headers, wanted)
                      THEN m.order_key IS NULL OR mq._is_next(m.queue_id, m.order_key, m.id) ELSE false END
                ORDER BY m.priority, m.position
                LIMIT asked FOR UPDATE SKIP LOCKED
            LOOP
                seen := seen + 1;
                at_priority := r.priority;
                at_position := r.position + 1;
                holder := CASE WHEN r.holder = '0'::xid THEN 'free' ELSE mq._holder(r.holder) END;
                CONTINUE WHEN holder = 'held';  -- this transaction has it already
                IF r.expires <= began THEN
                    removed := removed || r.id;
                    IF r.order_key IS NOT NULL THEN
                        advanced := advanced || r.order_key;
                    END IF;
                    CONTINUE;
                ELSIF holder = 'gone' THEN
                    died := died || r.id;
                    CONTINUE;
                END IF;
                id := r.id;
                pos := r.position;
                priority := r.priority;
                attempts := r.attempts + 1;
                errors := r.errors;
                kind := r.kind;
                sent := r.sent;
                first_received := COALESCE(r.first_received, began);
                expires := r.expires;
                headers := r.headers::text;
                last_error := r.last_error;
                payload := r.payload;
                order_key := r.order_key;
                dedup_key := r.dedup_key;
                due := CASE WHEN how = 2 THEN began + COALESCE(r.lease_ms, _claim.lease_ms) * interval '1 ms' END;
                RETURN NEXT;
                taken := taken + 1;
                IF how = 1 THEN
                    removed := removed || r.id;
                ELSIF how = 2 THEN
                    leased := leased || r.id;
                END IF;
                IF r.order_key IS NOT NULL THEN
                    ordered := ordered + 1;
                    IF how = 1 THEN
                        advanced := advanced || r.order_key;
                    END IF;
                END IF;
            END LOOP;
            IF taken = max_count OR ordered >= 1000 OR alone AND cardinality(died) > 0 THEN
                all_seen := false;
                EXIT ranges;
            END IF;
            EXIT WHEN seen < asked;
        END LOOP;
    END LOOP;

    FOR i IN 1 .. cardinality(removed) LOOP
        DELETE FROM mq.message m WHERE m.id = removed[i];
    END LOOP;
    FOR i IN 1 .. cardinality(leased) LOOP
        UPDATE mq.message m SET state = 2, attempts = m.attempts + 1, first_received = COALESCE(m.first_received, began),
               due = began + COALESCE(m.lease_ms, _claim.lease_ms) * interval '1 ms'
        WHERE m.id = leased[i];
    END LOOP;
    FOR i IN 1 .. cardinality(advanced) LOOP
        PERFORM mq._advance(q.id, advanced[i]);
    END LOOP;
    FOR i IN 1 .. cardinality(died) LOOP
        PERFORM mq._fail(died[i], 'the consumer died or rolled back', NULL, NULL);
    END LOOP;
    IF taken = 1 THEN
        count := nextval(q.received);
    ELSIF taken > 1 THEN
        PERFORM mq._add_total(q.received, taken);
    END IF;

    report := true;
    id := NULL;
    payload := NULL;
    lost := cardinality(died);
    IF how = 1 AND due_from IS NOT NULL THEN
        lost := lost + p.returned;  -- counted in this transaction, and not taken in it
    END IF;
    IF ranges = 0 AND due_from IS NOT NULL AND all_seen AND taken = 0 THEN
        -- A sweep that finds nothing looks for what is stuck behind its order key, too.
        IF alone AND how = 0 THEN
            due_in_ms := CASE WHEN mq._next_stuck(q.id, '') IS NOT NULL THEN 0 ELSE due_in_ms END;
        ELSE
            lost := lost + mq._unblock(q.id);
        END IF;
    END IF;
    exhausted := all_seen;
    IF alone AND how <> 1 AND taken = max_count THEN
        SELECT true INTO more FROM mq.message m
        WHERE m.queue_id = q.id AND m.state = 0 AND (m.priority, m.position) >= (at_priority, at_position)
        ORDER BY m.priority, m.position LIMIT 1;
    END IF;
    micros := extract(epoch FROM clock_timestamp() - began) * 1000000;
    RETURN NEXT;
END $$;

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

