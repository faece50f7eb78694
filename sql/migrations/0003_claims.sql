-- A claim gives its messages as the rows they are, and batches have totals of their own. Lock level: ACCESS EXCLUSIVE on
-- mq.queue, for a moment.

-- CREATE OR REPLACE cannot change what a function takes and gives.
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid FROM pg_catalog.pg_proc p
             WHERE p.pronamespace = (SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = 'mq.message'::regclass)
               AND p.proname IN ('_add_total', '_claim', '_open_for_send', '_promote_queue', '_ring')
    LOOP
        EXECUTE pg_catalog.format('DROP FUNCTION %s', f);
    END LOOP;
END $$;

-- Sequences, made by mq._make_totals. As sent and received, for batches.
ALTER TABLE mq.queue
    ADD sent_many regclass,
    ADD received_many regclass;
