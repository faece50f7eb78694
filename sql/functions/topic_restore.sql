-- Topics after a restore. Positions, and what says in which transaction a message was published, mean something in one
-- cluster only. pg_upgrade and physical copies keep that; a dump that is restored into another cluster does not.

-- A durable subscriber's position when all messages are in the order of their ids: before the first one that it has not
-- read, some of those behind which it may have read. number, id: of that message; NULL: there is none.
CREATE OR REPLACE FUNCTION mq._first_unread(topic text, after text, OUT number bigint, OUT id bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p record := mq._parse_position(after);
BEGIN
    SELECT s.number, m.id INTO number, id
    FROM mq.topic_segment s JOIN mq.topic_message m ON m.segment = s.id
    WHERE m.topic = _first_unread.topic AND NOT pg_visible_in_snapshot(m.xid, p.seen)
      AND (p.upto IS NULL OR NOT pg_visible_in_snapshot(m.xid, p.upto) OR (s.number, m.xid, m.id) > (p.number, p.xid, p.id))
    ORDER BY s.number, m.id LIMIT 1;
END $$;

-- To be called once, by the owner, after a dump was restored into another cluster and before anybody publishes or reads
-- there. Every message that is kept was committed before now, in the order of the ids; durable subscribers go on with the
-- first message that they have not read, or begin at start.
CREATE OR REPLACE FUNCTION mq.topic_restored(start text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    now pg_snapshot;
    p record;
    f record;
BEGIN
    PERFORM mq._raise('MQ001', 'durable subscribers begin at "oldest" or "now", or go on where they are: NULL')
    WHERE start NOT IN ('oldest', 'now');
    PERFORM mq._raise('MQ001', i) FROM mq._isolation_fault('topic_restored works') i WHERE i IS NOT NULL;
    PERFORM pg_advisory_xact_lock('mq.topic_segment'::regclass::oid::integer, 0);
    LOCK TABLE mq.topic_message, mq.topic_position IN ACCESS EXCLUSIVE MODE;
    now := mq._visible_now();
    FOR p IN SELECT DISTINCT ON (t.subscriber_id) t.subscriber_id, t.number, t.position, s.topic
             FROM mq.topic_position t JOIN mq.topic_subscriber s ON s.id = t.subscriber_id
             ORDER BY t.subscriber_id, t.number DESC LOOP
        f := mq._first_unread(p.topic, CASE WHEN start = 'oldest' THEN '1:1:' ELSE p.position END);
        DELETE FROM mq.topic_position t WHERE t.subscriber_id = p.subscriber_id;
        INSERT INTO mq.topic_position (subscriber_id, number, position)
        VALUES (p.subscriber_id, p.number + 1, CASE WHEN start = 'now' OR f.id IS NULL THEN now::text
                                                    ELSE format('1:1:/%s/%s/3/%s', now, f.number, f.id - 1) END);
    END LOOP;
    -- 3: the first number of a transaction, over in every snapshot.
    UPDATE mq.topic_message SET xid = '3';
    UPDATE mq.topic_segment s
    SET opened_by = '3', sealed_by = CASE WHEN s.sealed IS NOT NULL THEN pg_current_xact_id() END,
        trimmed_by = CASE WHEN s.trimmed IS NOT NULL THEN '3'::xid8 END
    WHERE s.number IS NOT NULL;
    -- A dump has sequences as they are when it comes to them, and may miss the segment that this one names.
    PERFORM setval(l.current, (SELECT t.id FROM mq.topic_segment t WHERE t.log_id = l.id ORDER BY t.number DESC LIMIT 1))
    FROM mq.topic_log l;
END $$;
