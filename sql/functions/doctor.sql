-- What goes wrong with queues in PostgreSQL: a row for each finding, none if all is well. It only looks: it runs in a
-- read-only transaction and on a standby, and reads a bounded number of messages of each queue. Why each check exists
-- stands in docs/design.md, "What the doctor looks for".
--
-- A message is never written with the namespace in a literal: its name could end that literal.

CREATE OR REPLACE FUNCTION mq._ms_since(at timestamptz) RETURNS bigint
LANGUAGE sql STRICT AS $$ SELECT GREATEST(0, extract(epoch FROM clock_timestamp() - at) * 1000)::bigint $$;

-- A time as a finding names it.
CREATE OR REPLACE FUNCTION mq._span(ms bigint) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN ms < 120000 THEN ms / 1000 || ' s' WHEN ms < 7200000 THEN ms / 60000 || ' min'
                WHEN ms < 172800000 THEN ms / 3600000 || ' h' ELSE ms / 86400000 || ' days' END
$$;

CREATE OR REPLACE FUNCTION mq._sees_sessions() RETURNS boolean
LANGUAGE sql STABLE AS $$ SELECT pg_has_role('pg_read_all_stats', 'USAGE') $$;

-- Who holds the vacuum horizon back. A snapshot does so in its own database; a transaction that writes does so
-- everywhere, as every new snapshot looks back to it. Slots and standbys have no time, only a distance in transactions.
CREATE OR REPLACE FUNCTION mq._doctor_horizon(transaction_age_ms bigint, horizon_age bigint)
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
        SELECT 'long_transaction', 'warning', s.pid::text,
               format('session %s of role %s (application "%s", %s) has had a transaction open for %s, which keeps vacuum '
                      'from removing what has died since', s.pid, s.usename, s.application_name, s.state, mq._span(s.ms)),
               format('End that transaction, with pg_terminate_backend(%s) if need be; idle_in_transaction_session_timeout '
                      'does so for those that are forgotten.', s.pid),
               s.ms, NULL::bigint, NULL::bigint, s.lag::bigint
        FROM (SELECT a.pid, COALESCE(a.usename, '-') AS usename, a.application_name, COALESCE(a.state, a.backend_type) AS state,
                     mq._ms_since(a.xact_start) AS ms, GREATEST(age(a.backend_xid), age(a.backend_xmin)) AS lag
              FROM pg_stat_activity a
              WHERE a.pid <> pg_backend_pid() AND a.backend_type <> 'parallel worker'
                AND (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL AND a.datname = current_database())
                -- Its own transaction holds nobody back.
                AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)) s
        WHERE s.ms >= transaction_age_ms;
    RETURN QUERY
        SELECT 'prepared_transaction', 'problem', p.gid,
               format('transaction "%s", prepared by role %s in database %s, has waited for its end for %s, which keeps '
                      'vacuum from removing what has died since', p.gid, p.owner, p.database, mq._span(p.ms)),
               format('End it, in its database: COMMIT PREPARED %L or ROLLBACK PREPARED %L.', p.gid, p.gid),
               p.ms, NULL::bigint, NULL::bigint, p.lag::bigint
        FROM (SELECT t.gid, t.owner, t.database, mq._ms_since(t.prepared) AS ms, age(t.transaction) AS lag
              FROM pg_prepared_xacts t) p
        WHERE p.ms >= transaction_age_ms;
    RETURN QUERY
        SELECT 'replication_slot', CASE WHEN s.lag >= horizon_age THEN 'problem' ELSE 'warning' END, s.slot_name::text,
               format('replication slot "%s" (%s, %s) keeps vacuum from removing %s of the last %s transactions', s.slot_name,
                      s.slot_type, CASE WHEN s.active THEN 'in use' ELSE 'not in use' END,
                      CASE WHEN s.xmin IS NULL THEN 'rows of the catalogs' ELSE 'rows' END, s.lag),
               format('Start what reads from the slot, or drop it: SELECT pg_drop_replication_slot(%L).', s.slot_name),
               NULL::bigint,
               CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint END,
               NULL::bigint, s.lag::bigint
        FROM (SELECT t.slot_name, t.slot_type, t.active, t.xmin, t.restart_lsn,
                     GREATEST(age(t.xmin), age(t.catalog_xmin)) AS lag
              FROM pg_replication_slots t) s
        WHERE s.lag >= horizon_age OR s.lag IS NOT NULL AND NOT s.active;
    RETURN QUERY
        SELECT 'standby', 'warning', r.application_name,
               format('standby "%s" keeps vacuum from removing rows of the last %s transactions, by hot_standby_feedback',
                      r.application_name, age(r.backend_xmin)),
               'End the long query on the standby, or set hot_standby_feedback to off there.'::text,
               NULL::bigint, NULL::bigint, NULL::bigint, age(r.backend_xmin)::bigint
        FROM pg_stat_replication r WHERE age(r.backend_xmin) >= horizon_age;
END $$;

-- A setting of autovacuum for a table: its own, or the server's.
CREATE OR REPLACE FUNCTION mq._vacuum_setting(options text[], setting text) RETURNS double precision
LANGUAGE sql STABLE AS $$
    SELECT COALESCE((SELECT o.option_value FROM pg_options_to_table(options) o WHERE o.option_name = setting),
                    current_setting(setting))::double precision
$$;

-- Whether vacuum comes, and comes soon enough. autovacuum reads reltuples, which may be of long ago.
CREATE OR REPLACE FUNCTION mq._doctor_autovacuum(dead_rows bigint)
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    ns oid := (SELECT c.relnamespace FROM pg_class c WHERE c.oid = 'mq.message'::regclass);
BEGIN
    RETURN QUERY
        SELECT 'autovacuum_off', 'problem', s.name, format('%s is off on this server: nothing is vacuumed by itself', s.name),
               format('ALTER SYSTEM SET %s = on; SELECT pg_reload_conf();', s.name),
               NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint
        FROM unnest('{autovacuum,track_counts}'::text[]) s (name) WHERE NOT current_setting(s.name)::boolean;
    RETURN QUERY
        SELECT 'autovacuum_off', 'problem', c.relname || CASE WHEN t.toast THEN ' (TOAST)' ELSE '' END,
               format('autovacuum is off for table %s%s', c.relname, CASE WHEN t.toast THEN ', where it keeps large payloads' ELSE '' END),
               format('ALTER TABLE %s.%I RESET (%sautovacuum_enabled);', ns::regnamespace, c.relname,
                      CASE WHEN t.toast THEN 'toast.' ELSE '' END),
               NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint
        FROM pg_class c CROSS JOIN LATERAL (VALUES (c.oid, false), (c.reltoastrelid, true)) t (oid, toast)
        JOIN pg_class o ON o.oid = t.oid CROSS JOIN LATERAL pg_options_to_table(o.reloptions) e
        WHERE c.relnamespace = ns AND c.relkind = 'r' AND e.option_name = 'autovacuum_enabled' AND NOT e.option_value::boolean
          AND NOT c.relispartition;  -- segments of topics are emptied as a whole, and have nothing to vacuum
    RETURN QUERY
        SELECT 'autovacuum_lazy', 'warning', t.name,
               format('autovacuum begins when %s rows of table %s are dead: that is its scale factor of %s, at %s rows',
                      round(t.begins), t.name, t.factor, round(t.size)),
               format('ALTER TABLE %s.%I SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);',
                      ns::regnamespace, t.name),
               NULL::bigint, NULL::bigint, round(t.begins)::bigint, NULL::bigint
        FROM (SELECT s.name, s.size, s.factor, s.threshold + s.factor * s.size AS begins
              FROM (SELECT c.relname::text AS name, GREATEST(c.reltuples, pg_stat_get_live_tuples(c.oid)) AS size,
                           mq._vacuum_setting(c.reloptions, 'autovacuum_vacuum_scale_factor') AS factor,
                           mq._vacuum_setting(c.reloptions, 'autovacuum_vacuum_threshold') AS threshold
                    FROM pg_class c WHERE c.oid IN ('mq.message'::regclass, 'mq.dedup_window'::regclass)) s) t
        WHERE t.begins > dead_rows AND t.begins > 0.05 * t.size;
    RETURN QUERY
        SELECT 'never_analyzed', 'warning', c.relname::text,
               format('%s rows of table %s have changed, and it was never analyzed', pg_stat_get_mod_since_analyze(c.oid), c.relname),
               format('ANALYZE %s.%I; and see why autovacuum has not done it.', ns::regnamespace, c.relname),
               NULL::bigint, NULL::bigint, pg_stat_get_mod_since_analyze(c.oid), NULL::bigint
        FROM pg_class c
        WHERE c.relnamespace = ns AND c.relkind = 'r' AND NOT c.relispartition AND pg_stat_get_mod_since_analyze(c.oid) >= dead_rows
          AND pg_stat_get_last_analyze_time(c.oid) IS NULL AND pg_stat_get_last_autoanalyze_time(c.oid) IS NULL;
END $$;

-- What dead rows have made of the tables. A row takes 8 kB of its table at the very most, the rest of it being out of line,
-- and an entry of an index less than 1 kB even half empty: what is larger is mostly air. reltuples is -1 if nobody knows.
CREATE OR REPLACE FUNCTION mq._doctor_tables(dead_rows bigint, bloat_bytes bigint)
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    ns oid := (SELECT c.relnamespace FROM pg_class c WHERE c.oid = 'mq.message'::regclass);
BEGIN
    RETURN QUERY
        SELECT 'dead_rows', 'warning', t.relname::text,
               format('table %s has %s dead rows beside %s live ones, and was %s', t.relname, t.dead, t.live,
                      COALESCE('vacuumed ' || mq._span(mq._ms_since(t.vacuumed)) || ' ago', 'never vacuumed')),
               format('VACUUM %s.%I; if they stay, end what keeps vacuum from removing them.', ns::regnamespace, t.relname),
               mq._ms_since(t.vacuumed), NULL::bigint, t.dead, NULL::bigint
        FROM (SELECT c.relname, pg_stat_get_dead_tuples(c.oid) AS dead, pg_stat_get_live_tuples(c.oid) AS live,
                     GREATEST(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) AS vacuumed
              FROM pg_class c WHERE c.relnamespace = ns AND c.relkind = 'r' AND NOT c.relispartition) t
        WHERE t.dead >= dead_rows AND t.dead > 0.2 * t.live;
    RETURN QUERY
        SELECT 'bloat', 'warning', r.name::text,
               format('%s %s takes %s for %s live rows', CASE WHEN r.index THEN 'index' ELSE 'table' END, r.name,
                      pg_size_pretty(r.size), round(r.live)),
               format(CASE WHEN r.index THEN 'REINDEX INDEX CONCURRENTLY %s.%I;'
                           ELSE 'VACUUM FULL %s.%I; it locks everybody out, so do it when nobody works.' END, ns::regnamespace, r.name),
               NULL::bigint, r.size, round(r.live)::bigint, NULL::bigint
        FROM (SELECT o.relname AS name, o.relkind = 'i' AS index, pg_relation_size(o.oid) AS size,
                     GREATEST(c.reltuples, pg_stat_get_live_tuples(c.oid)) AS live
              FROM pg_class c
              CROSS JOIN LATERAL (SELECT c.oid UNION ALL SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = c.oid) p
              JOIN pg_class o ON o.oid = p.oid
              WHERE c.relnamespace = ns AND c.relkind = 'r' AND NOT c.relispartition AND (c.reltuples >= 0 OR pg_stat_get_live_tuples(c.oid) > 0)) r
        WHERE r.size >= bloat_bytes AND r.size > (r.live + 1) * CASE WHEN r.index THEN 1024 ELSE 8192 END;
END $$;

-- Grants to everybody, and what a role lacks of what it was granted.
CREATE OR REPLACE FUNCTION mq._doctor_access()
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    ns oid := (SELECT c.relnamespace FROM pg_class c WHERE c.oid = 'mq.message'::regclass);
BEGIN
    RETURN QUERY
        SELECT 'public_grant', 'problem', g.kind,
               format('everybody (PUBLIC) has %s on %s %s%s of the namespace, such as %s', string_agg(DISTINCT g.privilege, ', '),
                      count(DISTINCT g.name), g.kind, CASE WHEN count(DISTINCT g.name) > 1 THEN 's' ELSE '' END, min(g.name)),
               format('REVOKE ALL ON %s %s FROM PUBLIC;', CASE g.kind WHEN 'schema' THEN 'SCHEMA'
                          ELSE 'ALL ' || upper(g.kind) || 'S IN SCHEMA' END, ns::regnamespace),
               NULL::bigint, NULL::bigint, count(DISTINCT g.name), NULL::bigint
        FROM (SELECT 'function' AS kind, p.proname::text AS name, a.privilege_type AS privilege
              FROM pg_proc p CROSS JOIN LATERAL aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) a
              WHERE p.pronamespace = ns AND a.grantee = 0
              UNION ALL
              SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.relname, a.privilege_type
              FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a WHERE c.relnamespace = ns AND a.grantee = 0
              UNION ALL
              SELECT 'table', c.relname, a.privilege_type
              FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN LATERAL aclexplode(t.attacl) a
              WHERE c.relnamespace = ns AND a.grantee = 0
              UNION ALL
              -- To look up names in it alone gives nobody anything.
              SELECT 'schema', n.nspname, a.privilege_type
              FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
              WHERE n.oid = ns AND a.grantee = 0 AND a.privilege_type <> 'USAGE') g
        GROUP BY g.kind;
    IF has_table_privilege('mq.granted'::regclass, 'SELECT') THEN
        RETURN QUERY
            SELECT 'missing_privilege', 'problem', g.role::text,
                   format('role %s was granted the part of a %s, and lacks %s of its privileges, such as %s', g.role, g.part,
                          count(*), min(l.what)),
                   format('SELECT %s.grant_%s(%L); or, if it is to have nothing here any more, SELECT %s.revoke(%L);',
                          ns::regnamespace, g.part, g.role, ns::regnamespace, g.role),
                   NULL::bigint, NULL::bigint, count(*), NULL::bigint
            FROM mq.granted g JOIN pg_roles r ON r.rolname = g.role CROSS JOIN LATERAL mq._lacks(r.oid, g.part) l
            GROUP BY g.role, g.part;
    END IF;
END $$;

-- Of a part, as mq._grant_part grants it, what a role does not have.
CREATE OR REPLACE FUNCTION mq._lacks(role oid, part text) RETURNS TABLE (what text)
LANGUAGE plpgsql AS $$
DECLARE
    ns oid := (SELECT c.relnamespace FROM pg_class c WHERE c.oid = 'mq.message'::regclass);
    p record := mq._part(part);
BEGIN
    IF NOT has_schema_privilege(role, ns, 'USAGE') THEN
        RETURN QUERY SELECT 'USAGE on the schema';
    END IF;
    RETURN QUERY
        SELECT 'EXECUTE on function ' || f.proname FROM pg_proc f
        WHERE f.pronamespace = ns AND (f.proname = ANY (p.functions) OR f.proname LIKE '\_%' AND f.proname <> ALL (p.but))
          AND NOT has_function_privilege(role, f.oid, 'EXECUTE');
    RETURN QUERY
        SELECT format('%s on %s', g.m[1], c.relname) FROM unnest(p.tables) s (spec)
        JOIN pg_class c ON c.relnamespace = ns AND c.relname = split_part(s.spec, ' ON ', 2)
        CROSS JOIN LATERAL regexp_matches(split_part(s.spec, ' ON ', 1), '([A-Z]+)(?: \(([^)]*)\))?', 'g') g (m)
        LEFT JOIN LATERAL regexp_split_to_table(g.m[2], ', *') k (name) ON true
        WHERE NOT CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(role, c.oid, g.m[1])
                       WHEN k.name IS NULL THEN has_table_privilege(role, c.oid, g.m[1])
                       ELSE has_column_privilege(role, c.oid, k.name, g.m[1]) END;
    RETURN QUERY
        SELECT format('%s on sequence %s', CASE part WHEN 'monitor' THEN 'SELECT' ELSE 'USAGE, UPDATE' END, c.relname)
        FROM mq.queue q CROSS JOIN LATERAL unnest(ARRAY[q.sent, q.received, q.sent_many, q.received_many]) t (total)
        JOIN pg_class c ON c.oid = t.total
        -- Of total, not of c: asked before the join, it would be asked of tables, too.
        -- USAGE lets a monitor look, too, who has another part as well.
        WHERE NOT CASE part WHEN 'monitor' THEN has_sequence_privilege(role, t.total, 'SELECT, USAGE')
                  ELSE has_sequence_privilege(role, t.total, 'USAGE') AND has_sequence_privilege(role, t.total, 'UPDATE') END;
    IF part = 'producer' THEN
        RETURN QUERY
            SELECT format('USAGE on sequence %s', l.ids) FROM mq.topic_log l WHERE NOT has_sequence_privilege(role, l.ids, 'USAGE')
            UNION ALL
            SELECT format('SELECT on sequence %s', l.current) FROM mq.topic_log l WHERE NOT has_sequence_privilege(role, l.current, 'SELECT');
    ELSE
        RETURN QUERY
            SELECT format('SELECT on %s', s.messages) FROM mq.topic_segment s WHERE NOT has_table_privilege(role, s.messages, 'SELECT');
    END IF;
END $$;

-- Of the server and the connection. NULL: the caller has no library, and does not say.
CREATE OR REPLACE FUNCTION mq._doctor_connection(
    notify_usage double precision, schema_version integer, functions text, client_pid integer
)
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    have integer := mq.version();
    ns name := (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'mq.message'::regclass);
BEGIN
    IF NOT pg_is_in_recovery() AND pg_notification_queue_usage() > notify_usage THEN
        "check" := 'notification_queue';
        severity := 'problem';
        subject := 'notification queue';
        message := format('the notification queue of the server is %s %% full; when it is full, sending to a queue with sleepers fails',
                          round((pg_notification_queue_usage() * 100)::numeric, 3));
        advice := 'End the longest transactions of sessions that LISTEN, in any database: they keep what they have not read.';
        RETURN NEXT;
    END IF;
    IF have <> schema_version
       OR functions <> (SELECT n.functions FROM mq.namespace n) THEN
        "check" := 'version';
        severity := CASE WHEN have < schema_version THEN 'problem' ELSE 'warning' END;
        subject := ns;
        message := CASE WHEN have = schema_version
            THEN format('namespace "%s" is of version %s, as the library, but its functions are of another release', ns, have)
            ELSE format('namespace "%s" is of version %s, and the library of version %s', ns, have, schema_version) END;
        advice := CASE WHEN have > schema_version THEN 'Put a newer library in the place of this one.'
            WHEN have < schema_version THEN 'Bring the namespace up to date: install it again with this library.'
            ELSE 'Bring the older one up to date: if that is the namespace, install it again with this library.' END;
        RETURN NEXT;
    END IF;
    IF client_pid <> pg_backend_pid() THEN
        "check" := 'pooler';
        severity := 'warning';
        subject := 'connection';
        message := format('the server says that this session is its process %s, and the connection that it is %s: a pooler is '
                          'in between', pg_backend_pid(), client_pid);
        advice := 'Connect to the server directly to wait for messages, or let the pooler hand out whole sessions: LISTEN and '
                  'the locks of sleepers belong to a session.';
        RETURN NEXT;
    END IF;
END $$;

-- The queues that somebody sleeps for, or takes from in an open transaction.
CREATE OR REPLACE FUNCTION mq._attended() RETURNS integer[]
LANGUAGE sql AS $$
    SELECT COALESCE(array_agg(DISTINCT (l.objid::bigint / 4)::integer), '{}')
    FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND l.classid = 'mq.queue'::regclass::oid AND l.objsubid = 2 AND l.granted
      AND l.objid::bigint % 4 IN (0, 2) AND d.datname = current_database()
$$;

-- Transactions that hold messages for long. It cannot be seen of other roles' sessions without pg_read_all_stats.
CREATE OR REPLACE FUNCTION mq._doctor_scopes(scope_age_ms bigint)
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
        SELECT 'long_scope', 'warning', s.name,
               format('session %s of role %s (application "%s", %s) takes from queue "%s" in a transaction that has been open '
                      'for %s', s.pid, s.usename, s.application_name, s.state, s.name, mq._span(s.ms)),
               format('Do long work under a lease, not in a scope; end this one with pg_terminate_backend(%s), and its message '
                      'goes to another consumer.', s.pid),
               s.ms, NULL::bigint, NULL::bigint, NULL::bigint
        FROM (SELECT q.name, a.pid, a.usename, a.application_name, a.state, mq._ms_since(a.xact_start) AS ms
              FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid AND a.datid = l.database
              JOIN mq.queue q ON q.id::bigint * 4 + 2 = l.objid::bigint
              WHERE l.locktype = 'advisory' AND l.classid = 'mq.queue'::regclass::oid AND l.objsubid = 2 AND l.granted
                AND a.datname = current_database() AND a.pid <> pg_backend_pid()) s
        WHERE s.ms >= scope_age_ms;
END $$;

-- Queues that nobody sees to. A consumer sleeps, is at work in a scope, has leases, or takes something every moment: only
-- where nothing of this is seen is it waited for a moment, once for all queues.
CREATE OR REPLACE FUNCTION mq._doctor_unattended(wait_age_ms bigint)
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    at timestamptz := clock_timestamp();
    due_before timestamptz := clock_timestamp() - wait_age_ms * interval '1 ms';
    attended integer[] := mq._attended();
    q record;
    m record;
    names text[] := '{}';
    heads timestamptz[] := '{}';
    totals bigint[] := '{}';
    now_attended integer[];
BEGIN
    severity := 'problem';
    FOR q IN SELECT t.id, t.name, t.received, t.received_many FROM mq.queue t WHERE NOT t.paused ORDER BY t.id LOOP
        SELECT t.due, t.state INTO m FROM mq.message t
        WHERE t.queue_id = q.id AND t.state <> 0 AND t.due >= '-infinity' AND t.due < due_before
        ORDER BY t.due, t.id LIMIT 1;
        IF FOUND THEN
            "check" := 'overdue';
            subject := q.name;
            age_ms := mq._ms_since(m.due);
            message := format(CASE m.state WHEN 2 THEN 'a lease in queue "%s" ran out %s ago, and no consumer has taken the message back'
                              ELSE 'a message of queue "%s" fell due %s ago, and no consumer has looked since' END, q.name, mq._span(age_ms));
            advice := 'Start a consumer for the queue: whoever takes from it finds what is due.';
            RETURN NEXT;
        END IF;
        SELECT t.sent INTO m FROM mq.message t WHERE t.queue_id = q.id AND t.state = 0 ORDER BY t.priority, t.position LIMIT 1;
        CONTINUE WHEN NOT FOUND OR m.sent > due_before OR q.id = ANY (attended);
        CONTINUE WHEN EXISTS (SELECT FROM (SELECT t.state FROM mq.message t
                                           WHERE t.queue_id = q.id AND t.state <> 0 AND t.due >= at
                                           ORDER BY t.due, t.id LIMIT 1000) s WHERE s.state = 2);
        names := names || q.name;
        heads := heads || m.sent;
        totals := totals || mq._total(q.received) + mq._total(q.received_many);
    END LOOP;
    IF names = '{}' THEN
        RETURN;
    END IF;
    PERFORM pg_sleep(0.05);
    now_attended := mq._attended();
    "check" := 'no_consumer';
    FOR i IN 1 .. cardinality(names) LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM mq.queue t WHERE t.name = names[i] AND t.id <> ALL (now_attended)
                                  AND mq._total(t.received) + mq._total(t.received_many) = totals[i]);
        subject := names[i];
        age_ms := mq._ms_since(heads[i]);
        message := format('queue "%s" has messages that are ready, the next one sent %s ago, and nobody takes them', subject,
                          mq._span(age_ms));
        advice := 'Start a consumer for the queue, or pause or delete it.';
        RETURN NEXT;
    END LOOP;
END $$;

-- Dead letters of the last hour, among those with the newest ids.
CREATE OR REPLACE FUNCTION mq._doctor_dead_letters(dead_per_hour bigint)
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    since timestamptz := clock_timestamp() - interval '1 hour';
    q record;
BEGIN
    "check" := 'dead_letters';
    severity := 'warning';
    advice := 'See the reason and last_error of those that list gives in state dead; then requeue_dead or purge_dead.';
    FOR q IN SELECT t.id, t.name FROM mq.queue t ORDER BY t.id LOOP
        -- Not by an equality: see _estimate_dead.
        SELECT count(*) FILTER (WHERE s.died >= since) INTO rows FROM (
            SELECT d.died FROM mq.dead_letter d WHERE d.queue_id >= q.id AND d.queue_id <= q.id
            ORDER BY d.queue_id DESC, d.id DESC LIMIT GREATEST(1, dead_per_hour) * 2) s;
        CONTINUE WHEN rows < GREATEST(1, dead_per_hour);
        subject := q.name;
        message := format('at least %s messages of queue "%s" have become dead letters within the last hour', rows, q.name);
        RETURN NEXT;
    END LOOP;
END $$;

-- What this role, or this server, cannot be asked.
CREATE OR REPLACE FUNCTION mq._doctor_notes()
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    owner text := (SELECT c.relowner::regrole FROM pg_class c WHERE c.oid = 'mq.message'::regclass);
BEGIN
    RETURN QUERY
        SELECT n."check", 'note', current_user::text, format('role %s does not see %s', current_user, n.what), n.advice,
               NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint
        FROM (VALUES
            ('long_transaction', mq._sees_sessions(), 'since when the transactions of other roles are open',
             format('Ask as a member of pg_read_all_stats or pg_monitor, or GRANT pg_read_all_stats TO %I;', current_user)),
            ('long_scope', mq._sees_sessions(), 'since when other roles hold messages in a transaction',
             format('Ask as a member of pg_read_all_stats or pg_monitor, or GRANT pg_read_all_stats TO %I;', current_user)),
            ('no_consumer', has_table_privilege('mq.message'::regclass, 'SELECT'), 'which messages wait',
             format('Ask as role %s, or as one that was granted the part of a consumer or a monitor.', owner)),
            ('dead_letters', has_table_privilege('mq.dead_letter'::regclass, 'SELECT'), 'the dead letters',
             format('Ask as role %s, or as one that was granted the part of a consumer or a monitor.', owner)),
            ('subscriber_behind', has_table_privilege('mq.topic_message'::regclass, 'SELECT')
                                  AND has_table_privilege('mq.topic_position'::regclass, 'SELECT'), 'how far the subscribers of topics are',
             format('Ask as role %s, or as one that was granted the part of a consumer or a monitor.', owner)),
            ('missing_privilege', has_table_privilege('mq.granted'::regclass, 'SELECT'), 'who was granted what',
             format('Ask as role %s, or as one that was granted the part of a monitor.', owner))) n ("check", seen, what, advice)
        WHERE NOT n.seen;
    IF pg_is_in_recovery() THEN
        "check" := 'standby';
        severity := 'note';
        subject := 'server';
        message := 'this server is a standby, which does not see consumers, vacuum, notifications and the sessions of the primary';
        advice := 'Ask the primary, too.';
        RETURN NEXT;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION mq._doctor_fault(
    transaction_age_ms bigint, horizon_age bigint, scope_age_ms bigint, wait_age_ms bigint, dead_rows bigint, bloat_bytes bigint,
    dead_per_hour bigint, notify_usage double precision
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT * FROM (VALUES ('transaction_age', transaction_age_ms), ('scope_age', scope_age_ms), ('wait_age', wait_age_ms))
                           AS v (name, ms) LOOP
        IF t.ms NOT BETWEEN 0 AND 9999999000 THEN
            RETURN format('a %s of %s is out of range: 0 to 9999999 seconds are allowed', t.name, mq._spell_ms(t.ms));
        END IF;
    END LOOP;
    FOR t IN SELECT * FROM (VALUES ('horizon_age', horizon_age), ('dead_rows', dead_rows), ('bloat_bytes', bloat_bytes)) AS v (name, n) LOOP
        IF t.n < 0 THEN
            RETURN format('%s %s is out of range: 0 or more is allowed', t.name, t.n);
        END IF;
    END LOOP;
    IF dead_per_hour NOT BETWEEN 1 AND 1000000 THEN
        RETURN format('dead_per_hour %s is out of range: 1 to 1000000 is allowed', dead_per_hour);
    ELSIF notify_usage NOT BETWEEN 0 AND 1 THEN
        RETURN format('a notify_usage of %s is out of range: 0 to 1 is allowed', notify_usage);
    END IF;
    RETURN NULL;
END $$;

-- For the library: a first row with a code, or one row a finding, the worst first. Arguments that are NULL are as built in
-- here; the last three are the library's schema version and digest of functions, and the process that it believes to be
-- connected to.
CREATE OR REPLACE FUNCTION mq._doctor(
    transaction_age_ms bigint, horizon_age bigint, scope_age_ms bigint, wait_age_ms bigint, dead_rows bigint, bloat_bytes bigint,
    dead_per_hour bigint, notify_usage double precision, schema_version integer, functions text, client_pid integer
)
RETURNS TABLE (
    code text, detail text, "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint,
    rows bigint, transactions bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    primary_server boolean := NOT pg_is_in_recovery();
    messages boolean := has_table_privilege('mq.message'::regclass, 'SELECT');
    letters boolean := has_table_privilege('mq.dead_letter'::regclass, 'SELECT');
    subscribers boolean := has_table_privilege('mq.topic_message'::regclass, 'SELECT')
                       AND has_table_privilege('mq.topic_position'::regclass, 'SELECT');
BEGIN
    detail := mq._doctor_fault(transaction_age_ms, horizon_age, scope_age_ms, wait_age_ms, dead_rows, bloat_bytes, dead_per_hour,
                               notify_usage);
    IF detail IS NOT NULL THEN
        code := 'MQ001';
        RETURN NEXT;
        RETURN;
    END IF;
    transaction_age_ms := COALESCE(transaction_age_ms, 300000);
    horizon_age := COALESCE(horizon_age, 1000000);
    scope_age_ms := COALESCE(scope_age_ms, 60000);
    wait_age_ms := COALESCE(wait_age_ms, 300000);
    dead_rows := COALESCE(dead_rows, 200000);
    bloat_bytes := COALESCE(bloat_bytes, 104857600);
    dead_per_hour := COALESCE(dead_per_hour, 100);
    notify_usage := COALESCE(notify_usage, 0.1);
    -- One after the other, so that what is not to be asked here is not.
    RETURN QUERY
        SELECT NULL, NULL, f.* FROM (
            SELECT * FROM mq._doctor_horizon(transaction_age_ms, horizon_age)
            UNION ALL SELECT d.* FROM mq._doctor_autovacuum(dead_rows) d WHERE primary_server
            UNION ALL SELECT d.* FROM mq._doctor_tables(dead_rows, bloat_bytes) d WHERE primary_server
            UNION ALL SELECT * FROM mq._doctor_access()
            UNION ALL SELECT * FROM mq._doctor_connection(notify_usage, schema_version, functions, client_pid)
            UNION ALL SELECT d.* FROM mq._doctor_scopes(scope_age_ms) d WHERE primary_server
            UNION ALL SELECT d.* FROM mq._doctor_unattended(wait_age_ms) d WHERE primary_server AND messages
            UNION ALL SELECT d.* FROM mq._doctor_dead_letters(dead_per_hour) d WHERE letters
            UNION ALL SELECT d.* FROM mq._doctor_untended(wait_age_ms) d WHERE primary_server
            UNION ALL SELECT d.* FROM mq._doctor_publishers(scope_age_ms) d WHERE primary_server
            UNION ALL SELECT d.* FROM mq._doctor_subscribers(wait_age_ms) d WHERE primary_server AND subscribers
            UNION ALL SELECT * FROM mq._doctor_notes()) f
        ORDER BY array_position('{problem,warning,note}', f.severity), f."check", f.subject;
END $$;

-- What is wrong with the queues of this namespace, and what to do: a row for each finding, the worst first, none if all is
-- well. The arguments say from which on something is a finding; ages are in seconds, NULL is as built in. age: in seconds.
CREATE OR REPLACE FUNCTION mq.doctor(
    transaction_age double precision DEFAULT NULL, horizon_age bigint DEFAULT NULL, scope_age double precision DEFAULT NULL,
    wait_age double precision DEFAULT NULL, dead_rows bigint DEFAULT NULL, bloat_bytes bigint DEFAULT NULL,
    dead_per_hour bigint DEFAULT NULL, notify_usage double precision DEFAULT NULL
)
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age double precision, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM mq._doctor(mq._ms(transaction_age), horizon_age, mq._ms(scope_age), mq._ms(wait_age), dead_rows,
                                      bloat_bytes, dead_per_hour, notify_usage, NULL, NULL, NULL) LOOP
        PERFORM mq._raise(r.code, r.detail);
        "check" := r."check";
        severity := r.severity;
        subject := r.subject;
        message := r.message;
        advice := r.advice;
        age := mq._seconds(r.age_ms);
        bytes := r.bytes;
        rows := r.rows;
        transactions := r.transactions;
        RETURN NEXT;
    END LOOP;
END $$;
