-- Taking messages. See docs/design.md, "The cursor" and "A death leaves a trace".

-- A row's xmax is the xid of the transaction that holds it, or held it last. On a ready row it is 0,
-- or that of a consumer at work, or that of one whose transaction ended without settling the
-- message: its process died, or it rolled back.

-- Whether a transaction is still running.
CREATE OR REPLACE FUNCTION mq._in_progress(holder xid) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    newest bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    ahead bigint := (holder::text::bigint - newest) & 4294967295;
BEGIN
    IF holder = '0'::xid THEN
        RETURN false;
    ELSIF ahead < 2147483648 THEN
        -- A snapshot's xmax follows the newest transaction that has ended: running ones may be newer.
        BEGIN
            RETURN pg_xact_status((newest + ahead)::text::xid8) = 'in progress';
        EXCEPTION WHEN invalid_parameter_value THEN
            RETURN false;  -- in the future
        END;
    END IF;
    -- An xid is 32 bits; the running ones lie within 2^31 of the newest.
    newest := newest + ahead - 4294967296;
    RETURN newest > 2 AND COALESCE(pg_xact_status(newest::text::xid8) = 'in progress', false);
END $$;

-- What a row's xmax tells: 'free' nobody had it, 'held' somebody has it, 'gone' a consumer had it and
-- ended without settling it, 'kept' somebody was to remove it without consuming it, and rolled back.
-- A lock by a transaction and a change by its subtransaction make a MultiXact, which looks like an xid
-- and names both. _withdraw leaves such a one, with a weaker lock than any consumer takes.
CREATE OR REPLACE FUNCTION mq._holder(holder xid) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    IF holder = '0'::xid THEN
        RETURN 'free';
    ELSIF mq._in_progress(holder) THEN
        RETURN 'held';
    END IF;
    SELECT bool_or(mq._in_progress(m.xid)) AS held, bool_or(m.mode = 'fornokeyupd') AS kept INTO r
    FROM pg_get_multixact_members(holder) m;
    RETURN CASE WHEN r.held THEN 'held' WHEN r.kept THEN 'kept' ELSE 'gone' END;
EXCEPTION WHEN OTHERS THEN
    RETURN 'gone';  -- it is an xid: there is no such MultiXact
END $$;

-- Deletes a message, locked FOR NO KEY UPDATE by this transaction, without consuming it.
CREATE OR REPLACE FUNCTION mq._withdraw(message_id bigint) RETURNS void
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    BEGIN
        DELETE FROM mq.message m WHERE m.id = message_id;
    EXCEPTION WHEN no_data_found THEN
        RAISE;  -- for the subtransaction's sake: see _holder
    END;
END $$;

-- Makes ready what is due, oldest first, at most max_count messages. due_in_ms: when the next falls
-- due, NULL if nothing waits; due_mark: from where to look the next time, NULL if there is more.
CREATE OR REPLACE FUNCTION mq._promote(
    queue_id integer, due_from timestamptz, max_count integer,
    OUT promoted integer, OUT due_in_ms bigint, OUT due_mark timestamptz
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    ids bigint[];
    at timestamptz := clock_timestamp();
BEGIN
    ids := ARRAY(
        SELECT m.id FROM mq.message m
        WHERE m.queue_id = _promote.queue_id AND m.state <> 0 AND m.due >= due_from AND m.due <= at
        ORDER BY m.due LIMIT max_count FOR UPDATE SKIP LOCKED);
    promoted := cardinality(ids);
    FOR i IN 1 .. promoted LOOP
        -- A new row, not an update: that would hand this transaction's lock on to the new version.
        WITH gone AS (DELETE FROM mq.message m WHERE m.id = ids[i] RETURNING m.*)
        INSERT INTO mq.message (id, position, sent, queue_id, priority, attempts, errors, state, kind, due,
                                expires, first_received, headers, last_error, payload)
        SELECT g.id, nextval('mq.position'), g.sent, g.queue_id, g.priority, g.attempts, g.errors, 0, g.kind, g.due,
               g.expires, g.first_received, g.headers, g.last_error, g.payload
        FROM gone g;
    END LOOP;
    due_in_ms := mq._due_in_ms(queue_id, due_from);
    IF promoted < max_count THEN
        -- The grace is for a transaction that commits later than its message is due.
        due_mark := at - interval '1 s';
    END IF;
END $$;

-- The same for the library, which runs it on its own, outside a scope.
CREATE OR REPLACE FUNCTION mq._promote_queue(
    queue text, due_from timestamptz, OUT promoted integer, OUT due_in_ms bigint, OUT due_mark timestamptz
)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
    qid integer;
BEGIN
    SELECT q.id INTO qid FROM mq.queue q WHERE q.name = queue;
    IF FOUND THEN
        r := mq._promote(qid, due_from, 1000);
        promoted := r.promoted;
        due_in_ms := r.due_in_ms;
        due_mark := r.due_mark;
    END IF;
END $$;

-- Takes up to max_count messages in order. The rows stay locked to the end of the transaction;
-- with remove, they are deleted in it. A message that failed in this transaction is not taken again in it.
--
-- cursor_priority, cursor_position: parallel arrays, sorted by priority; for each priority the
--   position from which to look. Empty: from the very start, which is a sweep.
-- due_from: first make ready what is due from that time on, at most max_count, or, in a scope of its own
--   (alone, and not remove), only tell when something falls due; NULL: neither.
-- alone: the transaction holds nothing else, and the caller commits at once when it gets nothing.
--   A lost message then ends the claim, so that its count is committed before anything else can
--   go wrong. Otherwise the claim goes on behind it.
--
-- mark: report tail and producers, for the cursor.
--
-- One row a message, and last a report: code is NULL, or why there is nothing; lost is how many
-- messages were found whose consumer had died, and counted; exhausted: nothing is left; micros the
-- time it took; tail the last position given out before the look, and producers the transactions that
-- may hold one up to there and be in flight; due_in_ms and due_mark are _promote's; more, in a scope
-- of its own: another message stands behind, if nobody has taken it.
CREATE OR REPLACE FUNCTION mq._claim(
    queue text, max_count integer, remove boolean, cursor_priority integer[], cursor_position bigint[],
    due_from timestamptz, alone boolean, mark boolean
) RETURNS TABLE (
    report boolean, code text, detail text, lost integer, exhausted boolean, micros integer,
    tail bigint, producers text,
    due_in_ms bigint, due_mark timestamptz, more boolean,
    id bigint, pos bigint, priority integer, attempts integer, errors integer, kind smallint,
    sent timestamptz, first_received timestamptz, expires timestamptz, headers text, last_error text,
    payload bytea
)
LANGUAGE plpgsql ROWS 1
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    began timestamptz := clock_timestamp();
    q record;
    o mq.outcome;
    r record;
    due record;
    ranges integer := COALESCE(array_length(cursor_priority, 1), 0);
    at_priority integer := 0;
    at_position bigint := 0;
    asked integer;
    seen integer;
    taken integer := 0;
    all_seen boolean := true;
    removed bigint[] := '{}';
    died bigint[] := '{}';
    holder text;
BEGIN
    SELECT t.id, t.tableoid::integer AS class INTO q FROM mq.queue t WHERE t.name = queue;
    IF NOT FOUND THEN
        o := mq._no_queue(queue);
        report := true;
        code := o.code;
        detail := o.detail;
        RETURN NEXT;
        RETURN;
    END IF;
    -- Before the first row is locked: a sleeper that finds this key free finds the rows free too.
    PERFORM pg_advisory_xact_lock_shared(q.class, q.id * 4 + 2);
    IF due_from IS NOT NULL AND alone AND NOT remove THEN
        -- This transaction may stay open for long: what it made ready would be hidden as long.
        due_in_ms := mq._due_in_ms(q.id, due_from);
    ELSIF due_from IS NOT NULL THEN
        due := mq._promote(q.id, due_from, max_count);
        due_in_ms := due.due_in_ms;
        due_mark := due.due_mark;
    END IF;

    IF mark THEN
        -- In this order: who took a position before it was read has had the producers' key since.
        SELECT CASE WHEN p.is_called THEN p.last_value ELSE 0 END INTO tail FROM mq.position p;
        SELECT COALESCE(string_agg(l.virtualtransaction, ' '), '') INTO producers FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = q.class::oid AND l.objid = (q.id * 4 + 1)::oid
          AND l.objsubid = 2 AND l.granted
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database());
    END IF;

    report := false;
    -- Range i begins at the cursor of priority i and ends before the next priority that has one;
    -- range 0 holds whatever is more urgent than those.
    <<ranges>>
    FOR i IN 0 .. ranges LOOP
        IF i > 0 THEN
            at_priority := cursor_priority[i];
            at_position := cursor_position[i];
        END IF;
        LOOP
            asked := max_count - taken;
            seen := 0;
            FOR r IN
                SELECT m.*, m.xmax AS holder FROM mq.message m
                WHERE m.queue_id = q.id AND m.state = 0
                  AND (m.priority, m.position) >= (at_priority, at_position)
                  AND m.priority < COALESCE(cursor_priority[i + 1], 2147483648)
                  -- Not what this transaction has failed; tested before the row is locked.
                  AND (m.errors = 0 OR NOT mq._in_progress(m.xmin))
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
                RETURN NEXT;
                taken := taken + 1;
                IF remove THEN
                    removed := removed || r.id;
                END IF;
            END LOOP;
            IF taken = max_count OR alone AND cardinality(died) > 0 THEN
                all_seen := false;
                EXIT ranges;
            END IF;
            EXIT WHEN seen < asked;
        END LOOP;
    END LOOP;

    FOR i IN 1 .. cardinality(removed) LOOP
        DELETE FROM mq.message m WHERE m.id = removed[i];
    END LOOP;
    FOR i IN 1 .. cardinality(died) LOOP
        PERFORM mq._count_failure(died[i], 'the consumer died or rolled back');
    END LOOP;

    report := true;
    id := NULL;
    payload := NULL;
    lost := cardinality(died);
    exhausted := all_seen;
    IF alone AND NOT remove AND taken = max_count THEN
        SELECT true INTO more FROM mq.message m
        WHERE m.queue_id = q.id AND m.state = 0 AND (m.priority, m.position) >= (at_priority, at_position)
        ORDER BY m.priority, m.position LIMIT 1;
    END IF;
    micros := extract(epoch FROM clock_timestamp() - began) * 1000000;
    RETURN NEXT;
END $$;

-- For callers in other languages: the next messages, taken and deleted in one step, in order;
-- none is a normal outcome. Commit, and they are done; roll back, and they come back, with the
-- attempt counted.
CREATE OR REPLACE FUNCTION mq.pop(queue text, max_count integer DEFAULT 1) RETURNS SETOF mq.item
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM mq._take(queue, max_count, true);
END $$;

-- The first half of a dequeue scope: the next messages, locked in this transaction. Do the work in
-- it too, settle each message by ack or nack, then commit. To keep a failed piece of work from
-- undoing the rest, do it behind a SAVEPOINT, roll back to that, and nack.
CREATE OR REPLACE FUNCTION mq.dequeue(queue text, max_count integer DEFAULT 1) RETURNS SETOF mq.item
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM mq._take(queue, max_count, false);
END $$;

CREATE OR REPLACE FUNCTION mq._take(queue text, max_count integer, remove boolean) RETURNS SETOF mq.item
LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    IF max_count IS NULL OR max_count NOT BETWEEN 1 AND 100000 THEN
        PERFORM mq._raise('MQ001', format('max_count %s is out of range: 1 to 100000 is allowed', max_count));
    END IF;
    FOR c IN SELECT * FROM mq._claim(queue, max_count, remove, NULL, NULL, '-infinity', false, false) LOOP
        IF c.report THEN
            PERFORM mq._raise(c.code, c.detail);
        ELSE
            RETURN NEXT (c.id, queue, 'in_flight', c.priority, c.attempts, c.errors, mq._kind(c.kind), c.payload,
                         mq._body(c.kind, c.payload), c.headers::json, c.sent, NULL, c.first_received,
                         c.expires, c.last_error, NULL)::mq.item;
        END IF;
    END LOOP;
END $$;
