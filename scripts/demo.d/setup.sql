-- The demo's tables, in a schema of their own as an application's would be, and the queue.
CREATE SCHEMA :"jobs";

-- What was sent, written in the transaction that sent it.
CREATE TABLE :"jobs".sent (
    message bigint PRIMARY KEY, package text NOT NULL, plan text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row each time that a job was done, by the job itself. There is no key, so that a second time would show.
CREATE TABLE :"jobs".done (
    message bigint NOT NULL, attempt integer NOT NULL, last_error text NOT NULL, package text NOT NULL,
    files integer NOT NULL, changed integer NOT NULL, missing integer NOT NULL, worker integer NOT NULL,
    finished timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The worker that has the job that hangs.
CREATE TABLE :"jobs".hanging (message bigint NOT NULL, worker integer NOT NULL);

SELECT :"namespace".create_queue('packages', error_limit => 3);
SELECT :"namespace".create_queue('long');

CREATE VIEW :"jobs".dead AS
SELECT l.id AS message, l.errors, l.last_error FROM :"namespace".list('packages', 'dead', 100000) l;

-- Lost: sent, and neither done nor a dead letter. Done twice: recorded as done more than once, or done and dead.
CREATE VIEW :"jobs".tally AS
SELECT count(*) AS sent,
       count(*) FILTER (WHERE d.times > 0) AS done,
       count(*) FILTER (WHERE d.attempt > 1) AS retried,
       count(*) FILTER (WHERE x.message IS NOT NULL) AS dead,
       count(*) FILTER (WHERE d.times IS NULL AND x.message IS NULL) AS lost,
       count(*) FILTER (WHERE d.times > 1 OR (d.times > 0 AND x.message IS NOT NULL)) AS twice
FROM :"jobs".sent s
LEFT JOIN (SELECT message, count(*) AS times, max(attempt) AS attempt FROM :"jobs".done GROUP BY message) d USING (message)
LEFT JOIN :"jobs".dead x USING (message);
