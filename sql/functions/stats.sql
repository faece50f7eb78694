-- What an operator asks of a queue. Sequences count what was sent and handed out: they are no rows, nobody waits for
-- them, and a rollback does not take a count back. Two a queue count one by one; two more, sent_many and received_many,
-- are set forward by a batch.

-- Makes the totals that a queue lacks. Each role that may use mq.position may use them, and who may only look at it may look.
CREATE OR REPLACE FUNCTION mq._make_totals(queue_id integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    ns text := (SELECT c.relnamespace::regnamespace::text FROM pg_catalog.pg_class c WHERE c.oid = 'mq.queue'::regclass);
    total text;
    g record;
BEGIN
    FOR total IN SELECT w.name FROM mq.queue q CROSS JOIN LATERAL (VALUES
                     ('sent', q.sent), ('received', q.received), ('sent_many', q.sent_many),
                     ('received_many', q.received_many)) AS w (name, made)
                 WHERE q.id = queue_id AND w.made IS NULL LOOP
        EXECUTE format('CREATE SEQUENCE %s.%s_%s', ns, total, queue_id);
        FOR g IN SELECT a.grantee, bool_or(a.privilege_type = 'USAGE') AS uses FROM pg_catalog.pg_class c, aclexplode(c.relacl) a
                 WHERE c.oid = 'mq.position'::regclass AND a.grantee <> c.relowner GROUP BY a.grantee LOOP
            EXECUTE format('GRANT %s ON SEQUENCE %s.%s_%s TO %s', CASE WHEN g.uses THEN 'USAGE, UPDATE' ELSE 'SELECT' END, ns,
                           total, queue_id, CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END);
        END LOOP;
        EXECUTE format('UPDATE %s.queue SET %I = %L WHERE id = %s', ns, total, format('%s.%s_%s', ns, total, queue_id), queue_id);
    END LOOP;
END $$;

-- Drops the totals of queues that are gone.
CREATE OR REPLACE FUNCTION mq._drop_totals() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    total regclass;
BEGIN
    FOR total IN
        SELECT c.oid FROM pg_catalog.pg_class c
        WHERE c.relnamespace = (SELECT t.relnamespace FROM pg_catalog.pg_class t WHERE t.oid = 'mq.queue'::regclass)
          AND c.relkind = 'S' AND c.relname ~ '^(sent|received)(_many)?_[0-9]+$'
          AND NOT EXISTS (SELECT FROM mq.queue q WHERE c.oid IN (q.sent, q.received, q.sent_many, q.received_many))
    LOOP
        EXECUTE format('DROP SEQUENCE %s', total);
    END LOOP;
END $$;

-- A batch reads and sets the one that is for batches, behind an advisory key (role 3, see doorbell.sql) that it tries and
-- gives back in one expression; one that is refused, and a small one, counts one by one.
CREATE OR REPLACE FUNCTION mq._add_total(class integer, queue_id integer, total regclass, many regclass, n integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF n < 10 OR NOT (pg_try_advisory_lock(class, queue_id * 4 + 3)
                      AND setval(many, COALESCE(pg_sequence_last_value(many), 0) + n) > 0
                      AND pg_advisory_unlock(class, queue_id * 4 + 3)) THEN
        PERFORM nextval(total) FROM generate_series(1, n);
    END IF;
END $$;

-- Estimates read a bounded number of entries of an index, whatever it holds. An index of two columns is cut into 32
-- slices of the first one; in a slice at most four values of it are looked at, and the rest is as these are. Where many
-- entries have one value, samples spread over the second column say how many.

-- Of seen entries that cover so much of a width, as many on the whole; fewer than were asked for are all there are.
CREATE OR REPLACE FUNCTION mq._extrapolate(
    seen bigint, asked integer, width double precision, covered double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN seen < asked OR covered <= 0 THEN seen ELSE GREATEST(seen, seen * width / covered) END
$$;

CREATE OR REPLACE FUNCTION mq._estimate_priority(queue_id integer, at_priority bigint, samples integer) RETURNS double precision
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    low bigint;
    high bigint;
    a bigint;
    b bigint;
    r record;
    total double precision := 0;
BEGIN
    SELECT m.position INTO low FROM mq.message m
    WHERE m.queue_id = _estimate_priority.queue_id AND m.state = 0 AND m.priority = at_priority
    ORDER BY m.priority, m.position LIMIT 1;
    SELECT m.position INTO high FROM mq.message m
    WHERE m.queue_id = _estimate_priority.queue_id AND m.state = 0 AND m.priority = at_priority
    ORDER BY m.priority DESC, m.position DESC LIMIT 1;
    FOR i IN 0 .. samples - 1 LOOP
        a := low + (high - low + 1) * i / samples;
        b := low + (high - low + 1) * (i + 1) / samples;
        SELECT count(*) AS n, max(s.position) AS last INTO r FROM (
            SELECT m.position FROM mq.message m
            WHERE m.queue_id = _estimate_priority.queue_id AND m.state = 0 AND m.priority = at_priority
              AND m.position >= a AND m.position < b
            ORDER BY m.priority, m.position LIMIT 100) s;
        total := total + mq._extrapolate(r.n, 100, b - a, r.last - a + 1);
    END LOOP;
    RETURN total;
END $$;

CREATE OR REPLACE FUNCTION mq._estimate_ready(queue_id integer) RETURNS bigint
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    low bigint;
    high bigint;
    slices integer;
    a bigint;
    b bigint;
    at bigint;
    r record;
    slice double precision;
    total double precision := 0;
BEGIN
    SELECT m.priority INTO low FROM mq.message m WHERE m.queue_id = _estimate_ready.queue_id AND m.state = 0
    ORDER BY m.priority, m.position LIMIT 1;
    SELECT m.priority INTO high FROM mq.message m WHERE m.queue_id = _estimate_ready.queue_id AND m.state = 0
    ORDER BY m.priority DESC, m.position DESC LIMIT 1;
    slices := LEAST(32, high - low + 1);
    FOR i IN 0 .. COALESCE(slices, 0) - 1 LOOP
        a := low + (high - low + 1) * i / slices;
        b := low + (high - low + 1) * (i + 1) / slices;
        at := a;
        slice := 0;
        FOR step IN 1 .. 4 LOOP
            SELECT count(*) AS n, min(s.priority)::bigint AS first, max(s.priority)::bigint AS last INTO r FROM (
                SELECT m.priority FROM mq.message m
                WHERE m.queue_id = _estimate_ready.queue_id AND m.state = 0 AND m.priority >= at AND m.priority < b
                ORDER BY m.priority, m.position LIMIT 100) s;
            IF r.n = 100 AND r.first = r.last THEN
                slice := slice + mq._estimate_priority(queue_id, r.first, 32 / slices + 4);
                at := r.first + 1;
            ELSE
                slice := slice + mq._extrapolate(r.n, 100, b - at, r.last - at + 1);
                at := b;
            END IF;
            EXIT WHEN at = b;
        END LOOP;
        total := total + slice * (b - a) / (at - a);
    END LOOP;
    RETURN round(total);
END $$;

-- Of the messages that fall due at one moment: how many, and which part of them is delayed, not leased.
CREATE OR REPLACE FUNCTION mq._estimate_moment(
    queue_id integer, at timestamptz, OUT total double precision, OUT delayed double precision
)
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    low bigint;
    high bigint;
    a bigint;
    b bigint;
    r record;
    n double precision;
BEGIN
    total := 0;
    delayed := 0;
    SELECT m.id INTO low FROM mq.message m
    WHERE m.queue_id = _estimate_moment.queue_id AND m.state <> 0 AND m.due >= at AND m.due <= at ORDER BY m.due, m.id LIMIT 1;
    SELECT m.id INTO high FROM mq.message m
    WHERE m.queue_id = _estimate_moment.queue_id AND m.state <> 0 AND m.due >= at AND m.due <= at ORDER BY m.due DESC, m.id DESC LIMIT 1;
    FOR i IN 0 .. 7 LOOP
        a := low + (high - low + 1) * i / 8;
        b := low + (high - low + 1) * (i + 1) / 8;
        SELECT count(*) AS n, count(*) FILTER (WHERE s.state = 1) AS delayed, max(s.id) AS last INTO r FROM (
            SELECT m.id, m.state FROM mq.message m
            WHERE m.queue_id = _estimate_moment.queue_id AND m.state <> 0 AND m.due >= at AND m.due <= at AND m.id >= a AND m.id < b
            ORDER BY m.due, m.id LIMIT 100) s;
        CONTINUE WHEN r.n = 0;
        n := mq._extrapolate(r.n, 100, b - a, r.last - a + 1);
        total := total + n;
        delayed := delayed + n * r.delayed / r.n;
    END LOOP;
END $$;

-- A thousand at a time: a crowd of one moment hides among those of others.
CREATE OR REPLACE FUNCTION mq._estimate_waiting(queue_id integer, OUT delayed bigint, OUT leased bigint)
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    low timestamptz;
    width interval;
    a timestamptz;
    at timestamptz;
    r record;
    m record;
    n double precision;
    grow double precision;
    slice double precision;
    slice_delayed double precision;
    total double precision := 0;
    total_delayed double precision := 0;
BEGIN
    SELECT t.due INTO low FROM mq.message t
    WHERE t.queue_id = _estimate_waiting.queue_id AND t.state <> 0 AND t.due >= '-infinity' ORDER BY t.due, t.id LIMIT 1;
    SELECT (t.due - low) / 32 + interval '1 ms' INTO width FROM mq.message t
    WHERE t.queue_id = _estimate_waiting.queue_id AND t.state <> 0 AND t.due >= low
    ORDER BY t.due DESC, t.id DESC LIMIT 1;
    FOR i IN 0 .. CASE WHEN width IS NULL THEN -1 ELSE 31 END LOOP
        a := low + width * i;
        at := a;
        slice := 0;
        slice_delayed := 0;
        FOR step IN 1 .. 4 LOOP
            -- crowd: how many of the sample are of its last moment, of which it may hold a part only.
            SELECT count(*) AS n, count(*) FILTER (WHERE s.state = 1) AS delayed, max(s.due) AS last,
                   count(*) FILTER (WHERE s.due = s.latest) AS crowd,
                   count(*) FILTER (WHERE s.due = s.latest AND s.state = 1) AS crowd_delayed
            INTO r FROM (
                SELECT w.due, w.state, max(w.due) OVER () AS latest FROM (
                    SELECT t.due, t.state FROM mq.message t
                    WHERE t.queue_id = _estimate_waiting.queue_id AND t.state <> 0 AND t.due >= at AND t.due < a + width
                    ORDER BY t.due, t.id LIMIT 1000) w) s;
            IF r.n = 1000 AND r.crowd >= 10 THEN
                m := mq._estimate_moment(queue_id, r.last);
                slice := slice + r.n - r.crowd + m.total;
                slice_delayed := slice_delayed + r.delayed - r.crowd_delayed + m.delayed;
                at := r.last + interval '1 us';
            ELSIF r.n > 0 THEN
                n := mq._extrapolate(r.n, 1000, extract(epoch FROM a + width - at), extract(epoch FROM r.last - at));
                slice := slice + n;
                slice_delayed := slice_delayed + n * r.delayed / r.n;
                at := a + width;
            ELSE
                at := a + width;
            END IF;
            EXIT WHEN at >= a + width;
        END LOOP;
        grow := extract(epoch FROM width) / extract(epoch FROM at - a);
        total := total + slice * grow;
        total_delayed := total_delayed + slice_delayed * grow;
    END LOOP;
    delayed := round(total_delayed);
    leased := round(total - total_delayed);
END $$;

CREATE OR REPLACE FUNCTION mq._estimate_dead(queue_id integer) RETURNS bigint
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    low bigint;
    high bigint;
    a bigint;
    b bigint;
    r record;
    total double precision := 0;
BEGIN
    -- Not by an equality: with a queue that is a constant, the primary key serves the order, too.
    SELECT d.id INTO low FROM mq.dead_letter d
    WHERE d.queue_id >= _estimate_dead.queue_id AND d.queue_id <= _estimate_dead.queue_id
    ORDER BY d.queue_id, d.id LIMIT 1;
    SELECT d.id INTO high FROM mq.dead_letter d
    WHERE d.queue_id >= _estimate_dead.queue_id AND d.queue_id <= _estimate_dead.queue_id
    ORDER BY d.queue_id DESC, d.id DESC LIMIT 1;
    FOR i IN 0 .. 31 LOOP
        EXIT WHEN low IS NULL;
        a := low + (high - low + 1) * i / 32;
        b := low + (high - low + 1) * (i + 1) / 32;
        SELECT count(*) AS n, max(s.id) AS last INTO r FROM (
            SELECT d.id FROM mq.dead_letter d
            WHERE d.queue_id >= _estimate_dead.queue_id AND d.queue_id <= _estimate_dead.queue_id AND d.id >= a AND d.id < b
            ORDER BY d.queue_id, d.id LIMIT 100) s;
        total := total + mq._extrapolate(r.n, 100, b - a, r.last - a + 1);
    END LOOP;
    RETURN round(total);
END $$;

-- What there is of each sort in a queue. exact: all was counted, which is so up to 10,000 of each sort; beyond, the
-- numbers are estimates, and blocked stops at 100,000. oldest: when the first to be handed out of each priority were sent.
CREATE OR REPLACE FUNCTION mq._measure(
    queue_id integer, OUT ready bigint, OUT delayed bigint, OUT blocked bigint, OUT in_flight bigint, OUT dead bigint,
    OUT exact boolean, OUT oldest timestamptz
)
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    seen bigint;
    held bigint;
    leased bigint;
    e record;
    at_priority bigint := -1;
    head timestamptz;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE NOT s.held AND NOT s.expired), count(*) FILTER (WHERE s.held)
    INTO seen, ready, held
    FROM (SELECT mq._holder(m.xmax) = 'held' AS held, COALESCE(m.expires <= clock_timestamp(), false) AS expired
          FROM mq.message m WHERE m.queue_id = _measure.queue_id AND m.state = 0
          ORDER BY m.priority, m.position LIMIT 10000) s;
    exact := seen < 10000;
    IF NOT exact THEN
        ready := GREATEST(ready, mq._estimate_ready(queue_id) - held);
    END IF;

    SELECT count(*), count(*) FILTER (WHERE s.state = 1), count(*) FILTER (WHERE s.state = 2) INTO seen, delayed, leased
    FROM (SELECT m.state FROM mq.message m
          WHERE m.queue_id = _measure.queue_id AND m.state <> 0 AND m.due >= '-infinity' ORDER BY m.due LIMIT 10000) s;
    IF seen = 10000 THEN
        exact := false;
        e := mq._estimate_waiting(queue_id);
        delayed := GREATEST(delayed, e.delayed);
        leased := GREATEST(leased, e.leased);
    END IF;
    in_flight := held + leased;

    SELECT count(*) INTO blocked
    FROM (SELECT FROM mq.message m WHERE m.queue_id = _measure.queue_id AND m.state <> 0 AND m.due IS NULL
          LIMIT 100000) s;
    SELECT count(*) INTO dead
    FROM (SELECT FROM mq.dead_letter d WHERE d.queue_id = _measure.queue_id LIMIT 10000) s;
    IF dead = 10000 THEN
        dead := GREATEST(dead, mq._estimate_dead(queue_id));
        exact := false;
    END IF;
    exact := exact AND blocked < 100000;

    FOR i IN 1 .. 100 LOOP  -- priorities
        SELECT m.priority, m.sent INTO at_priority, head FROM mq.message m
        WHERE m.queue_id = _measure.queue_id AND m.state = 0 AND m.priority > at_priority
          AND mq._holder(m.xmax) <> 'held' AND COALESCE(m.expires > clock_timestamp(), true)
        ORDER BY m.priority, m.position LIMIT 1;
        EXIT WHEN NOT FOUND;
        oldest := LEAST(oldest, head);
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION mq._total(total regclass) RETURNS bigint
LANGUAGE sql AS $$ SELECT COALESCE(pg_sequence_last_value(total), 0) $$;

-- For the library: a first row with a code, or one row a queue.
CREATE OR REPLACE FUNCTION mq._stats(only_queue text)
RETURNS TABLE (
    code text, detail text, queue text, paused boolean, sent_total bigint, received_total bigint, ready_estimate bigint,
    delayed_estimate bigint, blocked_estimate bigint, in_flight_estimate bigint, dead_estimate bigint, exact boolean,
    oldest_ready_ms bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome;
BEGIN
    IF only_queue IS NOT NULL AND NOT EXISTS (SELECT FROM mq.queue q WHERE q.name = only_queue) THEN
        o := mq._no_queue(only_queue);
        code := o.code;
        detail := o.detail;
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT NULL, NULL, q.name, q.paused, mq._total(q.sent) + mq._total(q.sent_many),
               mq._total(q.received) + mq._total(q.received_many), m.ready, m.delayed,
               m.blocked, m.in_flight, m.dead, m.exact,
               CASE WHEN m.oldest IS NOT NULL
               THEN GREATEST(0, extract(epoch FROM clock_timestamp() - m.oldest) * 1000)::bigint END
        FROM mq.queue q CROSS JOIN LATERAL mq._measure(q.id) m
        WHERE only_queue IS NULL OR q.name = only_queue
        ORDER BY q.name;
END $$;

-- Numbers to look at every second, at any depth: of one queue, or of all. The totals never go down and count sends
-- that were rolled back, too. The estimates are exact if exact says so, which it does up to 10,000 messages of a sort.
-- For exact numbers at any depth, which take a scan, see mq.count.
CREATE OR REPLACE FUNCTION mq.stats(queue text DEFAULT NULL)
RETURNS TABLE (
    name text, paused boolean, sent_total bigint, received_total bigint, ready_estimate bigint, delayed_estimate bigint,
    blocked_estimate bigint, in_flight_estimate bigint, dead_estimate bigint, exact boolean, oldest_ready_age interval
)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM mq._stats(queue) LOOP
        PERFORM mq._raise(r.code, r.detail);
        name := r.queue;
        paused := r.paused;
        sent_total := r.sent_total;
        received_total := r.received_total;
        ready_estimate := r.ready_estimate;
        delayed_estimate := r.delayed_estimate;
        blocked_estimate := r.blocked_estimate;
        in_flight_estimate := r.in_flight_estimate;
        dead_estimate := r.dead_estimate;
        exact := r.exact;
        oldest_ready_age := r.oldest_ready_ms * interval '1 ms';
        RETURN NEXT;
    END LOOP;
END $$;
