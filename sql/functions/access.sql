-- Who may do what. EXECUTE is revoked from PUBLIC at the end of each install; these grant a role what it takes to
-- produce, to consume, or to monitor, and no more. One role may have several parts.
-- The functions run with the caller's rights, so each grant names the tables too; those whose names begin with _ give
-- nobody more than the tables do, and go with all. Who was granted what is kept, for the upgrades to come.

CREATE OR REPLACE FUNCTION mq._grant(role name, functions text[], but text[], VARIADIC tables text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    ns oid := (SELECT c.relnamespace FROM pg_catalog.pg_class c
               WHERE c.oid = (SELECT n.tableoid FROM mq.namespace n));
    f regprocedure;
    t text;
BEGIN
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %s TO %I', ns::regnamespace, role);
    FOR f IN SELECT p.oid FROM pg_catalog.pg_proc p
             WHERE p.pronamespace = ns AND (p.proname = ANY (functions) OR p.proname LIKE '\_%' AND p.proname <> ALL (but)) LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %I', f, role);
    END LOOP;
    FOREACH t IN ARRAY tables LOOP
        EXECUTE pg_catalog.format('GRANT %s %s.%I TO %I', split_part(t, ' ON ', 1) || ' ON',
                                  ns::regnamespace, split_part(t, ' ON ', 2), role);
    END LOOP;
END $$;

-- What a part is made of: public functions by name, those beginning with _ that it does not get, and "PRIVILEGES ON TABLE".
CREATE OR REPLACE FUNCTION mq._part(part text, OUT functions text[], OUT but text[], OUT tables text[])
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF part = 'producer' THEN
        functions := '{version,enqueue,enqueue_unique,enqueue_many,list_queues,channel,id_text,doctor,
            topic_publish,topic_publish_many,topic_list,topic_tend}';
        but := '{}';
        tables := ARRAY['SELECT, UPDATE (modified) ON queue', 'SELECT ON namespace', 'SELECT ON migration',
            'SELECT, UPDATE (modified) ON topic_log', 'SELECT ON topic_segment', 'INSERT, SELECT (id) ON topic_message',
            'SELECT ON topic_binding',
            'INSERT, SELECT (id, queue_id, order_key, dedup_key) ON message',
            'SELECT, INSERT, UPDATE, DELETE ON dedup_window', 'USAGE ON position'];
    ELSIF part = 'monitor' THEN
        functions := '{version,list,get,peek,count,stats,consumers,doctor,list_queues,channel,id_text,doze,awake,
            topic_next,topic_latest,topic_subscribe,topic_subscribers,topic_list,topic_channel,topic_doze,topic_awake}';
        -- The first runs with the owner's rights, and deletes. The others would be refused by the tables, but not before there is
        -- something to do.
        but := '{_forget,_purge,_receive_id,_nack,_release,_extend,_settle,_keep,_topic_delete}';
        -- Of position the totals of the queues to come: see _make_totals.
        tables := ARRAY['SELECT ON queue', 'SELECT ON namespace', 'SELECT ON migration', 'SELECT ON granted', 'SELECT ON message',
            'SELECT ON dead_letter', 'SELECT ON dedup_window', 'SELECT ON topic_log', 'SELECT ON topic_segment',
            'SELECT ON topic_message', 'SELECT ON topic_binding', 'SELECT ON topic_subscriber', 'SELECT ON topic_position',
            'SELECT ON position'];
    ELSE
        functions :=
            '{version,pop,dequeue,receive,receive_id,ack,ack_many,nack,nack_many,release,release_many,extend,extend_many,
              reschedule,list,get,peek,count,stats,consumers,clean,cancel,requeue_dead,purge_dead,list_queues,channel,id_text,doze,awake,doctor,
              topic_next,topic_latest,topic_subscribe,topic_commit,topic_unsubscribe,topic_subscribers,topic_list,topic_tend,
              topic_channel,topic_doze,topic_awake}';
        -- It may insert messages, to return those that it takes; but not send.
        but := '{_enqueue,_enqueue_plain,_enqueue_plain_many,_enqueue_copy,_enqueue_many,_store_keyed,_topic_publish,_topic_publish_many}';
        tables := ARRAY['SELECT, UPDATE (modified) ON queue', 'SELECT ON namespace', 'SELECT ON migration',
            'SELECT ON topic_log', 'SELECT ON topic_segment', 'SELECT ON topic_message', 'SELECT ON topic_binding',
            'SELECT, INSERT, UPDATE (hold_ms), DELETE ON topic_subscriber', 'SELECT, INSERT, DELETE ON topic_position',
            'SELECT, INSERT, UPDATE, DELETE ON message', 'SELECT, INSERT, UPDATE (reason), DELETE ON dead_letter',
            'SELECT, DELETE ON dedup_window', 'USAGE, SELECT ON position'];
    END IF;
END $$;

CREATE OR REPLACE FUNCTION mq._grant_part(role name, part text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    p record := mq._part(part);
    total regclass;
    segment regclass;
    log record;
BEGIN
    PERFORM mq._grant(role, p.functions, p.but, VARIADIC p.tables);
    FOR total IN SELECT unnest(ARRAY[q.sent, q.received, q.sent_many, q.received_many]) FROM mq.queue q LOOP
        EXECUTE format('GRANT %s ON %s TO %I', CASE part WHEN 'monitor' THEN 'SELECT' ELSE 'USAGE, UPDATE' END, total, role);
    END LOOP;
    IF part = 'producer' THEN
        -- Which segment is the current one is to be seen, not set.
        FOR log IN SELECT l.ids, l.current FROM mq.topic_log l LOOP
            EXECUTE format('GRANT USAGE ON %s TO %I; GRANT SELECT ON %s TO %2$I', log.ids, role, log.current);
        END LOOP;
    ELSE
        FOR segment IN SELECT s.messages FROM mq.topic_segment s LOOP
            EXECUTE format('GRANT SELECT ON %s TO %I', segment, role);
        END LOOP;
    END IF;
    INSERT INTO mq.granted (role, part) VALUES (role, part) ON CONFLICT ON CONSTRAINT granted_pkey DO NOTHING;
END $$;

-- role may send: it can neither read, take nor remove a message; of those there are it sees ids and keys.
CREATE OR REPLACE FUNCTION mq.grant_producer(role name) RETURNS void
LANGUAGE sql AS $$ SELECT mq._grant_part(role, 'producer') $$;

-- role may take, settle, look, tidy and cancel, and see to the dead letters: it can neither send nor
-- change a queue.
CREATE OR REPLACE FUNCTION mq.grant_consumer(role name) RETURNS void
LANGUAGE sql AS $$ SELECT mq._grant_part(role, 'consumer') $$;

-- role may look at everything and wait for it, and change nothing.
CREATE OR REPLACE FUNCTION mq.grant_monitor(role name) RETURNS void
LANGUAGE sql AS $$ SELECT mq._grant_part(role, 'monitor') $$;

-- Takes back whatever role was granted in the namespace, by these or by hand, and forgets it, so that no upgrade grants it
-- again. Whether there was anything. What role owns, and what it has by another role, stays.
CREATE OR REPLACE FUNCTION mq.revoke(role name) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    ns oid := (SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = 'mq.granted'::regclass);
    -- public is what grants to a role of that name give to: everybody.
    who oid := COALESCE((SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = role), CASE role WHEN 'public' THEN 0 END);
    had boolean;
    object text;
BEGIN
    -- First, as it is refused to whoever is not the owner; a REVOKE only warns.
    DELETE FROM mq.granted g WHERE g.role = revoke.role;
    had := FOUND;
    FOR object IN
        SELECT DISTINCT g.object FROM (
            SELECT 'SCHEMA ' || n.oid::regnamespace AS object, n.nspowner AS owner, n.nspacl AS acl
            FROM pg_catalog.pg_namespace n WHERE n.oid = ns
            UNION ALL
            SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass, c.relowner, u.acl
            FROM pg_catalog.pg_class c
            CROSS JOIN LATERAL (SELECT c.relacl UNION ALL
                                SELECT a.attacl FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid) u (acl)
            WHERE c.relnamespace = ns
            UNION ALL
            SELECT 'ROUTINE ' || p.oid::regprocedure, p.proowner, p.proacl FROM pg_catalog.pg_proc p WHERE p.pronamespace = ns) g
        CROSS JOIN LATERAL pg_catalog.aclexplode(g.acl) a
        WHERE a.grantee = who AND g.owner <> who
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %I', object, role);  -- the columns' go with the table's
        had := true;
    END LOOP;
    RETURN had;
END $$;

-- The end of an install: what functions alone could not do.
CREATE OR REPLACE FUNCTION mq._installed() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mq._put_in_force(NULL);
    PERFORM mq._make_totals(q.id) FROM mq.queue q;
    PERFORM mq._make_log(l.id) FROM mq.topic_log l;
    PERFORM mq._grant_part(g.role, g.part) FROM mq.granted g JOIN pg_catalog.pg_roles r ON r.rolname = g.role;
END $$;
