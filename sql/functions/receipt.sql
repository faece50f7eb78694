-- The public face of settling. Each takes a message's id and its attempts, as dequeue and receive give them, and says
-- what came of it: 'stale' if the message is not this consumer's any more, 'not_found' if it is gone. Nothing is
-- raised for these: the caller's transaction goes on. The _many twins do many in one call, a row each in any order.

-- Done: the message is deleted, with the transaction's commit. 'done', 'stale', 'not_found'.
CREATE OR REPLACE FUNCTION mq.ack(message_id bigint, attempt integer) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT s.outcome FROM mq._ack_many(ARRAY[message_id], ARRAY[attempt]) s);
END $$;

CREATE OR REPLACE FUNCTION mq.ack_many(ids bigint[], attempts integer[]) RETURNS TABLE (message_id bigint, outcome text)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM mq._settle_public('ack', ids, attempts, NULL, NULL, NULL, NULL);
END $$;

-- Failed: the error is counted, and the message goes back to the tail, after the queue's retry delay, or to
-- the dead letters. requeue: NULL: as the message, then the queue says; delay in seconds: NULL: the retry delay.
-- 'returned', 'dead', 'dropped', 'stale', 'not_found'.
CREATE OR REPLACE FUNCTION mq.nack(
    message_id bigint, attempt integer, error text DEFAULT NULL, requeue boolean DEFAULT NULL,
    delay double precision DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT s.outcome FROM mq._settle_public(
        'nack', ARRAY[message_id], ARRAY[attempt], error, requeue, mq._ms(delay), NULL) s);
END $$;

CREATE OR REPLACE FUNCTION mq.nack_many(
    ids bigint[], attempts integer[], error text DEFAULT NULL, requeue boolean DEFAULT NULL,
    delay double precision DEFAULT NULL
) RETURNS TABLE (message_id bigint, outcome text)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM mq._settle_public('nack', ids, attempts, error, requeue, mq._ms(delay), NULL);
END $$;

-- Not done, and no failure: the message goes back to the tail at once. 'released', 'stale', 'not_found'.
CREATE OR REPLACE FUNCTION mq.release(message_id bigint, attempt integer) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    RETURN mq._release(message_id, attempt);
END $$;

CREATE OR REPLACE FUNCTION mq.release_many(ids bigint[], attempts integer[]) RETURNS TABLE (message_id bigint, outcome text)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM mq._settle_public('release', ids, attempts, NULL, NULL, NULL, NULL);
END $$;

-- Still at it: the lease ends so many seconds from now. NULL: as long as it was given for, by the message's own or the
-- queue's; 0: release. 'extended', 'released', 'stale', 'not_found'.
CREATE OR REPLACE FUNCTION mq.extend(message_id bigint, attempt integer, lease double precision DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT s.outcome FROM mq._settle_public(
        'extend', ARRAY[message_id], ARRAY[attempt], NULL, NULL, NULL, mq._ms(lease)) s);
END $$;

CREATE OR REPLACE FUNCTION mq.extend_many(
    ids bigint[], attempts integer[], lease double precision DEFAULT NULL
) RETURNS TABLE (message_id bigint, outcome text)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM mq._settle_public('extend', ids, attempts, NULL, NULL, NULL, mq._ms(lease));
END $$;

CREATE OR REPLACE FUNCTION mq._settle_public(
    verb text, ids bigint[], attempts integer[], error text, requeue boolean, delay_ms bigint, lease_ms bigint
) RETURNS TABLE (message_id bigint, outcome text)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM mq._settle(verb, ids, attempts, error, requeue, delay_ms, lease_ms) LOOP
        PERFORM mq._raise(r.code, r.detail);
        message_id := r.id;
        outcome := r.outcome;
        RETURN NEXT;
    END LOOP;
END $$;

-- For a message that nobody has, be it ready or delayed: it becomes ready so many seconds from now. 'ready', 'delayed',
-- 'blocked', 'in_flight', 'not_found'.
CREATE OR REPLACE FUNCTION mq.reschedule(message_id bigint, delay double precision) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    r record := mq._reschedule(message_id, mq._ms(delay));
BEGIN
    PERFORM mq._raise(r.code, r.detail);
    RETURN r.outcome;
END $$;
