-- Outcomes and the checks that give them. A function whose name begins with _ returns its outcome
-- as a row, so that the caller's transaction survives it; its public twin raises it.

CREATE OR REPLACE FUNCTION mq._outcome(code text, detail text) RETURNS mq.outcome
LANGUAGE sql IMMUTABLE AS $$ SELECT ROW(code, detail)::mq.outcome $$;

CREATE OR REPLACE FUNCTION mq._raise(code text, detail text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = detail;
    END IF;
END $$;

-- A queue's name: 1 to 160 bytes of UTF-8, no control character, no blank at either end.
CREATE OR REPLACE FUNCTION mq._name_fault(name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF name IS NULL OR name = '' THEN
        RETURN 'a queue name must not be empty: 1 to 160 bytes are allowed';
    ELSIF octet_length(convert_to(name, 'UTF8')) > 160 THEN
        RETURN format('a queue name of %s bytes is too long: 1 to 160 bytes are allowed',
                      octet_length(convert_to(name, 'UTF8')));
    ELSIF name ~ '[\u0001-\u001f\u007f-\u009f]' THEN
        RETURN 'a queue name must not contain a control character';
    ELSIF name <> btrim(name, ' ') THEN
        RETURN format('queue name "%s" must not begin or end with a blank', name);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mq._no_queue(name text) RETURNS mq.outcome
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    fault text := mq._name_fault(name);
BEGIN
    IF fault IS NOT NULL THEN
        RETURN mq._outcome('MQ001', fault);
    END IF;
    RETURN mq._outcome('MQ002', format('queue "%s" does not exist: create it with create_queue, '
                            'or let the first message create it with auto_create', name));
END $$;

-- These two begin a subtransaction, so that bad JSON does not end the caller's transaction.
CREATE OR REPLACE FUNCTION mq._is_json(bytes bytea) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM pg_catalog.convert_from(bytes, 'UTF8')::json;
    RETURN true;
EXCEPTION WHEN data_exception OR statement_too_complex OR untranslatable_character THEN
    RETURN false;
END $$;

CREATE OR REPLACE FUNCTION mq._is_json_object(headers text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN json_typeof(headers::json) = 'object';
EXCEPTION WHEN data_exception OR statement_too_complex THEN
    RETURN false;
END $$;

-- What can be wrong with a time that a message is given.
CREATE OR REPLACE FUNCTION mq._time_fault(name text, ms bigint, lowest bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF ms NOT BETWEEN lowest AND 9999999000 THEN
        RETURN format('a %s of %s is out of range: %s to 9999999000 ms is allowed', name, mq._spell_ms(ms), lowest);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mq._key_fault(name text, key text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF key = '' OR octet_length(key) > 255 THEN
        RETURN format('%s of %s bytes: 1 to 255 bytes are allowed', name, octet_length(key));
    END IF;
    RETURN NULL;
END $$;

-- Whether a queue takes a payload of so many bytes. Inlined where it stands.
CREATE OR REPLACE FUNCTION mq._fits(length integer, max_size integer) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$ SELECT max_size = -1 OR length <= max_size $$;

-- Everything that can be wrong with what most messages have; NULL if nothing is.
CREATE OR REPLACE FUNCTION mq._message_fault(
    queue text, max_size integer, payload bytea, kind smallint, priority integer,
    delay_ms bigint, ttl_ms bigint, headers text
) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
BEGIN
    IF payload IS NULL THEN
        RETURN mq._outcome('MQ001', 'the payload must not be NULL; an empty one is allowed');
    ELSIF NOT mq._fits(octet_length(payload), max_size) THEN
        RETURN mq._outcome('MQ004', format('a payload of %s bytes is over the limit of queue "%s", %s bytes',
                                octet_length(payload), queue, max_size));
    ELSIF priority < 0 THEN
        RETURN mq._outcome('MQ001', format('priority %s is out of range: 0 to 2147483647 is allowed', priority));
    ELSIF delay_ms NOT BETWEEN 0 AND 9999999000 THEN
        RETURN mq._outcome('MQ001', mq._time_fault('delay', delay_ms, 0));
    ELSIF ttl_ms <> -1 AND ttl_ms NOT BETWEEN 1 AND 9999999000 THEN
        RETURN mq._outcome('MQ001', mq._time_fault('time to live', ttl_ms, 1) || '; -1 is none');
    ELSIF kind = 2 AND NOT mq._is_json(payload) THEN
        RETURN mq._outcome('MQ001', 'the payload is not valid JSON in UTF-8');
    ELSIF headers IS NOT NULL AND NOT mq._is_json_object(headers) THEN
        RETURN mq._outcome('MQ001', 'the headers are not a JSON object');
    END IF;
    RETURN NULL;
END $$;

-- And with what few have.
CREATE OR REPLACE FUNCTION mq._special_fault(
    due timestamptz, delay_ms bigint, lease_ms bigint, error_limit integer, requeue_priority integer,
    order_key text, dedup_key text, dedup_window_ms bigint
) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
DECLARE
    fault text;
BEGIN
    IF due IS NOT NULL AND delay_ms IS NOT NULL THEN
        fault := 'a message has a delay or a due time, not both';
    ELSIF due = 'infinity' OR due > clock_timestamp() + interval '9999999 s' THEN
        fault := 'the due time is out of range: up to 9999999 seconds from now is allowed';
    ELSIF error_limit < -1 OR error_limit = 0 THEN
        fault := format('error_limit %s is out of range: 1 to 2147483647, or -1 for none, is allowed', error_limit);
    ELSIF requeue_priority < -1 THEN
        fault := format('requeue_priority %s is out of range: 0 to 2147483647, or -1 for none, is allowed', requeue_priority);
    ELSIF dedup_window_ms IS NOT NULL AND dedup_key IS NULL THEN
        fault := 'a dedup window needs a dedup key';
    ELSE
        fault := COALESCE(mq._time_fault('lease', lease_ms, 0), mq._time_fault('dedup window', dedup_window_ms, 0),
                          mq._key_fault('an order key', order_key), mq._key_fault('a dedup key', dedup_key));
    END IF;
    RETURN CASE WHEN fault IS NOT NULL THEN mq._outcome('MQ001', fault) END;
END $$;

CREATE OR REPLACE FUNCTION mq._kind(kind smallint) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT CASE kind WHEN 0 THEN 'binary' WHEN 1 THEN 'text' ELSE 'json' END $$;

CREATE OR REPLACE FUNCTION mq._body(kind smallint, payload bytea) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN kind <> 0 THEN convert_from(payload, 'UTF8') END $$;

-- The text form of a message's id: 32 characters that sort by time, then by id.
CREATE OR REPLACE FUNCTION mq.id_text(id bigint, sent timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT lpad(to_hex((extract(epoch FROM sent) * 1000000)::bigint), 16, '0') || lpad(to_hex(id), 16, '0')
$$;

-- The version of the tables and functions in this namespace.
CREATE OR REPLACE FUNCTION mq.version() RETURNS integer
LANGUAGE sql STABLE AS $$ SELECT max(m.version) FROM mq.migration m $$;
