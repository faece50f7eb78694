-- Sending.

-- The queue to send to, created if that is asked for and allowed, with the producers' key held
-- to the end of the transaction; id is NULL if there is no such queue.
-- A queue that is just being deleted is waited for, and looked up again.
CREATE OR REPLACE FUNCTION mq._open_for_send(
    name text, create_queue boolean,
    OUT id integer, OUT max_size integer, OUT priority integer, OUT delay_ms bigint, OUT ttl_ms bigint,
    OUT total regclass, OUT total_many regclass, OUT class integer
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    LOOP
        SELECT q.id, q.max_size, q.priority, q.delay_ms, NULLIF(q.ttl_ms, -1), q.sent, q.sent_many, q.tableoid::integer
        INTO id, max_size, priority, delay_ms, ttl_ms, total, total_many, class
        FROM mq.queue q WHERE q.name = _open_for_send.name;
        IF FOUND THEN
            IF pg_try_advisory_xact_lock_shared(class, id * 4 + 1) THEN
                IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
                    -- One snapshot serves the whole transaction: the queue may be gone since. Fails if so.
                    PERFORM FROM mq.queue q WHERE q.id = _open_for_send.id FOR KEY SHARE;
                END IF;
                EXIT;
            END IF;
            PERFORM pg_advisory_xact_lock_shared(class, id * 4 + 1);
        ELSE
            EXIT WHEN mq._name_fault(name) IS NOT NULL
                OR NOT COALESCE(create_queue, (SELECT n.auto_create FROM mq.namespace n));
            PERFORM mq._create_queue(name, NULL, true);
        END IF;
    END LOOP;
END $$;

-- A message with an order key or a dedup key. duplicate: one of its dedup key is there already, or was within
-- its window; id is that one's, and nothing was stored.
CREATE OR REPLACE FUNCTION mq._store_keyed(
    new_id bigint, queue_id integer, sent timestamptz, priority integer, due timestamptz, expires timestamptz,
    kind smallint, headers json, payload bytea, lease_ms bigint, requeue boolean, error_limit integer,
    requeue_priority integer, order_key text, dedup_key text, dedup_window_ms bigint,
    OUT id bigint, OUT duplicate boolean
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
    there record;
BEGIN
    duplicate := true;
    LOOP
        id := mq._in_window(queue_id, dedup_key, new_id);
        EXIT WHEN id IS NOT NULL;
        INSERT INTO mq.message (id, position, sent, queue_id, priority, state, kind, due, expires, headers, payload,
                                lease_ms, requeue, error_limit, requeue_priority, order_key, dedup_key)
        VALUES (new_id, new_id, sent, queue_id, priority, mq._state_to_be(queue_id, order_key, new_id, due), kind, due, expires,
                headers, payload, lease_ms, requeue, error_limit, requeue_priority, order_key, dedup_key)
        -- Waits for a transaction that is sending the same key.
        ON CONFLICT (queue_id, dedup_key) WHERE dedup_key IS NOT NULL DO NOTHING;
        IF FOUND THEN
            -- Between the look above and the insert one may have come, been done, and left its window.
            id := mq._in_window(queue_id, dedup_key, new_id);
            IF id IS NULL THEN
                id := new_id;
                duplicate := false;
                IF dedup_window_ms > 0 THEN
                    PERFORM mq._open_window(queue_id, dedup_key, new_id, sent + dedup_window_ms * interval '1 ms');
                END IF;
            ELSE
                PERFORM mq._forget(new_id, true);
            END IF;
            EXIT;
        END IF;
        SELECT m.id INTO there FROM mq.message m
        WHERE m.queue_id = _store_keyed.queue_id AND m.dedup_key = _store_keyed.dedup_key AND m.dedup_key IS NOT NULL;
        IF FOUND THEN
            id := there.id;
            EXIT WHEN NOT mq._forget(id, false);  -- its time to live may be over
        END IF;
    END LOOP;
END $$;

-- Deletes a message that nobody will get: its time to live is over and nobody has it; or, with own, this very
-- transaction has sent it. With the rights of the namespace's owner, as whoever sends may delete nothing else.
CREATE OR REPLACE FUNCTION mq._forget(message_id bigint, own boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    m record;
BEGIN
    SELECT t.id, t.queue_id, t.order_key INTO m FROM mq.message t
    WHERE t.id = message_id AND (own AND mq._in_progress(t.xmin) OR t.state + 0 <> 2 AND COALESCE(t.expires <= clock_timestamp(), false))
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM mq.message t WHERE t.id = message_id;
    PERFORM mq._advance(m.queue_id, m.order_key);
    RETURN true;
END $$;

-- The state of a message that is stored or stored again under its id: delayed, blocked behind an earlier
-- one of its order key, or ready.
CREATE OR REPLACE FUNCTION mq._state_to_be(queue_id integer, order_key text, id bigint, due timestamptz) RETURNS smallint
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    IF due IS NOT NULL THEN
        RETURN 1;
    ELSIF order_key IS NOT NULL THEN
        RETURN CASE WHEN mq._first_of_key(queue_id, order_key) < id THEN 3 ELSE 0 END;
    END IF;
    RETURN 0;
END $$;

-- The other message whose window a key stands in; NULL: none.
CREATE OR REPLACE FUNCTION mq._in_window(queue_id integer, key text, new_id bigint) RETURNS bigint
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    IF key IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT d.message_id FROM mq.dedup_window d
            WHERE d.queue_id = _in_window.queue_id AND d.key = _in_window.key
              AND d.until > clock_timestamp() AND d.message_id <> new_id);
END $$;

-- Each window that opens takes two away that are over: their number stays within what is in use.
CREATE OR REPLACE FUNCTION mq._open_window(queue_id integer, key text, message_id bigint, until timestamptz) RETURNS void
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    -- As an expression it would be tested on every window: it is volatile.
    at CONSTANT timestamptz := clock_timestamp();
    over record;
BEGIN
    INSERT INTO mq.dedup_window AS d (queue_id, key, message_id, until) VALUES (queue_id, key, message_id, until)
    ON CONFLICT ON CONSTRAINT dedup_window_pkey DO UPDATE SET message_id = EXCLUDED.message_id, until = EXCLUDED.until;
    FOR over IN SELECT d.queue_id, d.key FROM mq.dedup_window d WHERE d.until < at
                ORDER BY d.until LIMIT 2 FOR UPDATE SKIP LOCKED LOOP
        DELETE FROM mq.dedup_window d WHERE d.queue_id = over.queue_id AND d.key = over.key;
    END LOOP;
END $$;

-- A message that says nothing of itself, to a queue that wants nothing of it, in one statement. NULL: it is not that
-- simple, and nothing was done. What is asked of the queue is as in _open_for_send and _message_fault.
CREATE OR REPLACE FUNCTION mq._enqueue_plain(queue text, payload bytea, kind smallint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    new_id bigint;
BEGIN
    INSERT INTO mq.message AS m (id, position, sent, queue_id, priority, state, kind, payload)
    SELECT s.id, s.id, clock_timestamp(), s.queue_id, s.priority, 0, _enqueue_plain.kind, _enqueue_plain.payload
    FROM (SELECT nextval('mq.position') AS id, q.id AS queue_id, q.priority
          FROM mq.queue q
          WHERE q.name = queue AND current_setting('transaction_isolation') LIKE 'read %'
            -- In this order, which the planner keeps in a CASE only.
            AND CASE WHEN mq._fits(octet_length(_enqueue_plain.payload), q.max_size)
                          AND q.delay_ms = 0 AND q.ttl_ms = -1
                          AND pg_try_advisory_xact_lock_shared(q.tableoid::integer, q.id * 4 + 1)
                     THEN nextval(q.sent) > 0 AND mq._ring(q.tableoid::integer, q.id)
                     ELSE false END) s
    RETURNING m.id INTO new_id;
    RETURN new_id;
END $$;

-- The same for many messages: their ids in order. No row: it is not that simple, and nothing was done.
CREATE OR REPLACE FUNCTION mq._enqueue_plain_many(queue text, payloads bytea[], kinds smallint[]) RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
DECLARE
    now CONSTANT timestamptz := clock_timestamp();
    q record;
BEGIN
    SELECT t.id, t.priority, t.tableoid::integer AS class, t.sent, t.sent_many INTO q FROM mq.queue t
    WHERE t.name = queue AND current_setting('transaction_isolation') LIKE 'read %'
      AND CASE WHEN t.delay_ms = 0 AND t.ttl_ms = -1 AND array_position(payloads, NULL) IS NULL AND 2::smallint <> ALL (kinds)
                    AND (mq._fits(pg_column_size(payloads), t.max_size)
                         OR mq._fits((SELECT max(octet_length(p)) FROM unnest(payloads) p), t.max_size))
               THEN pg_try_advisory_xact_lock_shared(t.tableoid::integer, t.id * 4 + 1)
               ELSE false END;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY INSERT INTO mq.message AS m (id, position, sent, queue_id, priority, state, kind, payload)
        SELECT s.id, s.id, now, q.id, q.priority, 0, s.kind, s.payload
        FROM (SELECT nextval('mq.position') AS id, u.*
              -- Not in FROM, where they would be stored before the first is read.
              FROM (SELECT unnest(kinds) AS kind, unnest(payloads) AS payload) u OFFSET 0) s
        RETURNING m.id;
    PERFORM mq._add_total(q.class, q.id, q.sent, q.sent_many, cardinality(payloads));
    PERFORM mq._ring(q.class, q.id);
END $$;

-- The same for so many messages that the library sends them by COPY, in this transaction: all but the rows is done here.
-- longest: of their payloads, in bytes; kind: the highest of theirs. statement: the COPY; head: what each row begins with
-- in the binary format, before an id, the same again as the position, a kind and a payload. NULL: it is not that simple,
-- and nothing was done.
-- It rings before the rows are there: from here on nobody falls asleep without noticing this transaction.
CREATE OR REPLACE FUNCTION mq._enqueue_copy(
    queue text, count integer, longest integer, kind smallint, OUT statement text, OUT head bytea, OUT ids bigint[]
)
LANGUAGE plpgsql AS $$
DECLARE
    now CONSTANT timestamptz := clock_timestamp();
    q record;
BEGIN
    SELECT t.id, t.priority, t.tableoid::integer AS class, t.sent, t.sent_many INTO q FROM mq.queue t
    WHERE t.name = queue AND current_setting('transaction_isolation') LIKE 'read %'
      AND CASE WHEN t.delay_ms = 0 AND t.ttl_ms = -1 AND kind < 2 AND mq._fits(longest, t.max_size)
                    AND NOT row_security_active('mq.message')  -- which COPY refuses
               THEN pg_try_advisory_xact_lock_shared(t.tableoid::integer, t.id * 4 + 1)
               ELSE false END;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    ids := ARRAY(SELECT nextval('mq.position') FROM generate_series(1, count));
    statement := 'COPY ' || 'mq.message'  -- which the installer finds in a literal of its own only
        || ' (sent, queue_id, priority, state, id, position, kind, payload) FROM STDIN (FORMAT binary)';
    head := int2send(8::smallint) || int4send(8) || timestamptz_send(now) || int4send(4) || int4send(q.id)
        || int4send(4) || int4send(q.priority) || int4send(2) || int2send(0::smallint);
    PERFORM mq._add_total(q.class, q.id, q.sent, q.sent_many, count);
    PERFORM mq._ring(q.class, q.id);
END $$;

-- kind: 0 binary, 1 text, 2 JSON. Text is taken to be UTF-8: the callers see to it.
-- create_queue: NULL means as the namespace is set. delay_ms, ttl_ms: NULL means as the queue is set, ttl_ms -1 none.
-- due and what follows it: NULL unless the message has it.
-- The message joins the caller's transaction; nothing is written unless code is NULL.
CREATE OR REPLACE FUNCTION mq._enqueue(
    queue text, payload bytea, kind smallint, priority integer, delay_ms bigint, ttl_ms bigint,
    headers text, create_queue boolean, due timestamptz, lease_ms bigint, requeue boolean, error_limit integer,
    requeue_priority integer, order_key text, dedup_key text, dedup_window_ms bigint,
    OUT code text, OUT detail text, OUT id bigint, OUT duplicate boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    q record;
    o mq.outcome;
    sent timestamptz;
    expires timestamptz;
    count bigint;
BEGIN
    IF kind < 2 AND num_nonnulls(priority, delay_ms, ttl_ms, headers, due, lease_ms, requeue, error_limit,
                                 requeue_priority, order_key, dedup_key, dedup_window_ms) = 0 THEN
        id := mq._enqueue_plain(queue, payload, kind);
        IF id IS NOT NULL THEN
            duplicate := false;
            RETURN;
        END IF;
    END IF;
    q := mq._open_for_send(queue, create_queue);
    IF q.id IS NULL THEN
        o := mq._no_queue(queue);
    ELSE
        o := mq._message_fault(queue, q.max_size, payload, kind, priority, delay_ms, ttl_ms, headers);
        IF o.code IS NULL
           AND num_nonnulls(due, lease_ms, error_limit, requeue_priority, order_key, dedup_key, dedup_window_ms) > 0 THEN
            o := mq._special_fault(due, delay_ms, lease_ms, error_limit, requeue_priority, order_key, dedup_key, dedup_window_ms);
        END IF;
    END IF;
    IF o.code IS NOT NULL THEN
        code := o.code;
        detail := o.detail;
        RETURN;
    END IF;
    id := nextval('mq.position');
    sent := clock_timestamp();
    delay_ms := COALESCE(delay_ms, CASE WHEN due IS NULL THEN q.delay_ms END);
    due := CASE WHEN delay_ms > 0 THEN sent + delay_ms * interval '1 ms' WHEN due > sent THEN due END;
    expires := sent + CASE WHEN ttl_ms IS NULL THEN q.ttl_ms WHEN ttl_ms > 0 THEN ttl_ms END * interval '1 ms';
    priority := COALESCE(priority, q.priority);
    IF order_key IS NULL AND dedup_key IS NULL THEN
        duplicate := false;
        INSERT INTO mq.message (id, position, sent, queue_id, priority, state, kind, due, expires, headers, payload,
                                lease_ms, requeue, error_limit, requeue_priority)
        VALUES (_enqueue.id, _enqueue.id, sent, q.id, _enqueue.priority, CASE WHEN _enqueue.due IS NULL THEN 0 ELSE 1 END,
                _enqueue.kind, _enqueue.due, expires, _enqueue.headers::json, _enqueue.payload,
                _enqueue.lease_ms, _enqueue.requeue, _enqueue.error_limit, _enqueue.requeue_priority);
    ELSE
        SELECT s.id, s.duplicate INTO id, duplicate FROM mq._store_keyed(
            _enqueue.id, q.id, sent, _enqueue.priority, _enqueue.due, expires, _enqueue.kind, _enqueue.headers::json,
            _enqueue.payload, _enqueue.lease_ms, _enqueue.requeue, _enqueue.error_limit,
            _enqueue.requeue_priority, _enqueue.order_key, _enqueue.dedup_key, _enqueue.dedup_window_ms) s;
    END IF;
    IF NOT duplicate THEN
        count := nextval(q.total);
        PERFORM mq._ring(q.class, q.id);
    END IF;
END $$;

-- All or nothing; ids come in input order. An array other than payloads may be NULL, and so may
-- each of its elements. On failure, failed is the 1-based number of the message at fault.
-- Keyed messages are stored in the order of their dedup keys, so that two batches do not wait for each other.
CREATE OR REPLACE FUNCTION mq._enqueue_many(
    queue text, payloads bytea[], kinds smallint[], priorities integer[], delays_ms bigint[],
    ttls_ms bigint[], headers text[], create_queue boolean, dues timestamptz[], leases_ms bigint[], requeues boolean[],
    error_limits integer[], requeue_priorities integer[], order_keys text[], dedup_keys text[], dedup_windows_ms bigint[],
    OUT code text, OUT detail text, OUT failed integer, OUT ids bigint[], OUT duplicates boolean[]
)
LANGUAGE plpgsql AS $$
DECLARE
    q record;
    o mq.outcome;
    many integer := COALESCE(cardinality(payloads), 0);
    special boolean := num_nonnulls(dues, leases_ms, requeues, error_limits, requeue_priorities, order_keys, dedup_keys,
                                    dedup_windows_ms) > 0;
    keyed boolean := num_nonnulls(order_keys, dedup_keys) > 0;
    odd boolean;
    now timestamptz;
    u record;
    s record;
BEGIN
    IF many > 0 AND NOT special AND num_nonnulls(priorities, delays_ms, ttls_ms, headers) = 0 THEN
        ids := ARRAY(SELECT mq._enqueue_plain_many(queue, payloads, kinds));
        IF cardinality(ids) > 0 THEN
            RETURN;
        END IF;
    END IF;
    q := mq._open_for_send(queue, create_queue);
    IF q.id IS NULL THEN
        o := mq._no_queue(queue);
    ELSE
        -- Most batches are plain, and of a size: one look tells. Else each message is asked what is wrong with it.
        odd := special OR num_nonnulls(priorities, delays_ms, ttls_ms, headers) > 0
            OR (SELECT bool_or(m.payload IS NULL OR m.kind = 2) OR NOT mq._fits(max(octet_length(m.payload)), q.max_size)
                FROM unnest(payloads, kinds) AS m (payload, kind));
        -- Not by subscript: to find an element of an array costs as much as there are before it.
        FOR u IN
            SELECT * FROM unnest(payloads, kinds, priorities, delays_ms, ttls_ms, headers, dues, leases_ms, error_limits,
                                 requeue_priorities, order_keys, dedup_keys, dedup_windows_ms) WITH ORDINALITY
                AS m (payload, kind, priority, delay_ms, ttl_ms, headers, due, lease_ms, error_limit,
                      requeue_priority, order_key, dedup_key, dedup_window_ms, i)
            WHERE odd
        LOOP
            o := mq._message_fault(queue, q.max_size, u.payload, u.kind, u.priority, u.delay_ms, u.ttl_ms, u.headers);
            IF special AND o.code IS NULL THEN
                o := mq._special_fault(u.due, u.delay_ms, u.lease_ms, u.error_limit, u.requeue_priority, u.order_key,
                                       u.dedup_key, u.dedup_window_ms);
            END IF;
            IF o.code IS NOT NULL THEN
                failed := u.i;
                o.detail := format('message %s of %s: %s', u.i, many, o.detail);
                EXIT;
            END IF;
        END LOOP;
    END IF;
    IF o.code IS NOT NULL THEN
        code := o.code;
        detail := o.detail;
        RETURN;
    END IF;
    now := clock_timestamp();
    IF keyed THEN
        ids := array_fill(0::bigint, ARRAY[many]);
        duplicates := array_fill(false, ARRAY[many]);
        FOR u IN
            SELECT w.*, mq._due_of(w.due, w.delay_ms, q.delay_ms, now) AS due_at
            FROM (SELECT nextval('mq.position') AS id, m.*
                  FROM unnest(payloads, kinds, priorities, delays_ms, ttls_ms, headers, dues, leases_ms, requeues, error_limits,
                              requeue_priorities, order_keys, dedup_keys, dedup_windows_ms) WITH ORDINALITY
                      AS m (payload, kind, priority, delay_ms, ttl_ms, headers, due, lease_ms, requeue, error_limit,
                            requeue_priority, order_key, dedup_key, dedup_window_ms, i)
                  OFFSET 0) w
            ORDER BY w.dedup_key COLLATE "C" NULLS FIRST, w.i
        LOOP
            s := mq._store_keyed(
                u.id, q.id, now, COALESCE(u.priority, q.priority), u.due_at,
                now + CASE WHEN u.ttl_ms IS NULL THEN q.ttl_ms WHEN u.ttl_ms > 0 THEN u.ttl_ms END * interval '1 ms',
                COALESCE(u.kind, 0::smallint), u.headers::json, u.payload, u.lease_ms, u.requeue, u.error_limit,
                u.requeue_priority, u.order_key, u.dedup_key, u.dedup_window_ms);
            ids[u.i] := s.id;
            duplicates[u.i] := s.duplicate;
        END LOOP;
        many := (SELECT count(*) FROM unnest(duplicates) d WHERE NOT d);
    ELSE
        ids := ARRAY(SELECT nextval('mq.position') FROM generate_series(1, many));
        INSERT INTO mq.message (id, position, sent, queue_id, priority, state, kind, due, expires, headers, payload,
                                lease_ms, requeue, error_limit, requeue_priority)
        SELECT m.id, m.id, now, q.id, COALESCE(m.priority, q.priority),
               CASE WHEN mq._due_of(m.due, m.delay_ms, q.delay_ms, now) IS NULL THEN 0 ELSE 1 END, COALESCE(m.kind, 0),
               mq._due_of(m.due, m.delay_ms, q.delay_ms, now),
               now + CASE WHEN m.ttl_ms IS NULL THEN q.ttl_ms WHEN m.ttl_ms > 0 THEN m.ttl_ms END * interval '1 ms',
               m.headers::json, m.payload, m.lease_ms, m.requeue, m.error_limit, m.requeue_priority
        FROM unnest(ids, payloads, kinds, priorities, delays_ms, ttls_ms, headers, dues, leases_ms, requeues, error_limits,
                    requeue_priorities)
            AS m (id, payload, kind, priority, delay_ms, ttl_ms, headers, due, lease_ms, requeue, error_limit, requeue_priority);
    END IF;
    IF many > 0 THEN
        PERFORM mq._add_total(q.class, q.id, q.total, q.total_many, many);
        PERFORM mq._ring(q.class, q.id);
    END IF;
END $$;

-- When a message becomes ready; NULL: at once. Not IMMUTABLE, which it is not, and which would keep it from being inlined.
CREATE OR REPLACE FUNCTION mq._due_of(due timestamptz, delay_ms bigint, default_ms bigint, now timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN due > now THEN due
                WHEN due IS NULL AND COALESCE(delay_ms, default_ms) > 0
                THEN now + COALESCE(delay_ms, default_ms) * interval '1 ms' END
$$;
