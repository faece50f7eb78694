/* SPDX-License-Identifier: MIT */
/* JSON payloads as json-c objects. */
#include <json-c/json.h>
#include <limits.h>
#include <pgq/json.h>
#include <string.h>

#include "error.h"
#include "handle.h"

pgq_status pgq_enqueue_json(pgq *q, const char *queue, struct json_object *value,
                            const pgq_enqueue_options *options, int64_t *id)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    const char *text;
    size_t len;

    if (!q)
        return PGQ_INVALID;
    if (pgqi_read_options(&o, sizeof o, options, &q->error) != PGQ_OK)
        return q->error.status;
    o.kind = PGQ_JSON;
    text = json_object_to_json_string_length(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
                                             &len);
    if (!text)
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    return pgq_enqueue(q, queue, text, len, &o, id);
}

pgq_status pgq_message_json(const pgq_message *message, struct json_object **out)
{
    enum json_tokener_error error;
    struct json_tokener *tokener;
    size_t end;

    if (!message || !out)
        return PGQ_INVALID;
    *out = NULL;
    if (message->payload_len > INT_MAX - 1)
        return PGQ_INVALID;
    tokener = json_tokener_new_ex(1000);
    if (!tokener)
        return PGQ_NO_MEMORY;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
    /* With the zero byte behind the payload, so that a bare number is seen to end. */
    *out = json_tokener_parse_ex(tokener, message->payload, (int)message->payload_len + 1);
    error = json_tokener_get_error(tokener);
    end = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);
    while (error == json_tokener_success && end < message->payload_len &&
           strchr(" \t\r\n", ((const char *)message->payload)[end]))
        end++;
    if (error == json_tokener_success && end >= message->payload_len)
        return PGQ_OK;
    json_object_put(*out);
    *out = NULL;
    return PGQ_INVALID;
}
