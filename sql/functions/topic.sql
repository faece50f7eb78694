-- Topics: what they are called, what shapes them, which queues are bound to them. A topic that nobody has created lies
-- in the common log, and is nothing but its messages there.

-- Most names are seen to be good at the first glance.
CREATE OR REPLACE FUNCTION mq._topic_fault(topic text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN topic !~ '^ |[^ -~]| $' AND octet_length(topic) BETWEEN 1 AND 160 THEN NULL
                ELSE regexp_replace(mq._name_fault(topic), '^(a )?queue', '\1topic') END
$$;

-- A topic's place in the doorbell's keys, (oid of mq.topic_log, 4 * bell + role), whether or not there is such a topic.
-- Two of one number wake each other for nothing.
CREATE OR REPLACE FUNCTION mq._bell(topic text) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$ SELECT hashtext(topic) & 536870911 $$;

CREATE OR REPLACE FUNCTION mq._topic_channel_of(topic text, OUT code text, OUT detail text, OUT channel text)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    detail := mq._topic_fault(topic);
    code := CASE WHEN detail IS NOT NULL THEN 'MQ001' END;
    channel := mq._channel('mq.topic_log'::regclass::oid::integer, mq._bell(topic));
END $$;

-- The channel that a topic's bell rings on, for LISTEN.
CREATE OR REPLACE FUNCTION mq.topic_channel(topic text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    r record := mq._topic_channel_of(topic);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.channel;
END $$;

-- As mq.doze, for a subscriber: nobody takes messages from a topic, and nothing falls due.
CREATE OR REPLACE FUNCTION mq.topic_doze(
    topic text, announced boolean DEFAULT false,
    OUT code text, OUT detail text, OUT producing boolean, OUT consuming boolean, OUT due_in_ms bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    class CONSTANT integer := 'mq.topic_log'::regclass::oid;
    bell integer := mq._bell(topic);
BEGIN
    detail := mq._topic_fault(topic);
    IF detail IS NOT NULL THEN
        code := 'MQ001';
        RETURN;
    END IF;
    IF announced IS NOT TRUE THEN
        PERFORM pg_advisory_lock_shared(class, bell * 4);
    END IF;
    producing := NOT (pg_try_advisory_lock(class, bell * 4 + 1) AND pg_advisory_unlock(class, bell * 4 + 1));
    consuming := false;
END $$;

-- Takes back the announcement of mq.topic_doze.
CREATE OR REPLACE FUNCTION mq.topic_awake(topic text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_unlock_shared('mq.topic_log'::regclass::oid::integer, mq._bell(topic) * 4);
END $$;

CREATE OR REPLACE FUNCTION mq._retention_fault(retain_ms bigint, max_messages bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF retain_ms NOT BETWEEN 1000 AND 9999999000 THEN
        RETURN format('a retention of %s is out of range: 1 to 9999999 seconds are allowed', mq._spell_ms(retain_ms));
    ELSIF max_messages < 1 AND max_messages <> -1 THEN
        RETURN format('max_messages %s is out of range: 1 and more, or -1 for no limit, is allowed', max_messages);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mq._no_topic(topic text) RETURNS mq.outcome
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN mq._topic_fault(topic) IS NOT NULL THEN mq._outcome('MQ001', mq._topic_fault(topic))
           ELSE mq._outcome('MQ002', format('topic "%s" was not created: it has no retention of its own, and if there is '
                                            'one it lies in the common log', topic)) END
$$;

-- Whether a log holds a message of a topic.
CREATE OR REPLACE FUNCTION mq._holds(log_id integer, topic text) RETURNS boolean
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    messages regclass;
    found_one boolean;
BEGIN
    FOR messages IN SELECT t.messages FROM mq.topic_segment t WHERE t.log_id = _holds.log_id LOOP
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || messages || ' m WHERE m.topic = $1)' INTO found_one USING topic;
        IF found_one THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;

-- Gives a topic a log of its own, and with it a retention of its own: messages are kept for so long, and no more of
-- them than about max_messages; -1: no limit. Waits for the transactions that are publishing to the topic.
CREATE OR REPLACE FUNCTION mq._topic_create(topic text, retain_ms bigint, max_messages bigint, if_not_exists boolean) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
DECLARE
    fault text := COALESCE(mq._topic_fault(topic), mq._retention_fault(retain_ms, max_messages),
                           mq._isolation_fault('a topic is created'));
    common mq.topic_log;
    made integer;
BEGIN
    IF fault IS NOT NULL THEN
        RETURN mq._outcome('MQ001', fault);
    END IF;
    PERFORM pg_advisory_xact_lock('mq.topic_log'::regclass::oid::integer, mq._bell(topic) * 4 + 1);
    IF EXISTS (SELECT FROM mq.topic_log l WHERE l.topic = _topic_create.topic) THEN
        RETURN CASE WHEN COALESCE(if_not_exists, false) THEN NULL
               ELSE mq._outcome('MQ003', format('topic "%s" exists already; its retention is untouched', topic)) END;
    END IF;
    -- Whoever publishes in a snapshot of before is refused: see _topic_enter.
    UPDATE mq.topic_log l SET modified = clock_timestamp() WHERE l.topic = '' RETURNING l.* INTO common;
    IF mq._holds(common.id, topic) THEN
        RETURN mq._outcome('MQ003', format('topic "%s" lies in the common log already, and its messages with it: '
                                           'create it before its first message, or when they are over', topic));
    END IF;
    INSERT INTO mq.topic_log AS l (topic, retain_ms, max_messages)
    VALUES (topic, COALESCE(_topic_create.retain_ms, common.retain_ms), NULLIF(_topic_create.max_messages, -1))
    RETURNING l.id INTO made;
    PERFORM mq._make_log(made);
    RETURN NULL;
END $$;

-- Times in seconds. NULL: as the common log has it; no limit.
CREATE OR REPLACE FUNCTION mq.topic_create(
    topic text, retain double precision DEFAULT NULL, max_messages bigint DEFAULT NULL, if_not_exists boolean DEFAULT false
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._topic_create(topic, mq._ms(retain), max_messages, if_not_exists);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;

-- Changes the retention of a topic that was created; topic NULL: of the common log.
CREATE OR REPLACE FUNCTION mq._topic_set(topic text, retain_ms bigint, max_messages bigint) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
DECLARE
    fault text := COALESCE(mq._retention_fault(retain_ms, max_messages), CASE WHEN topic = '' THEN mq._topic_fault(topic) END);
BEGIN
    IF fault IS NOT NULL THEN
        RETURN mq._outcome('MQ001', fault);
    END IF;
    UPDATE mq.topic_log l
    SET retain_ms = COALESCE(_topic_set.retain_ms, l.retain_ms), modified = clock_timestamp(),
        max_messages = NULLIF(COALESCE(_topic_set.max_messages, l.max_messages), -1)
    WHERE l.topic = COALESCE(_topic_set.topic, '');
    RETURN CASE WHEN NOT FOUND THEN mq._no_topic(topic) END;
END $$;

-- Times in seconds. NULL: as it is; -1: no limit.
CREATE OR REPLACE FUNCTION mq.topic_set(
    topic text, retain double precision DEFAULT NULL, max_messages bigint DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._topic_set(topic, mq._ms(retain), max_messages);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;

-- Deletes a topic that was created, its messages, subscribers and bindings. Waits for the transactions that are
-- publishing to it.
CREATE OR REPLACE FUNCTION mq._topic_delete(topic text) RETURNS mq.outcome
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    l mq.topic_log;
    fault text := mq._isolation_fault('a topic is deleted');
BEGIN
    IF fault IS NOT NULL THEN
        RETURN mq._outcome('MQ001', fault);
    END IF;
    PERFORM pg_advisory_xact_lock('mq.topic_log'::regclass::oid::integer, mq._bell(topic) * 4 + 1);
    SELECT t.* INTO l FROM mq.topic_log t WHERE t.topic = NULLIF(_topic_delete.topic, '');
    IF NOT FOUND THEN
        RETURN mq._no_topic(topic);
    END IF;
    PERFORM mq._drop_log(l.id);
    DELETE FROM mq.topic_position p USING mq.topic_subscriber s WHERE s.topic = l.topic AND p.subscriber_id = s.id;
    DELETE FROM mq.topic_subscriber s WHERE s.topic = l.topic;
    DELETE FROM mq.topic_binding b WHERE b.topic = l.topic;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mq.topic_delete(topic text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._topic_delete(topic);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;

-- Each message published to the topic from now on is enqueued in the queue too, in the same transaction. filter: only
-- those whose headers contain this JSON object. Binding it again changes the filter.
CREATE OR REPLACE FUNCTION mq._topic_bind(topic text, queue text, filter text) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
DECLARE
    fault text := COALESCE(mq._topic_fault(topic), CASE WHEN filter IS NOT NULL AND mq._filter(filter) IS NULL
                                                        THEN 'the filter is not a JSON object' END);
BEGIN
    IF fault IS NOT NULL THEN
        RETURN mq._outcome('MQ001', fault);
    END IF;
    -- Locked, so that the queue is not deleted just now.
    INSERT INTO mq.topic_binding (topic, queue_id, filter)
    SELECT _topic_bind.topic, q.id, mq._filter(_topic_bind.filter) FROM mq.queue q WHERE q.name = queue FOR KEY SHARE
    ON CONFLICT ON CONSTRAINT topic_binding_pkey DO UPDATE SET filter = EXCLUDED.filter;
    RETURN CASE WHEN NOT FOUND THEN mq._no_queue(queue) END;
END $$;

CREATE OR REPLACE FUNCTION mq.topic_bind(topic text, queue text, filter jsonb DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._topic_bind(topic, queue, filter::text);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;

-- Whether the queue was bound to the topic.
CREATE OR REPLACE FUNCTION mq._topic_unbind(topic text, queue text, OUT code text, OUT detail text, OUT was_bound boolean)
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome;
BEGIN
    DELETE FROM mq.topic_binding b USING mq.queue q
    WHERE b.topic = _topic_unbind.topic AND b.queue_id = q.id AND q.name = _topic_unbind.queue;
    was_bound := FOUND;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM mq.queue q WHERE q.name = queue) THEN
        o := mq._no_queue(queue);
        code := o.code;
        detail := o.detail;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION mq.topic_unbind(topic text, queue text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._topic_unbind(topic, queue);
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.was_bound;
END $$;
