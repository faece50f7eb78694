-- What goes wrong with topics: the part of mq.doctor that looks at them. See doctor.sql.

-- A log whose oldest segment should have been emptied long ago, and nothing keeps it: nobody tends.
CREATE OR REPLACE FUNCTION mq._doctor_untended(wait_age_ms bigint)
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    ns oid := (SELECT c.relnamespace FROM pg_class c WHERE c.oid = 'mq.topic_segment'::regclass);
    own boolean := has_table_privilege('mq.topic_subscriber'::regclass, 'SELECT')
               AND has_table_privilege('mq.topic_position'::regclass, 'SELECT')
               AND has_table_privilege('mq.topic_message'::regclass, 'SELECT');
    s record;
BEGIN
    "check" := 'untended';
    severity := 'warning';
    advice := format('Have somebody call it now and then, in a transaction of its own: SELECT %s.topic_tend();', ns::regnamespace);
    FOR s IN SELECT DISTINCT ON (l.id) l.topic, t AS segment,
                    mq._ms_since(COALESCE(t.sealed, t.opened) + l.retain_ms * interval '1 ms') AS late, l.retain_ms
             FROM mq.topic_log l JOIN mq.topic_segment t ON t.log_id = l.id
             WHERE pg_relation_size(t.messages) > 0
               -- One that is not sealed though there is another behind it has a writer.
               AND (t.sealed IS NOT NULL OR NOT EXISTS (SELECT FROM mq.topic_segment n WHERE n.log_id = l.id AND n.number > t.number))
               AND NOT EXISTS (SELECT FROM pg_locks k WHERE k.relation = t.messages AND k.pid <> pg_backend_pid())
             ORDER BY l.id, t.number LOOP
        CONTINUE WHEN s.late < GREATEST(s.retain_ms, wait_age_ms);
        IF own THEN
            CONTINUE WHEN (s.segment).sealed IS NOT NULL AND mq._is_held(s.segment, s.topic);
        END IF;
        subject := CASE WHEN s.topic = '' THEN 'common log' ELSE s.topic END;
        age_ms := s.late;
        bytes := pg_total_relation_size((s.segment).messages);
        message := format('messages of %s are over since %s and still there: nobody has called topic_tend',
                          CASE WHEN s.topic = '' THEN 'the common log of topics' ELSE format('topic "%s"', s.topic) END, mq._span(s.late));
        RETURN NEXT;
    END LOOP;
END $$;

-- Transactions that keep a segment from being sealed, as they write to it, or from being emptied, as they read it.
CREATE OR REPLACE FUNCTION mq._doctor_publishers(scope_age_ms bigint)
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
        SELECT 'long_publisher', 'warning', s.pid::text,
               format('session %s of role %s (application "%s", %s) %s in a transaction that has been open for %s: what lies in '
                      'that segment of the log is kept as long', s.pid, s.usename, s.application_name, s.state,
                      CASE WHEN s.writes THEN 'has published to a topic' ELSE 'has read a topic' END, mq._span(s.ms)),
               format('Publish and read in short transactions; end this one with pg_terminate_backend(%s).', s.pid),
               s.ms, NULL::bigint, NULL::bigint, NULL::bigint
        FROM (SELECT a.pid, a.usename, a.application_name, a.state, mq._ms_since(a.xact_start) AS ms,
                     bool_or(l.locktype = 'advisory') AS writes
              FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid AND a.datid = l.database
              WHERE (l.locktype = 'advisory' AND l.classid = 'mq.topic_segment'::regclass::oid AND l.objsubid = 2 AND l.objid > 0
                     OR l.locktype = 'relation' AND l.relation IN (SELECT t.messages FROM mq.topic_segment t))
                AND l.granted AND a.datname = current_database() AND a.pid <> pg_backend_pid()
              GROUP BY a.pid, a.usename, a.application_name, a.state, a.xact_start) s
        WHERE s.ms >= scope_age_ms;
END $$;

-- Durable subscribers that have stopped, or do not keep up; and a log that was restored into another cluster.
CREATE OR REPLACE FUNCTION mq._doctor_subscribers(wait_age_ms bigint)
RETURNS TABLE (
    "check" text, severity text, subject text, message text, advice text, age_ms bigint, bytes bigint, rows bigint,
    transactions bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    ns oid := (SELECT c.relnamespace FROM pg_class c WHERE c.oid = 'mq.topic_segment'::regclass);
    next_xid xid8 := pg_snapshot_xmax(pg_current_snapshot());
    s record;
    l record;
BEGIN
    rows := (SELECT count(*) FROM mq.topic_segment t WHERE t.opened_by > next_xid OR t.sealed_by > next_xid);
    FOR s IN SELECT t.topic, t.name, t.hold_ms, mq._last_position(t.id) AS position FROM mq.topic_subscriber t ORDER BY t.id LOOP
        l := mq._parse_position(s.position);
        IF pg_snapshot_xmax(COALESCE(l.upto, l.seen)) > next_xid THEN
            rows := rows + 1;
            CONTINUE;
        END IF;
        l := mq._topic_lag(s.topic, s.position, 100);
        CONTINUE WHEN l.oldest IS NULL OR mq._ms_since(l.oldest) < wait_age_ms;
        "check" := 'subscriber_behind';
        severity := CASE WHEN s.hold_ms IS NULL THEN 'warning' ELSE 'problem' END;
        subject := s.name;
        age_ms := mq._ms_since(l.oldest);
        message := format('subscriber "%s" of topic "%s" has not committed a message of %s ago%s', s.name, s.topic, mq._span(age_ms),
                          CASE WHEN s.hold_ms IS NULL THEN ', which will be removed unread when its time is over'
                               ELSE ', and holds back what would be removed' END);
        advice := format('Start it; or, if it is not needed any more: SELECT %s.topic_unsubscribe(%L, %L);', ns::regnamespace, s.topic, s.name);
        RETURN QUERY SELECT "check", severity, subject, message, advice, age_ms, NULL::bigint, l.behind, NULL::bigint;
    END LOOP;
    IF rows > 0 THEN
        "check" := 'foreign_log';
        severity := 'problem';
        subject := 'topics';
        age_ms := NULL;
        message := 'the log of topics was restored from another server: what it says of transactions means nothing here, and '
                   'messages are neither read nor counted as they should be';
        advice := format('When nobody publishes or reads: SELECT %s.topic_restored();', ns::regnamespace);
        RETURN NEXT;
    END IF;
END $$;
