-- What a session of plans.sh needs: psql's.
-- The blocks are those of all sessions, and a session tells of its last ones when it ends: those that filled the tables
-- have to be gone. What this one has touched is partly flushed, and partly still its own.
SET application_name = 'steps';
CREATE PROCEDURE pg_temp.others_are_gone() LANGUAGE plpgsql AS $$
BEGIN
    WHILE EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'OTHERS' AND pid <> pg_backend_pid()) LOOP
        PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
    END LOOP;
END $$;
CALL pg_temp.others_are_gone();
SELECT format('%L', array_agg(c.oid)) AS tables FROM pg_class c
WHERE (c.relname IN ('message', 'dead_letter', 'dedup_window') OR c.relname LIKE 'topic\_%') AND c.relkind = 'r'
  AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'mq.message'::regclass) \gset
PREPARE counts AS
    SELECT '@count', $1::text, c.relname, pg_stat_get_blocks_fetched(c.oid) + pg_stat_get_xact_blocks_fetched(c.oid)
    FROM (SELECT unnest(:tables::oid[]) AS oid
          UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = ANY (:tables::oid[])) t
    JOIN pg_class c USING (oid);
-- As the library claims: with a cursor, in a transaction of its own.
PREPARE claim(integer, integer, integer[], bigint[], timestamptz) AS
    SELECT c.id, c.attempts
    FROM mq._claim('q', $1, $2::smallint, NULL, NULL, $3, $4, $5, true, true, true) c WHERE c.id IS NOT NULL;
