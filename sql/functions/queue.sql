-- Queues and the settings of the namespace.

CREATE OR REPLACE FUNCTION mq._queue_fault(name text, max_size integer, priority integer, error_limit integer)
RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF max_size NOT BETWEEN -1 AND 1073741823 THEN
        RETURN format('max_size %s is out of range: 0 to 1073741823 bytes, or -1 for no limit, is allowed', max_size);
    ELSIF priority < 0 THEN
        RETURN format('priority %s is out of range: 0 to 2147483647 is allowed', priority);
    ELSIF error_limit < 1 THEN
        RETURN format('error_limit %s is out of range: 1 to 2147483647 is allowed', error_limit);
    END IF;
    RETURN mq._name_fault(name);
END $$;

-- NULL means the built-in default.
CREATE OR REPLACE FUNCTION mq._create_queue(
    name text, max_size integer, priority integer, error_limit integer, if_not_exists boolean
) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
DECLARE
    fault text := mq._queue_fault(name, max_size, priority, error_limit);
BEGIN
    IF fault IS NOT NULL THEN
        RETURN mq._outcome('MQ001', fault);
    END IF;
    INSERT INTO mq.queue AS q (name, max_size, priority, error_limit)
    VALUES (_create_queue.name, COALESCE(_create_queue.max_size, 65536),
            COALESCE(_create_queue.priority, 999), _create_queue.error_limit)
    ON CONFLICT ON CONSTRAINT queue_name_key DO NOTHING;
    IF NOT FOUND AND NOT COALESCE(if_not_exists, false) THEN
        RETURN mq._outcome('MQ003', format('queue "%s" exists already; its attributes are untouched', name));
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mq.create_queue(
    name text, max_size integer DEFAULT NULL, priority integer DEFAULT NULL,
    error_limit integer DEFAULT NULL, if_not_exists boolean DEFAULT false
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._create_queue(name, max_size, priority, error_limit, if_not_exists);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;

-- Deletes a queue with all its messages. Waits for the transactions that are sending to it.
CREATE OR REPLACE FUNCTION mq._delete_queue(name text) RETURNS mq.outcome
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    q mq.queue;
    class integer;
BEGIN
    SELECT t.tableoid::integer INTO class FROM mq.queue t WHERE t.name = _delete_queue.name;
    SELECT t.* INTO q FROM mq.queue t WHERE t.name = _delete_queue.name FOR UPDATE;
    IF NOT FOUND THEN
        RETURN mq._no_queue(name);
    END IF;
    PERFORM pg_advisory_xact_lock(class, q.id * 4 + 1);
    -- Again and again: what a consumer returns while it is waited for is a new row.
    WHILE EXISTS (SELECT FROM mq.message m WHERE m.queue_id = q.id AND m.state = 0)
       OR EXISTS (SELECT FROM mq.message m WHERE m.queue_id = q.id AND m.state <> 0) LOOP
        PERFORM FROM mq.message m WHERE m.queue_id = q.id AND m.state = 0 FOR NO KEY UPDATE;
        PERFORM FROM mq.message m WHERE m.queue_id = q.id AND m.state <> 0 FOR NO KEY UPDATE;
        BEGIN
            DELETE FROM mq.message m WHERE m.queue_id = q.id AND m.state = 0;
            DELETE FROM mq.message m WHERE m.queue_id = q.id AND m.state <> 0;
        EXCEPTION WHEN no_data_found THEN
            RAISE;  -- for the subtransaction's sake: see _holder
        END;
    END LOOP;
    DELETE FROM mq.dead_letter d WHERE d.queue_id = q.id;
    DELETE FROM mq.queue t WHERE t.id = q.id;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mq.delete_queue(name text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    o mq.outcome := mq._delete_queue(name);
BEGIN
    PERFORM mq._raise(o.code, o.detail);
END $$;

CREATE OR REPLACE FUNCTION mq.list_queues()
RETURNS TABLE (name text, max_size integer, priority integer, error_limit integer,
               created timestamptz, modified timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT q.name, q.max_size, q.priority, q.error_limit, q.created, q.modified
    FROM mq.queue q ORDER BY q.name
$$;

-- Whether a send to an unknown queue creates it with the built-in attributes.
CREATE OR REPLACE FUNCTION mq.set_auto_create(enabled boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF enabled IS NULL THEN
        PERFORM mq._raise('MQ001', 'auto_create must be true or false');
    END IF;
    UPDATE mq.namespace SET auto_create = enabled;
END $$;

-- Every queue, message and dead letter goes; settings and grants stay.
CREATE OR REPLACE FUNCTION mq.reset() RETURNS void
LANGUAGE sql AS $$
    TRUNCATE mq.queue, mq.message, mq.dead_letter;
$$;
