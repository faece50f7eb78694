-- The log of the topics: segments are opened, sealed and emptied, one after the other. See docs/design.md, "Topics".
--
-- Advisory keys (oid of mq.topic_segment, n):
--   0:          whoever tends the logs
--   a segment:  held shared, to the end of the transaction, by whoever writes to it; exclusively by whoever seals it

-- Whoever has a privilege on one object gets it on another.
CREATE OR REPLACE FUNCTION mq._grant_alike(privilege text, model regclass, made regclass) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    grantee oid;
BEGIN
    FOR grantee IN SELECT a.grantee FROM pg_catalog.pg_class c, aclexplode(c.relacl) a
                   WHERE c.oid = model AND a.privilege_type = privilege AND a.grantee <> c.relowner LOOP
        EXECUTE format('GRANT %s ON %s TO %s', privilege, made, CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END);
    END LOOP;
END $$;

-- A new segment, free. Its place in the doorbell's keys and in mq.topic_message is its id. Who may read mq.topic_message may
-- read it.
CREATE OR REPLACE FUNCTION mq._make_segment() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    ns text := (SELECT c.relnamespace::regnamespace::text FROM pg_catalog.pg_class c WHERE c.oid = 'mq.topic_segment'::regclass);
    made integer := (SELECT COALESCE(max(s.id), 0) + 1 FROM mq.topic_segment s);
BEGIN
    -- Made first and then attached: that does not wait for publishers, nor they for it. It is emptied as a whole, so
    -- vacuum has nothing to do in it, and would be in the way.
    EXECUTE format('CREATE TABLE %1$s.topic_message_%2$s (LIKE %1$s.topic_message) '
                   'WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false)', ns, made);
    EXECUTE format('CREATE INDEX ON %s.topic_message_%s (topic, xid, id)', ns, made);
    EXECUTE format('ALTER TABLE %1$s.topic_message ATTACH PARTITION %1$s.topic_message_%2$s FOR VALUES IN (%2$s)', ns, made);
    INSERT INTO mq.topic_segment (id, messages) VALUES (made, format('%s.topic_message_%s', ns, made)::regclass);
    PERFORM mq._grant_alike('SELECT', 'mq.topic_message', format('%s.topic_message_%s', ns, made)::regclass);
END $$;

-- What changes logs has to see what whoever held key 0 before has done; a sequence that is set in the light of an old
-- snapshot is not set back by the error that follows. NULL: it does.
CREATE OR REPLACE FUNCTION mq._isolation_fault(what text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format('%s in a transaction of READ COMMITTED, and not of %s', what, upper(current_setting('transaction_isolation')))
    WHERE current_setting('transaction_isolation') NOT LIKE 'read %'
$$;

-- Opens a segment for a log; the caller holds key 0. It is one behind which another has been made since: a session that
-- is just learning of partitions when one is attached may never hear of that one, but does with the next. Its inserts
-- would fail; what it reads it does not read by way of mq.topic_message.
CREATE OR REPLACE FUNCTION mq._open_segment(log_id integer, first_id bigint) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    free integer;
    last mq.topic_segment;
BEGIN
    WHILE (SELECT count(*) < 2 FROM mq.topic_segment s WHERE s.number IS NULL) LOOP
        PERFORM mq._make_segment();
    END LOOP;
    free := (SELECT min(s.id) FROM mq.topic_segment s WHERE s.number IS NULL);
    SELECT t.* INTO last FROM mq.topic_segment t WHERE t.log_id = _open_segment.log_id ORDER BY t.number DESC LIMIT 1;
    UPDATE mq.topic_segment s
    SET log_id = _open_segment.log_id, number = nextval('mq.topic_number'), first_id = _open_segment.first_id,
        opened = clock_timestamp(), opened_by = pg_current_xact_id(), trimmed = last.trimmed, trimmed_by = last.trimmed_by
    WHERE s.id = free;
    RETURN free;
END $$;

-- Gives a log what it lacks: its sequences, and its first segment. Who may use those of the common log may use them.
CREATE OR REPLACE FUNCTION mq._make_log(log_id integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    ns text := (SELECT c.relnamespace::regnamespace::text FROM pg_catalog.pg_class c WHERE c.oid = 'mq.topic_log'::regclass);
BEGIN
    IF (SELECT l.current IS NOT NULL FROM mq.topic_log l WHERE l.id = log_id) THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock('mq.topic_segment'::regclass::oid::integer, 0);
    EXECUTE format('CREATE SEQUENCE %s.topic_current_%s', ns, log_id);
    EXECUTE format('CREATE SEQUENCE %s.topic_ids_%s', ns, log_id);
    UPDATE mq.topic_log l SET current = format('%s.topic_current_%s', ns, log_id), ids = format('%s.topic_ids_%s', ns, log_id)
    WHERE l.id = log_id;
    PERFORM setval(l.current, mq._open_segment(log_id, 0)) FROM mq.topic_log l WHERE l.id = log_id;
    PERFORM mq._grant_alike('SELECT', c.current, l.current), mq._grant_alike('USAGE', c.ids, l.ids)
    FROM mq.topic_log l, mq.topic_log c WHERE l.id = log_id AND c.topic = '';
END $$;

-- Takes a log away; its segments are sealed, and emptied by whoever tends the logs. Nobody publishes to it any more.
CREATE OR REPLACE FUNCTION mq._drop_log(log_id integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    l mq.topic_log;
BEGIN
    PERFORM pg_advisory_xact_lock('mq.topic_segment'::regclass::oid::integer, 0);
    DELETE FROM mq.topic_log t WHERE t.id = _drop_log.log_id RETURNING t.* INTO l;
    UPDATE mq.topic_segment s SET log_id = NULL, sealed = COALESCE(s.sealed, clock_timestamp()),
                                  sealed_by = COALESCE(s.sealed_by, pg_current_xact_id())
    WHERE s.log_id = _drop_log.log_id;
    EXECUTE format('DROP SEQUENCE %s, %s', l.ids, l.current);
END $$;

-- Whether a subscriber that holds retention back has not read all of a sealed segment; his limit aside.
CREATE OR REPLACE FUNCTION mq._unread_in(messages regclass, topic text, after text) RETURNS boolean
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    seen pg_snapshot := split_part(after, '/', 1);
    unread boolean;
BEGIN
    EXECUTE 'SELECT EXISTS (SELECT FROM ' || messages || ' m WHERE m.topic = $1 AND m.xid >= pg_snapshot_xmax($2))
        OR EXISTS (SELECT FROM pg_snapshot_xip($2) t (x) CROSS JOIN LATERAL (
                       SELECT m.id FROM ' || messages || ' m
                       WHERE m.topic = $1 AND m.xid = t.x ORDER BY m.xid, m.id LIMIT 1) w)' INTO unread USING topic, seen;
    RETURN unread;
END $$;

-- Whether somebody holds a sealed segment's messages back, and is still allowed to.
CREATE OR REPLACE FUNCTION mq._is_held(s mq.topic_segment, log_topic text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    h record;
    position text;
BEGIN
    FOR h IN SELECT t.id, t.topic FROM mq.topic_subscriber t
             WHERE t.hold_ms IS NOT NULL AND s.sealed + t.hold_ms * interval '1 ms' > clock_timestamp()
               AND CASE WHEN log_topic = '' THEN NOT EXISTS (SELECT FROM mq.topic_log l WHERE l.topic = t.topic)
                        ELSE t.topic = log_topic END LOOP
        position := mq._last_position(h.id);
        IF NOT pg_visible_in_snapshot(s.sealed_by, split_part(position, '/', 1)::pg_snapshot)
           AND mq._unread_in(s.messages, h.topic, position) THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;

-- Empties a sealed segment, unless somebody reads it just now. Readers and publishers wait for nothing but the end of
-- this transaction, and only those who read this segment.
CREATE OR REPLACE FUNCTION mq._empty_segment(segment integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    messages regclass := (SELECT s.messages FROM mq.topic_segment s WHERE s.id = segment);
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', messages);
    EXECUTE format('TRUNCATE %s', messages);
    -- One that was held back may go after a later one.
    UPDATE mq.topic_segment t SET trimmed = GREATEST(t.trimmed, s.number), trimmed_by = GREATEST(t.trimmed_by, s.sealed_by)
    FROM mq.topic_segment s WHERE s.id = segment AND t.log_id = s.log_id AND t.id <> segment;
    UPDATE mq.topic_segment s
    SET log_id = NULL, number = NULL, first_id = NULL, opened = NULL, opened_by = NULL, sealed = NULL, sealed_by = NULL,
        trimmed = NULL, trimmed_by = NULL
    WHERE s.id = segment;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END $$;

-- One log's turn: another segment is opened when the current one has served its time, a quarter of the log's; taken
-- into use by a later transaction, so that whoever reads knows of it before anybody writes to it; the one before is
-- sealed when the last writer has left it, and emptied when its time is over. again: something is to be done at once.
CREATE OR REPLACE FUNCTION mq._tend_log(l mq.topic_log, OUT again boolean)
LANGUAGE plpgsql AS $$
DECLARE
    class CONSTANT integer := 'mq.topic_segment'::regclass::oid;
    at CONSTANT timestamptz := clock_timestamp();
    last_id bigint := COALESCE(pg_sequence_last_value(l.ids), 0);
    newest mq.topic_segment;
    s mq.topic_segment;
BEGIN
    again := false;
    SELECT t.* INTO newest FROM mq.topic_segment t WHERE t.log_id = l.id ORDER BY t.number DESC LIMIT 1;
    IF newest.id <> pg_sequence_last_value(l.current) THEN
        again := newest.opened_by IS NOT DISTINCT FROM pg_current_xact_id_if_assigned();
        IF NOT again THEN
            PERFORM setval(l.current, newest.id);
        END IF;
    ELSIF last_id > newest.first_id
          AND (newest.opened + l.retain_ms / 4 * interval '1 ms' <= at OR last_id - newest.first_id >= l.max_messages / 4.0) THEN
        PERFORM mq._open_segment(l.id, last_id);
        again := true;
    END IF;
    FOR s IN SELECT t.* FROM mq.topic_segment t
             WHERE t.log_id = l.id AND t.sealed IS NULL AND t.number < newest.number ORDER BY t.number LOOP
        IF s.id <> pg_sequence_last_value(l.current) AND pg_try_advisory_xact_lock(class, s.id) THEN
            UPDATE mq.topic_segment t SET sealed = at, sealed_by = pg_current_xact_id() WHERE t.id = s.id;
        END IF;
    END LOOP;
    FOR s IN SELECT t.* FROM mq.topic_segment t WHERE t.log_id = l.id AND t.sealed < at ORDER BY t.number LOOP
        EXIT WHEN NOT (s.sealed + l.retain_ms * interval '1 ms' <= at OR COALESCE(
            last_id - (SELECT min(t.first_id) FROM mq.topic_segment t WHERE t.log_id = l.id AND t.number > s.number)
            >= l.max_messages, false));
        -- What somebody has read in a transaction that is open, or holds back, does not keep the ones behind it.
        CONTINUE WHEN mq._is_held(s, l.topic) OR NOT mq._empty_segment(s.id);
        again := true;
        EXIT;  -- one a call: each holds a lock to the end of the transaction
    END LOOP;
END $$;

-- Does what is due in the logs: a few milliseconds of work, in a transaction of its own. Anybody may call it, at any
-- time; one at a time does it. The library does. In how many milliseconds to call it again.
CREATE OR REPLACE FUNCTION mq.topic_tend() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    l mq.topic_log;
    s mq.topic_segment;
    next_ms bigint := 5000;
    again boolean := false;
BEGIN
    PERFORM mq._raise('MQ001', f) FROM mq._isolation_fault('the logs are tended') f WHERE f IS NOT NULL;
    IF NOT pg_try_advisory_xact_lock('mq.topic_segment'::regclass::oid::integer, 0) THEN
        RETURN 1000;
    END IF;
    FOR l IN SELECT t.* FROM mq.topic_log t ORDER BY t.id LOOP
        again := mq._tend_log(l) OR again;
        next_ms := LEAST(next_ms, GREATEST(l.retain_ms / 16, 20), CASE WHEN l.max_messages IS NOT NULL THEN 1000 END);
    END LOOP;
    FOR s IN SELECT t.* FROM mq.topic_segment t WHERE t.log_id IS NULL AND t.number IS NOT NULL LOOP
        again := mq._empty_segment(s.id) OR again;
    END LOOP;
    RETURN CASE WHEN again THEN 0 ELSE next_ms END;
END $$;
