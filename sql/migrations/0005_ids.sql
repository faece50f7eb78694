-- A number that a topic's log draws is good for a hundred ids: see mq._nth_id. The ids of before are lower than all that
-- come. Lock level: none.

-- CREATE OR REPLACE cannot change what a function takes and gives.
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid FROM pg_catalog.pg_proc p
             WHERE p.pronamespace = (SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = 'mq.message'::regclass)
               AND p.proname IN ('_segments_to_read', '_topic_enter', '_topic_publish_many')
    LOOP
        EXECUTE pg_catalog.format('DROP FUNCTION %s', f);
    END LOOP;
END $$;
