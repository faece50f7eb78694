-- The core tables. Lock level: none but on the new objects.
--
-- Written for the namespace "mq"; the installer puts the chosen schema in its place.

-- The settings of the whole namespace: one row.
CREATE TABLE mq.namespace (
    singleton   boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    auto_create boolean     NOT NULL DEFAULT false,
    functions   text,  -- the digest of the functions installed
    created     timestamptz NOT NULL DEFAULT now()
);
INSERT INTO mq.namespace DEFAULT VALUES;

-- Advisory keys are made as 4 * id + role, in 32 bits: see functions/doorbell.sql.
CREATE TABLE mq.queue (
    id          integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id BETWEEN 1 AND 536870911),
    name        text        COLLATE "C" NOT NULL UNIQUE,
    max_size    integer     NOT NULL DEFAULT 65536 CHECK (max_size >= -1),
    priority    integer     NOT NULL DEFAULT 999 CHECK (priority >= 0),
    error_limit integer     CHECK (error_limit >= 1),
    created     timestamptz NOT NULL DEFAULT statement_timestamp(),
    modified    timestamptz NOT NULL DEFAULT statement_timestamp()
);

-- Ids and positions come from one sequence: a new message's position is its id, and a message
-- that returns takes the next number, which puts it at the tail.
CREATE SEQUENCE mq.position;

-- state: 0 ready, 1 delayed. kind: 0 binary, 1 text, 2 JSON.
-- No foreign key: it would share-lock the queue's row for every message.
CREATE TABLE mq.message (
    id             bigint      NOT NULL PRIMARY KEY,
    position       bigint      NOT NULL,
    sent           timestamptz NOT NULL,
    queue_id       integer     NOT NULL,
    priority       integer     NOT NULL,
    attempts       integer     NOT NULL DEFAULT 0,
    errors         integer     NOT NULL DEFAULT 0,
    state          smallint    NOT NULL,
    kind           smallint    NOT NULL,
    due            timestamptz,
    expires        timestamptz,
    first_received timestamptz,
    headers        json,
    last_error     text,
    payload        bytea       NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

-- The claim, exactly in claim order, over ready rows only.
CREATE INDEX message_ready ON mq.message (queue_id, priority, position) WHERE state = 0;
-- What falls due, over the rows that wait for a time only.
CREATE INDEX message_due ON mq.message (queue_id, due) WHERE state <> 0;

CREATE TABLE mq.dead_letter (
    id             bigint      NOT NULL PRIMARY KEY,
    died           timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent           timestamptz NOT NULL,
    queue_id       integer     NOT NULL,
    priority       integer     NOT NULL,
    attempts       integer     NOT NULL,
    errors         integer     NOT NULL,
    kind           smallint    NOT NULL,
    expires        timestamptz,
    first_received timestamptz,
    headers        json,
    last_error     text,
    payload        bytea       NOT NULL
);
CREATE INDEX dead_letter_queue ON mq.dead_letter (queue_id, id);

-- What a call came to: code is NULL for success, else an SQLSTATE of class MQ.
CREATE TYPE mq.outcome AS (code text, detail text);

-- A message as people and other languages see it; body is the payload as text, NULL if it is binary.
CREATE TYPE mq.item AS (
    id             bigint,
    queue          text,
    state          text,
    priority       integer,
    attempts       integer,
    errors         integer,
    kind           text,
    payload        bytea,
    body           text,
    headers        json,
    sent           timestamptz,
    due            timestamptz,
    first_received timestamptz,
    expires        timestamptz,
    last_error     text,
    died           timestamptz
);
