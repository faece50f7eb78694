-- The public face of sending.

-- For people and other languages: three functions of each name, for a text, a JSON value and bytes. Times in seconds,
-- fractions to the millisecond; headers: a JSON object. NULL: as the queue says, or none.

CREATE OR REPLACE FUNCTION mq.enqueue(
    queue text, payload text,
    priority integer DEFAULT NULL, delay double precision DEFAULT NULL, ttl double precision DEFAULT NULL,
    headers json DEFAULT NULL, create_queue boolean DEFAULT NULL, due timestamptz DEFAULT NULL,
    lease double precision DEFAULT NULL, requeue boolean DEFAULT NULL, error_limit integer DEFAULT NULL,
    requeue_priority integer DEFAULT NULL, order_key text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._enqueue(queue, convert_to(payload, 'UTF8'), 1::smallint, priority, mq._ms(delay), mq._ms(ttl),
                            headers::text, create_queue, due, mq._ms(lease), requeue, error_limit,
                            requeue_priority, order_key, NULL, NULL);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.id;
END $$;

CREATE OR REPLACE FUNCTION mq.enqueue(
    queue text, payload json,
    priority integer DEFAULT NULL, delay double precision DEFAULT NULL, ttl double precision DEFAULT NULL,
    headers json DEFAULT NULL, create_queue boolean DEFAULT NULL, due timestamptz DEFAULT NULL,
    lease double precision DEFAULT NULL, requeue boolean DEFAULT NULL, error_limit integer DEFAULT NULL,
    requeue_priority integer DEFAULT NULL, order_key text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._enqueue(queue, convert_to(payload::text, 'UTF8'), 2::smallint, priority, mq._ms(delay), mq._ms(ttl),
                            headers::text, create_queue, due, mq._ms(lease), requeue, error_limit,
                            requeue_priority, order_key, NULL, NULL);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.id;
END $$;

CREATE OR REPLACE FUNCTION mq.enqueue(
    queue text, payload bytea,
    priority integer DEFAULT NULL, delay double precision DEFAULT NULL, ttl double precision DEFAULT NULL,
    headers json DEFAULT NULL, create_queue boolean DEFAULT NULL, due timestamptz DEFAULT NULL,
    lease double precision DEFAULT NULL, requeue boolean DEFAULT NULL, error_limit integer DEFAULT NULL,
    requeue_priority integer DEFAULT NULL, order_key text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._enqueue(queue, payload, 0::smallint, priority, mq._ms(delay), mq._ms(ttl),
                            headers::text, create_queue, due, mq._ms(lease), requeue, error_limit,
                            requeue_priority, order_key, NULL, NULL);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.id;
END $$;

-- With a dedup key: as long as a message of that key waits or is in flight in the queue, and for dedup_window seconds
-- after it was sent, a further one is not stored. id is then the first one's, and duplicate is true.
CREATE OR REPLACE FUNCTION mq.enqueue_unique(
    queue text, payload text, dedup_key text, dedup_window double precision DEFAULT NULL,
    priority integer DEFAULT NULL, delay double precision DEFAULT NULL, ttl double precision DEFAULT NULL,
    headers json DEFAULT NULL, create_queue boolean DEFAULT NULL, due timestamptz DEFAULT NULL,
    lease double precision DEFAULT NULL, requeue boolean DEFAULT NULL, error_limit integer DEFAULT NULL,
    requeue_priority integer DEFAULT NULL, order_key text DEFAULT NULL,
    OUT id bigint, OUT duplicate boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    IF dedup_key IS NULL THEN
        PERFORM mq._raise('MQ001', 'the dedup key must not be NULL');
    END IF;
    r := mq._enqueue(queue, convert_to(payload, 'UTF8'), 1::smallint, priority, mq._ms(delay), mq._ms(ttl),
                     headers::text, create_queue, due, mq._ms(lease), requeue, error_limit, requeue_priority,
                     order_key, dedup_key, mq._ms(dedup_window));
    PERFORM mq._raise(r.code, r.detail);
    id := r.id;
    duplicate := r.duplicate;
END $$;

CREATE OR REPLACE FUNCTION mq.enqueue_unique(
    queue text, payload json, dedup_key text, dedup_window double precision DEFAULT NULL,
    priority integer DEFAULT NULL, delay double precision DEFAULT NULL, ttl double precision DEFAULT NULL,
    headers json DEFAULT NULL, create_queue boolean DEFAULT NULL, due timestamptz DEFAULT NULL,
    lease double precision DEFAULT NULL, requeue boolean DEFAULT NULL, error_limit integer DEFAULT NULL,
    requeue_priority integer DEFAULT NULL, order_key text DEFAULT NULL,
    OUT id bigint, OUT duplicate boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    IF dedup_key IS NULL THEN
        PERFORM mq._raise('MQ001', 'the dedup key must not be NULL');
    END IF;
    r := mq._enqueue(queue, convert_to(payload::text, 'UTF8'), 2::smallint, priority, mq._ms(delay), mq._ms(ttl),
                     headers::text, create_queue, due, mq._ms(lease), requeue, error_limit, requeue_priority,
                     order_key, dedup_key, mq._ms(dedup_window));
    PERFORM mq._raise(r.code, r.detail);
    id := r.id;
    duplicate := r.duplicate;
END $$;

CREATE OR REPLACE FUNCTION mq.enqueue_unique(
    queue text, payload bytea, dedup_key text, dedup_window double precision DEFAULT NULL,
    priority integer DEFAULT NULL, delay double precision DEFAULT NULL, ttl double precision DEFAULT NULL,
    headers json DEFAULT NULL, create_queue boolean DEFAULT NULL, due timestamptz DEFAULT NULL,
    lease double precision DEFAULT NULL, requeue boolean DEFAULT NULL, error_limit integer DEFAULT NULL,
    requeue_priority integer DEFAULT NULL, order_key text DEFAULT NULL,
    OUT id bigint, OUT duplicate boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    IF dedup_key IS NULL THEN
        PERFORM mq._raise('MQ001', 'the dedup key must not be NULL');
    END IF;
    r := mq._enqueue(queue, payload, 0::smallint, priority, mq._ms(delay), mq._ms(ttl),
                     headers::text, create_queue, due, mq._ms(lease), requeue, error_limit, requeue_priority,
                     order_key, dedup_key, mq._ms(dedup_window));
    PERFORM mq._raise(r.code, r.detail);
    id := r.id;
    duplicate := r.duplicate;
END $$;

-- Many texts at once, with the same options: all or nothing, ids in input order. order_keys and dedup_keys: one a text;
-- where a dedup key is taken, the id is that of the message that is there.
CREATE OR REPLACE FUNCTION mq.enqueue_many(
    queue text, payloads text[], priority integer DEFAULT NULL, delay double precision DEFAULT NULL,
    ttl double precision DEFAULT NULL, create_queue boolean DEFAULT NULL, order_keys text[] DEFAULT NULL,
    dedup_keys text[] DEFAULT NULL, dedup_window double precision DEFAULT NULL
) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    many integer[] := ARRAY[COALESCE(cardinality(payloads), 0)];
    r record;
BEGIN
    IF cardinality(order_keys) <> many[1] OR cardinality(dedup_keys) <> many[1] THEN
        PERFORM mq._raise('MQ001', format('%s payloads need as many order_keys and dedup_keys, or none', many[1]));
    END IF;
    r := mq._enqueue_many(
        queue, ARRAY(SELECT convert_to(p.t, 'UTF8') FROM unnest(payloads) WITH ORDINALITY AS p (t, i) ORDER BY p.i),
        array_fill(1::smallint, many), CASE WHEN priority IS NOT NULL THEN array_fill(priority, many) END,
        CASE WHEN delay IS NOT NULL THEN array_fill(mq._ms(delay), many) END,
        CASE WHEN ttl IS NOT NULL THEN array_fill(mq._ms(ttl), many) END, NULL, create_queue, NULL, NULL, NULL, NULL, NULL, order_keys, dedup_keys,
        CASE WHEN dedup_window IS NOT NULL THEN array_fill(mq._ms(dedup_window), many) END);
    PERFORM mq._raise(r.code, r.detail);
    RETURN COALESCE(r.ids, '{}');
END $$;
