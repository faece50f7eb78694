-- Who may do what. EXECUTE is revoked from PUBLIC at the end of each install; these two grant a
-- role what it takes to produce, or to consume, and no more. Both may be granted to one role.
-- The functions run with the caller's rights, so each grant names the tables too.

CREATE OR REPLACE FUNCTION mq._grant(role name, functions text[], VARIADIC tables text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    ns oid := (SELECT c.relnamespace FROM pg_catalog.pg_class c
               WHERE c.oid = (SELECT n.tableoid FROM mq.namespace n));
    f regprocedure;
    t text;
BEGIN
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %s TO %I', ns::regnamespace, role);
    FOR f IN SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.pronamespace = ns AND p.proname = ANY (functions) LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %I', f, role);
    END LOOP;
    FOREACH t IN ARRAY tables LOOP
        EXECUTE pg_catalog.format('GRANT %s %s.%I TO %I', split_part(t, ' ON ', 1) || ' ON',
                                  ns::regnamespace, split_part(t, ' ON ', 2), role);
    END LOOP;
END $$;

-- role may send: it can neither read, take nor remove a message.
CREATE OR REPLACE FUNCTION mq.grant_producer(role name) RETURNS void
LANGUAGE sql AS $$
    SELECT mq._grant(role,
        '{version,enqueue,enqueue_many,list_queues,channel,id_text,_enqueue,_enqueue_many,_open_for_send,
          _message_fault,_outcome,_no_queue,_name_fault,_create_queue,_queue_fault,_is_json,_is_json_object,_ms,_raise,_ring,_channel,_channel_of}',
        'SELECT, UPDATE (modified) ON queue', 'SELECT ON namespace', 'SELECT ON migration', 'INSERT ON message', 'USAGE ON position');
$$;

-- role may take, settle, look and cancel, and see to the dead letters: it can neither send nor
-- change a queue.
CREATE OR REPLACE FUNCTION mq.grant_consumer(role name) RETURNS void
LANGUAGE sql AS $$
    SELECT mq._grant(role,
        '{version,pop,dequeue,ack,nack,list,peek,count,cancel,requeue_dead,purge_dead,list_queues,channel,id_text,
          doze,awake,_take,_claim,_promote,_promote_queue,_due_in_ms,_in_progress,_holder,_withdraw,_count_failure,_ack,_nack,
          _list,_count,_requeue_dead,_purge_dead,_open_for_send,_returned,_ring,_channel,_channel_of,_no_queue,_name_fault,
          _kind,_body,_outcome,_raise}',
        'SELECT, UPDATE (modified) ON queue', 'SELECT ON namespace', 'SELECT ON migration',
        'SELECT, INSERT, UPDATE, DELETE ON message', 'SELECT, INSERT, DELETE ON dead_letter',
        'USAGE, SELECT ON position');
$$;
