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

-- Everything that can be wrong with one message; NULL if nothing is.
CREATE OR REPLACE FUNCTION mq._message_fault(
    queue text, max_size integer, payload bytea, kind smallint, priority integer,
    delay_ms bigint, ttl_ms bigint, headers text
) RETURNS mq.outcome
LANGUAGE plpgsql AS $$
BEGIN
    IF payload IS NULL THEN
        RETURN mq._outcome('MQ001', 'the payload must not be NULL; an empty one is allowed');
    ELSIF max_size >= 0 AND octet_length(payload) > max_size THEN
        RETURN mq._outcome('MQ004', format('a payload of %s bytes is over the limit of queue "%s", %s bytes',
                                octet_length(payload), queue, max_size));
    ELSIF priority < 0 THEN
        RETURN mq._outcome('MQ001', format('priority %s is out of range: 0 to 2147483647 is allowed', priority));
    ELSIF delay_ms NOT BETWEEN 0 AND 9999999000 THEN
        RETURN mq._outcome('MQ001', format('a delay of %s ms is out of range: 0 to 9999999000 is allowed', delay_ms));
    ELSIF ttl_ms NOT BETWEEN 1 AND 9999999000 THEN
        RETURN mq._outcome('MQ001', format('a time to live of %s ms is out of range: 1 to 9999999000 is allowed', ttl_ms));
    ELSIF kind = 2 AND NOT mq._is_json(payload) THEN
        RETURN mq._outcome('MQ001', 'the payload is not valid JSON in UTF-8');
    ELSIF headers IS NOT NULL AND NOT mq._is_json_object(headers) THEN
        RETURN mq._outcome('MQ001', 'the headers are not a JSON object');
    END IF;
    RETURN NULL;
END $$;

-- Seconds as people give them, to milliseconds; NaN and infinity come out as -1, which no check lets pass.
CREATE OR REPLACE FUNCTION mq._ms(seconds double precision) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN seconds IS NULL THEN NULL
                WHEN seconds >= 0 AND seconds < 1e12 THEN round(seconds * 1000)::bigint
                ELSE -1 END
$$;

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
