-- What shapes a queue. An attribute is set at a message, a queue or the namespace, or is built in: the first of
-- these that says something holds. The queue's row holds what is in force, so that a send reads one row.

CREATE OR REPLACE FUNCTION mq._built_in() RETURNS mq.attributes
LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW(30000, 0, 65536, 999, true, -1, -1, -1, 0, 1, 3600000, 0, false)::mq.attributes
$$;

-- Seconds as people give them, to milliseconds. -1 stays -1, which is "none"; what is no number of
-- seconds comes out as one that no check lets pass.
CREATE OR REPLACE FUNCTION mq._ms(seconds double precision) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN seconds IS NULL THEN NULL
                WHEN seconds = -1 THEN -1
                WHEN seconds < 0 AND seconds > -1e12 THEN LEAST(-2, round(seconds * 1000)::bigint)
                WHEN seconds >= 0 AND seconds < 1e12 THEN round(seconds * 1000)::bigint
                ELSE 9223372036854775807 END
$$;

CREATE OR REPLACE FUNCTION mq._seconds(ms bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN ms = -1 THEN -1 ELSE ms / 1000.0 END $$;

-- A time as an error names it.
CREATE OR REPLACE FUNCTION mq._spell_ms(ms bigint) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE ms WHEN 9223372036854775807 THEN 'NaN or infinity' ELSE ms || ' ms' END
$$;

-- The public functions' arguments, times in seconds.
CREATE OR REPLACE FUNCTION mq._attributes(
    lease double precision, delay double precision, max_size integer, priority integer, requeue boolean,
    requeue_priority integer, error_limit integer, ttl double precision, retry_delay double precision,
    retry_factor double precision, retry_max_delay double precision, retry_jitter double precision, drop_dead boolean
) RETURNS mq.attributes
LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW(mq._ms(lease), mq._ms(delay), max_size, priority, requeue, requeue_priority, error_limit, mq._ms(ttl),
               mq._ms(retry_delay), retry_factor, mq._ms(retry_max_delay), retry_jitter, drop_dead)::mq.attributes
$$;

CREATE OR REPLACE FUNCTION mq._attributes_fault(a mq.attributes) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT * FROM (VALUES ('lease', a.lease_ms), ('delay', a.delay_ms), ('retry_delay', a.retry_delay_ms),
                                   ('retry_max_delay', a.retry_max_delay_ms)) AS v (name, ms) LOOP
        IF t.ms NOT BETWEEN 0 AND 9999999000 THEN
            RETURN format('a %s of %s is out of range: 0 to 9999999 seconds are allowed', t.name, mq._spell_ms(t.ms));
        END IF;
    END LOOP;
    IF a.ttl_ms <> -1 AND a.ttl_ms NOT BETWEEN 1 AND 9999999000 THEN
        RETURN format('a ttl of %s is out of range: up to 9999999 seconds, or -1 for none, is allowed', mq._spell_ms(a.ttl_ms));
    ELSIF a.max_size NOT BETWEEN -1 AND 1073741823 THEN
        RETURN format('max_size %s is out of range: 0 to 1073741823 bytes, or -1 for no limit, is allowed', a.max_size);
    ELSIF a.priority < 0 THEN
        RETURN format('priority %s is out of range: 0 to 2147483647 is allowed', a.priority);
    ELSIF a.requeue_priority < -1 THEN
        RETURN format('requeue_priority %s is out of range: 0 to 2147483647, or -1 for none, is allowed', a.requeue_priority);
    ELSIF a.error_limit < -1 OR a.error_limit = 0 THEN
        RETURN format('error_limit %s is out of range: 1 to 2147483647, or -1 for none, is allowed', a.error_limit);
    ELSIF a.retry_factor NOT BETWEEN 1 AND 100 THEN
        RETURN format('retry_factor %s is out of range: 1 to 100 is allowed', a.retry_factor);
    ELSIF a.retry_jitter NOT BETWEEN 0 AND 1 THEN
        RETURN format('retry_jitter %s is out of range: 0 to 1 is allowed', a.retry_jitter);
    END IF;
    RETURN NULL;
END $$;

-- What is given, as own holds it.
CREATE OR REPLACE FUNCTION mq._given(a mq.attributes) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$ SELECT COALESCE(jsonb_strip_nulls(to_jsonb(a)), '{}') $$;

-- What is in force for a queue that says this itself.
CREATE OR REPLACE FUNCTION mq._in_force(own jsonb) RETURNS mq.attributes
LANGUAGE sql STABLE AS $$
    SELECT jsonb_populate_record(mq._built_in(), (SELECT n.own FROM mq.namespace n) || own)
$$;

-- Whoever makes or changes a queue holds this key shared, whoever changes the namespace holds it alone.
CREATE OR REPLACE FUNCTION mq._lock_attributes(for_all boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    class integer := 'mq.queue'::regclass::oid::integer;
BEGIN
    IF for_all THEN
        PERFORM pg_advisory_xact_lock(class, 0);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(class, 0);
    END IF;
END $$;

-- Writes what is in force into the rows of queues; NULL: of all.
CREATE OR REPLACE FUNCTION mq._put_in_force(queue_id integer) RETURNS void
LANGUAGE sql AS $$
    UPDATE mq.queue q SET (lease_ms, delay_ms, max_size, priority, requeue, requeue_priority, error_limit, ttl_ms,
                           retry_delay_ms, retry_factor, retry_max_delay_ms, retry_jitter, drop_dead)
        = (SELECT a.* FROM mq._in_force(q.own) a)
    WHERE _put_in_force.queue_id IS NULL OR q.id = _put_in_force.queue_id
$$;

-- own, changed: what is given goes in, and what is named in unset comes out.
CREATE OR REPLACE FUNCTION mq._change(
    own jsonb, a mq.attributes, unset text[], OUT code text, OUT detail text, OUT changed jsonb
)
LANGUAGE plpgsql AS $$
DECLARE
    fields text[] := ARRAY(SELECT CASE WHEN u IN ('lease', 'delay', 'ttl', 'retry_delay', 'retry_max_delay')
                                       THEN u || '_ms' ELSE u END FROM unnest(unset) u);
    known text[] := ARRAY(SELECT regexp_replace(k, '_ms$', '') FROM jsonb_object_keys(to_jsonb(mq._built_in())) k);
    unknown text := (SELECT COALESCE(u, 'NULL') FROM unnest(unset) u WHERE u IS NULL OR u <> ALL (known) LIMIT 1);
BEGIN
    detail := mq._attributes_fault(a);
    IF detail IS NULL AND unknown IS NOT NULL THEN
        detail := format('"%s" is no attribute: %s are', unknown, array_to_string(known, ', '));
    ELSIF detail IS NULL AND mq._given(a) = '{}' AND cardinality(fields) = 0 THEN
        detail := 'no attribute was given';
    END IF;
    IF detail IS NOT NULL THEN
        code := 'MQ001';
    ELSE
        changed := (own - fields) || mq._given(a);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION mq._set_queue(name text, a mq.attributes, unset text[]) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
DECLARE
    q record;
    c record;
BEGIN
    PERFORM mq._lock_attributes(false);
    SELECT t.id, t.own INTO q FROM mq.queue t WHERE t.name = _set_queue.name FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN mq._no_queue(name);
    END IF;
    c := mq._change(q.own, a, unset);
    IF c.code IS NULL THEN
        UPDATE mq.queue t SET own = c.changed, modified = clock_timestamp() WHERE t.id = q.id;
        PERFORM mq._put_in_force(q.id);
    END IF;
    RETURN mq._outcome(c.code, c.detail);
END $$;

-- Changes the attributes that are given, and no other; those named in unset are the namespace's again.
CREATE OR REPLACE FUNCTION mq.set_queue(
    name text, lease double precision DEFAULT NULL, delay double precision DEFAULT NULL, max_size integer DEFAULT NULL,
    priority integer DEFAULT NULL, requeue boolean DEFAULT NULL, requeue_priority integer DEFAULT NULL,
    error_limit integer DEFAULT NULL, ttl double precision DEFAULT NULL, retry_delay double precision DEFAULT NULL,
    retry_factor double precision DEFAULT NULL, retry_max_delay double precision DEFAULT NULL,
    retry_jitter double precision DEFAULT NULL, drop_dead boolean DEFAULT NULL, unset text[] DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._set_queue(name, mq._attributes(
        lease, delay, max_size, priority, requeue, requeue_priority, error_limit, ttl, retry_delay, retry_factor,
        retry_max_delay, retry_jitter, drop_dead), unset);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;

CREATE OR REPLACE FUNCTION mq._set_defaults(a mq.attributes, unset text[]) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    PERFORM mq._lock_attributes(true);
    c := mq._change((SELECT n.own FROM mq.namespace n), a, unset);
    IF c.code IS NULL THEN
        UPDATE mq.namespace SET own = c.changed;
        PERFORM mq._put_in_force(NULL);
    END IF;
    RETURN mq._outcome(c.code, c.detail);
END $$;

-- The same for the namespace: what holds in every queue that says nothing itself, now and later.
CREATE OR REPLACE FUNCTION mq.set_defaults(
    lease double precision DEFAULT NULL, delay double precision DEFAULT NULL, max_size integer DEFAULT NULL,
    priority integer DEFAULT NULL, requeue boolean DEFAULT NULL, requeue_priority integer DEFAULT NULL,
    error_limit integer DEFAULT NULL, ttl double precision DEFAULT NULL, retry_delay double precision DEFAULT NULL,
    retry_factor double precision DEFAULT NULL, retry_max_delay double precision DEFAULT NULL,
    retry_jitter double precision DEFAULT NULL, drop_dead boolean DEFAULT NULL, unset text[] DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._set_defaults(mq._attributes(
        lease, delay, max_size, priority, requeue, requeue_priority, error_limit, ttl, retry_delay, retry_factor,
        retry_max_delay, retry_jitter, drop_dead), unset);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;
