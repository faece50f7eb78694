-- Who has a message. See docs/design.md, "A death leaves a trace".

-- A row's xmax is the xid of the transaction that holds it, or held it last. On a ready row it is 0,
-- or that of a consumer at work, or that of one whose transaction ended without settling the
-- message: its process died, or it rolled back.

-- Whether a transaction is still running.
CREATE OR REPLACE FUNCTION mq._in_progress(holder xid) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    newest bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    ahead bigint := (holder::text::bigint - newest) & 4294967295;
BEGIN
    IF holder = '0'::xid THEN
        RETURN false;
    ELSIF ahead < 2147483648 THEN
        -- A snapshot's xmax follows the newest transaction that has ended: running ones may be newer.
        BEGIN
            RETURN pg_xact_status((newest + ahead)::text::xid8) = 'in progress';
        EXCEPTION WHEN invalid_parameter_value THEN
            RETURN false;  -- in the future
        END;
    END IF;
    -- An xid is 32 bits; the running ones lie within 2^31 of the newest.
    newest := newest + ahead - 4294967296;
    RETURN newest > 2 AND COALESCE(pg_xact_status(newest::text::xid8) = 'in progress', false);
END $$;

-- What a row's xmax tells: 'free' nobody had it, 'held' somebody has it, 'gone' a consumer had it and
-- ended without settling it, 'kept' somebody was to remove it without consuming it, and rolled back.
-- A lock by a transaction and a change by its subtransaction make a MultiXact, which looks like an xid
-- and names both. _withdraw leaves such a one, with a weaker lock than any consumer takes.
CREATE OR REPLACE FUNCTION mq._holder(holder xid) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    IF holder = '0'::xid THEN
        RETURN 'free';
    ELSIF mq._in_progress(holder) THEN
        RETURN 'held';
    END IF;
    SELECT bool_or(mq._in_progress(m.xid)) AS held, bool_or(m.mode = 'fornokeyupd') AS kept INTO r
    FROM pg_get_multixact_members(holder) m;
    RETURN CASE WHEN r.held THEN 'held' WHEN r.kept THEN 'kept' ELSE 'gone' END;
EXCEPTION WHEN OTHERS THEN
    RETURN 'gone';  -- it is an xid: there is no such MultiXact
END $$;

-- Deletes a message, locked FOR NO KEY UPDATE by this transaction, without consuming it.
CREATE OR REPLACE FUNCTION mq._withdraw(message_id bigint) RETURNS void
LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    BEGIN
        DELETE FROM mq.message m WHERE m.id = message_id;
    EXCEPTION WHEN no_data_found THEN
        RAISE;  -- for the subtransaction's sake: see _holder
    END;
END $$;
