-- Topics; and a third part for roles. Lock level: ACCESS EXCLUSIVE on mq.granted, where a row is a grant; else none but on
-- the new objects.

-- A log is a chain of segments. The common one, whose topic is '', holds the topics that have none of their own.
-- current, a sequence: the segment that is written to, which a transaction of any snapshot reads as it is now. ids, a
-- sequence: where the log's messages get theirs.
CREATE TABLE mq.topic_log (
    id           integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic        text        COLLATE "C" NOT NULL UNIQUE,
    retain_ms    bigint      NOT NULL,
    max_messages bigint,
    ids          regclass,
    current      regclass,
    created      timestamptz NOT NULL DEFAULT clock_timestamp(),
    modified     timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO mq.topic_log (topic, retain_ms) VALUES ('', 600000);

-- A segment is a partition of mq.topic_message. Free: number is NULL. Then it is open to writers, from number to number
-- in the order of their opening; then sealed, when no writer is in it any more and none will come. trimmed, trimmed_by:
-- the last segment of the log that was emptied, and the transaction that had sealed it; they stand here and not in the
-- log, as rows of logs are locked by those who publish, create and set. messages: the partition, by which it is read.
CREATE TABLE mq.topic_segment (
    id         integer     PRIMARY KEY CHECK (id > 0),
    messages   regclass    NOT NULL,
    log_id     integer,
    number     bigint,
    first_id   bigint,
    opened     timestamptz,
    opened_by  xid8,
    sealed     timestamptz,
    sealed_by  xid8,
    trimmed    bigint,
    trimmed_by xid8,
    UNIQUE (log_id, number)
);
CREATE SEQUENCE mq.topic_number;

-- xid: the transaction that published it.
CREATE TABLE mq.topic_message (
    segment   integer     NOT NULL,
    id        bigint      NOT NULL,
    xid       xid8        NOT NULL,
    published timestamptz NOT NULL,
    kind      smallint    NOT NULL,
    topic     text        COLLATE "C" NOT NULL,
    headers   json,
    payload   bytea       NOT NULL
) PARTITION BY LIST (segment);
CREATE INDEX topic_message_next ON mq.topic_message (topic, xid, id);

CREATE TABLE mq.topic_subscriber (
    id      integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic   text        COLLATE "C" NOT NULL,
    name    text        COLLATE "C" NOT NULL,
    hold_ms bigint,
    created timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (topic, name)
);

-- Where a subscriber is: the row of the highest number. A commit adds one and deletes the one before, so that the
-- way to it is as short while nothing can be vacuumed: an index is read from its end, where nothing is dead.
CREATE TABLE mq.topic_position (
    subscriber_id integer     NOT NULL,
    number        bigint      NOT NULL,
    position      text        NOT NULL,
    committed     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subscriber_id, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE mq.topic_binding (
    topic    text    COLLATE "C" NOT NULL,
    queue_id integer NOT NULL,
    filter   jsonb,
    PRIMARY KEY (topic, queue_id)
);

-- A message of a topic as people and other languages see it; body is the payload as text, NULL if it is binary.
-- position: that of a subscriber who has read it.
CREATE TYPE mq.topic_item AS (
    id        bigint,
    topic     text,
    kind      text,
    payload   bytea,
    body      text,
    headers   json,
    published timestamptz,
    position  text
);

ALTER TABLE mq.granted DROP CONSTRAINT granted_part_check,
    ADD CONSTRAINT granted_part_check CHECK (part IN ('producer', 'consumer', 'monitor'));
