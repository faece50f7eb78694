-- Publishing. No publisher waits for another: a message is stored in the log's current segment, and that is all.

-- The way into a topic's log: the producers' key of its bell, then its current segment's key, both to the end of the
-- transaction. Who holds the second when the segment is still the current one keeps it from being sealed. bound: queues
-- are bound to the topic; counted: its log is limited to a number of messages, by what is drawn from ids. It carries no
-- settings, as _enqueue_plain carries none: they would cost more than it does.
CREATE OR REPLACE FUNCTION mq._topic_enter(
    topic text, OUT segment integer, OUT ids regclass, OUT counted boolean, OUT class integer, OUT bell integer, OUT bound boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    current regclass;
    locked integer;
    heard boolean;
BEGIN
    class := 'mq.topic_log'::regclass::oid;
    bell := mq._bell(topic);
    IF NOT pg_try_advisory_xact_lock_shared(class, bell * 4 + 1) THEN
        PERFORM pg_advisory_xact_lock_shared(class, bell * 4 + 1);
    END IF;
    SELECT l.ids, l.max_messages IS NOT NULL, l.current, EXISTS (SELECT FROM mq.topic_binding b WHERE b.topic = _topic_enter.topic)
    INTO ids, counted, current, bound
    FROM mq.topic_log l
    WHERE l.topic = COALESCE((SELECT o.topic FROM mq.topic_log o WHERE o.topic = _topic_enter.topic), '');
    IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
        -- One snapshot serves the whole transaction: the topic may have got its log, or lost it, since. Fails if so.
        PERFORM FROM mq.topic_log l WHERE l.topic IN (_topic_enter.topic, '') FOR SHARE;
    END IF;
    segment := pg_sequence_last_value(current);
    LOOP
        IF segment IS NULL THEN  -- what servers from 17 on say to a role that may not see it
            RAISE insufficient_privilege USING MESSAGE = format('permission denied for sequence %s', current);
        ELSIF NOT pg_try_advisory_xact_lock_shared('mq.topic_segment'::regclass::oid::integer, segment) THEN
            PERFORM pg_advisory_xact_lock_shared('mq.topic_segment'::regclass::oid::integer, segment);
        END IF;
        locked := segment;
        segment := pg_sequence_last_value(current);
        EXIT WHEN segment = locked;
    END LOOP;
    -- A transaction that has published before does not hear of partitions that were attached since, unless it takes a lock
    -- that it does not hold: this one is given back at once.
    heard := pg_relation_is_updatable(current, false) >= 0;
END $$;

-- What the queues bound to a topic get. Each takes or refuses as a send to it would.
CREATE OR REPLACE FUNCTION mq._fan_out(topic text, payloads bytea[], kinds smallint[], headers text[], OUT code text, OUT detail text, OUT failed integer)
LANGUAGE plpgsql AS $$
DECLARE
    b record;
    w record;
    r record;
BEGIN
    FOR b IN SELECT q.name, t.filter FROM mq.topic_binding t JOIN mq.queue q ON q.id = t.queue_id
             WHERE t.topic = _fan_out.topic ORDER BY q.id LOOP
        SELECT array_agg(u.i ORDER BY u.i)::integer[] AS numbers, array_agg(u.p ORDER BY u.i) AS payloads,
               array_agg(u.k ORDER BY u.i) AS kinds, array_agg(u.h ORDER BY u.i) AS headers
        INTO w FROM unnest(payloads, kinds, headers) WITH ORDINALITY AS u (p, k, h, i)
        WHERE b.filter IS NULL OR mq._matches(u.h::json, b.filter);
        CONTINUE WHEN w.numbers IS NULL;
        r := mq._enqueue_many(b.name, w.payloads, w.kinds, NULL, NULL, NULL,
                              CASE WHEN headers IS NOT NULL THEN w.headers END, false, NULL, NULL, NULL, NULL, NULL,
                              NULL, NULL, NULL);
        CONTINUE WHEN r.code = 'MQ002';  -- it was deleted meanwhile, and its binding with it
        IF r.code IS NOT NULL THEN
            code := r.code;
            -- The number in it is that in what this queue would have got.
            detail := regexp_replace(r.detail, '^message \d+ of \d+: ', '');
            failed := w.numbers[r.failed];
            RETURN;
        END IF;
    END LOOP;
END $$;

-- A number that is drawn is good for 100 ids, as drawing one for each message would be a tenth of the work. first_ids:
-- those of the first message and every hundredth after it; i: from 1 on. The library reckons as this does.
CREATE OR REPLACE FUNCTION mq._nth_id(first_ids bigint[], i integer) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT first_ids[(i + 99) / 100] + (i - 1) % 100 $$;

-- All or nothing, ids in input order, of which first_ids tells: see _nth_id. headers, and each of them, may be NULL.
-- failed: the 1-based number of the message at fault.
CREATE OR REPLACE FUNCTION mq._topic_publish_many(
    topic text, payloads bytea[], kinds smallint[], headers text[],
    OUT code text, OUT detail text, OUT failed integer, OUT first_ids bigint[]
)
LANGUAGE plpgsql AS $$
DECLARE
    now CONSTANT timestamptz := clock_timestamp();
    n CONSTANT integer := COALESCE(cardinality(payloads), 0);
    drawn CONSTANT integer := (n + 99) / 100;
    o mq.outcome;
    e record;
    r record;
    rung boolean;
BEGIN
    detail := mq._topic_fault(topic);
    IF detail IS NOT NULL THEN
        code := 'MQ001';
        RETURN;
    END IF;
    IF headers IS NOT NULL OR array_position(payloads, NULL) IS NOT NULL OR 2 = ANY (kinds) THEN
        FOR i IN 1 .. n LOOP
            o := mq._message_fault(NULL, -1, payloads[i], kinds[i], NULL, NULL, NULL, headers[i]);
            IF o.code IS NOT NULL THEN
                code := o.code;
                detail := o.detail;
                failed := i;
                RETURN;
            END IF;
        END LOOP;
    END IF;
    e := mq._topic_enter(topic);
    IF e.bound THEN
        -- A subtransaction, so that nothing stays behind of a message that a later queue refuses.
        BEGIN
            r := mq._fan_out(topic, payloads, kinds, headers);
            PERFORM mq._raise(r.code, r.detail);
        EXCEPTION WHEN SQLSTATE 'MQ001' OR SQLSTATE 'MQ004' THEN
            code := r.code;
            detail := r.detail;
            failed := r.failed;
            RETURN;
        END;
    END IF;
    FOR i IN 1 .. drawn LOOP
        first_ids[i] := nextval(e.ids) * 100;
    END LOOP;
    IF e.counted THEN
        PERFORM nextval(e.ids) FROM generate_series(drawn + 1, n);
    END IF;
    INSERT INTO mq.topic_message (segment, id, xid, published, kind, topic, headers, payload)
    SELECT e.segment, mq._nth_id(first_ids, u.i), pg_current_xact_id(), now, u.kind, _topic_publish_many.topic,
           u.headers::json, u.payload
    FROM (SELECT generate_subscripts(payloads, 1) AS i, unnest(kinds) AS kind, unnest(payloads) AS payload,
                 unnest(_topic_publish_many.headers) AS headers) u;
    rung := mq._ring(e.class, e.bell);
END $$;

-- Text is taken to be UTF-8: the callers see to it.
CREATE OR REPLACE FUNCTION mq._topic_publish(
    topic text, payload bytea, kind smallint, headers text, OUT code text, OUT detail text, OUT id bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    e record;
    rung boolean;
BEGIN
    -- The common case, in one statement more than the way in.
    IF kind < 2 AND headers IS NULL AND payload IS NOT NULL AND mq._topic_fault(topic) IS NULL THEN
        e := mq._topic_enter(topic);
        IF NOT e.bound THEN
            INSERT INTO mq.topic_message AS m (segment, id, xid, published, kind, topic, payload)
            VALUES (e.segment, nextval(e.ids) * 100, pg_current_xact_id(), clock_timestamp(), _topic_publish.kind, _topic_publish.topic,
                    _topic_publish.payload)
            RETURNING m.id INTO id;
            rung := mq._ring(e.class, e.bell);
            RETURN;
        END IF;
    END IF;
    SELECT p.code, p.detail, p.first_ids[1] INTO code, detail, id FROM mq._topic_publish_many(
        topic, ARRAY[payload], ARRAY[kind], CASE WHEN headers IS NOT NULL THEN ARRAY[headers] END) p;
END $$;

-- For people and other languages: three functions, for a text, a JSON value and bytes. The message joins the caller's
-- transaction; its id is given. The first one makes the topic.
CREATE OR REPLACE FUNCTION mq.topic_publish(topic text, payload text, headers json DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._topic_publish(topic, convert_to(payload, 'UTF8'), 1::smallint, headers::text);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.id;
END $$;

CREATE OR REPLACE FUNCTION mq.topic_publish(topic text, payload json, headers json DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._topic_publish(topic, convert_to(payload::text, 'UTF8'), 2::smallint, headers::text);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.id;
END $$;

CREATE OR REPLACE FUNCTION mq.topic_publish(topic text, payload bytea, headers json DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._topic_publish(topic, payload, 0::smallint, headers::text);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.id;
END $$;

-- Many texts at once: all or nothing, ids in input order.
CREATE OR REPLACE FUNCTION mq.topic_publish_many(topic text, payloads text[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    texts bytea[] := ARRAY(SELECT convert_to(p.t, 'UTF8') FROM unnest(payloads) WITH ORDINALITY AS p (t, i) ORDER BY p.i);
    r record := mq._topic_publish_many(topic, texts, array_fill(1::smallint, ARRAY[cardinality(texts)]), NULL);
BEGIN
    PERFORM mq._raise(r.code, COALESCE('message ' || r.failed || format(' of %s: ', cardinality(texts)), '') || r.detail) WHERE r.code IS NOT NULL;
    RETURN ARRAY(SELECT mq._nth_id(r.first_ids, i) FROM generate_subscripts(texts, 1) i ORDER BY i);
END $$;
