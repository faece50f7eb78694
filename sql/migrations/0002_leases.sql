-- Leases, the attributes of queues, keys, statistics. Lock level: ACCESS EXCLUSIVE on the tables, for catalog
-- changes, and for as long as it takes to read mq.message once for its new indexes.

-- Who has been granted what, so that an upgrade can grant its new functions too. Filled from what
-- stands in the catalog: an older version kept no record.
CREATE TABLE mq.granted (
    role name NOT NULL,
    part text NOT NULL CHECK (part IN ('producer', 'consumer')),
    PRIMARY KEY (role, part)
);
INSERT INTO mq.granted (role, part)
SELECT DISTINCT r.rolname, CASE p.proname WHEN 'enqueue' THEN 'producer' ELSE 'consumer' END
FROM pg_catalog.pg_proc p
CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) a
JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
WHERE p.pronamespace = (SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = 'mq.message'::regclass)
  AND p.proname IN ('enqueue', 'pop') AND a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner;

-- Many functions change what they take or give, which CREATE OR REPLACE cannot: all of version 1 are made anew.
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid FROM pg_catalog.pg_proc p
             WHERE p.pronamespace = (SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = 'mq.message'::regclass)
               AND p.proname = ANY ('{_ack, _body, _channel, _channel_of, _claim, _count, _count_failure, _create_queue, _delete_queue,
                 _due_in_ms, _enqueue, _enqueue_many, _grant, _holder, _in_progress, _is_json, _is_json_object,
                 _kind, _list, _message_fault, _ms, _nack, _name_fault, _no_queue, _open_for_send, _outcome,
                 _promote, _promote_queue, _purge_dead, _queue_fault, _raise, _requeue_dead, _returned, _ring, _take,
                 _withdraw, ack, awake, cancel, channel, count, create_queue, delete_queue, dequeue, doze, enqueue,
                 enqueue_many, grant_consumer, grant_producer, id_text, list, list_queues, nack, peek, pop,
                 purge_dead, requeue_dead, reset, set_auto_create, version}'::name[])
    LOOP
        EXECUTE pg_catalog.format('DROP FUNCTION %s', f);
    END LOOP;
END $$;

-- What shapes a queue; NULL: not given.
-- -1 is "none" in max_size, requeue_priority, error_limit and ttl_ms.
CREATE TYPE mq.attributes AS (
    lease_ms           bigint,
    delay_ms           bigint,
    max_size           integer,
    priority           integer,
    requeue            boolean,
    requeue_priority   integer,
    error_limit        integer,
    ttl_ms             bigint,
    retry_delay_ms     bigint,
    retry_factor       double precision,
    retry_max_delay_ms bigint,
    retry_jitter       double precision,
    drop_dead          boolean
);

-- What is set at a level stands in own, as a JSON object of attributes; what is not set there is as the
-- level above says: the namespace, then mq._built_in().
ALTER TABLE mq.namespace ADD own jsonb NOT NULL DEFAULT '{}';

-- The columns named as the attributes hold what is in force.
-- sent and received are sequences, made by mq._make_totals: no row is updated to count.
ALTER TABLE mq.queue
    DROP CONSTRAINT queue_error_limit_check,
    ADD own jsonb NOT NULL DEFAULT '{}',
    ADD lease_ms bigint,
    ADD delay_ms bigint,
    ADD requeue boolean,
    ADD requeue_priority integer,
    ADD ttl_ms bigint,
    ADD retry_delay_ms bigint,
    ADD retry_factor double precision,
    ADD retry_max_delay_ms bigint,
    ADD retry_jitter double precision,
    ADD drop_dead boolean,
    ADD paused boolean NOT NULL DEFAULT false,
    ADD sent regclass,
    ADD received regclass;
UPDATE mq.queue SET own = jsonb_strip_nulls(jsonb_build_object(
    'max_size', NULLIF(max_size, 65536), 'priority', NULLIF(priority, 999), 'error_limit', error_limit));

-- state: 0 ready, 1 delayed, 2 leased, 3 blocked behind an earlier message of its order key.
-- due: when a delayed one becomes ready, when a leased one comes back.
-- lease_ms, requeue, error_limit and requeue_priority are the message's own, and go before the queue's.
ALTER TABLE mq.message
    ADD lease_ms bigint,
    ADD requeue boolean,
    ADD error_limit integer,
    ADD requeue_priority integer,
    ADD order_key text COLLATE "C",
    ADD dedup_key text COLLATE "C";
-- With the id, by which many of one moment can be told apart.
DROP INDEX mq.message_due;
CREATE INDEX message_due ON mq.message (queue_id, due, id) WHERE state <> 0;
CREATE INDEX message_order ON mq.message (queue_id, order_key, id) WHERE order_key IS NOT NULL;
-- Those of an order key that can be in flight: few of each key.
CREATE INDEX message_order_active ON mq.message (hashtextextended(order_key, queue_id))
    WHERE order_key IS NOT NULL AND state IN (0, 2);
CREATE UNIQUE INDEX message_dedup ON mq.message (queue_id, dedup_key) WHERE dedup_key IS NOT NULL;
CREATE INDEX message_expires ON mq.message (queue_id, expires) WHERE expires IS NOT NULL;

-- Keys that stay taken for a time, whatever becomes of their message.
CREATE TABLE mq.dedup_window (
    queue_id   integer     NOT NULL,
    key        text        COLLATE "C" NOT NULL,
    message_id bigint      NOT NULL,
    until      timestamptz NOT NULL,
    PRIMARY KEY (queue_id, key)
);
CREATE INDEX dedup_window_until ON mq.dedup_window (until);

ALTER TABLE mq.dead_letter
    ADD reason text NOT NULL DEFAULT 'error_limit',
    ADD lease_ms bigint,
    ADD requeue boolean,
    ADD error_limit integer,
    ADD requeue_priority integer,
    ADD order_key text COLLATE "C",
    ADD dedup_key text COLLATE "C";
ALTER TABLE mq.dead_letter ALTER reason DROP DEFAULT;

ALTER TYPE mq.item
    ADD ATTRIBUTE reason text,
    ADD ATTRIBUTE order_key text,
    ADD ATTRIBUTE dedup_key text;
