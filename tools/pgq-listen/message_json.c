/* SPDX-License-Identifier: MIT */
#include "message_json.h"

#include "clock.h"
#include "utf8.h"

#include <string.h>

const char *message_kind(const pgq_message *m)
{
    switch (m->kind) {
    case PGQ_TEXT:
        return "text";
    case PGQ_JSON:
        return "json";
    case PGQ_BINARY:
        break;
    }
    return "binary";
}

/* JSON is copied, not parsed and written anew: that could change its numbers. A string in JSON holds
 * no bare line break, so any that is there stands between values. */
static void add_raw_json(buf *b, const char *json, size_t len)
{
    size_t from = b->len;
    buf_add(b, json, len);
    for (size_t i = from; i < b->len; i++) {
        if (b->data[i] == '\n' || b->data[i] == '\r')
            b->data[i] = ' ';
    }
}

static void add_string(buf *b, const char *key, const char *value)
{
    buf_printf(b, ",\"%s\":", key);
    if (value)
        buf_json(b, value, strlen(value));
    else
        buf_str(b, "null");
}

static void add_payload(buf *b, const pgq_message *m)
{
    const char *payload = m->payload;
    if (m->kind == PGQ_JSON) {
        buf_str(b, ",\"payload\":");
        add_raw_json(b, payload, m->payload_len);
    } else if (m->kind == PGQ_TEXT && utf8_valid(payload, m->payload_len)) {
        buf_str(b, ",\"payload\":");
        buf_json(b, payload, m->payload_len);
    } else {
        buf_str(b, ",\"payload_base64\":\"");
        buf_base64(b, payload, m->payload_len);
        buf_str(b, "\"");
    }
}

void message_line(buf *b, const pgq_message *m, bool of_topic)
{
    char enqueued[CLOCK_TEXT], due[CLOCK_TEXT];
    clock_text(m->sent, 6, enqueued);
    clock_text(m->due, 6, due);
    buf_printf(b, "{\"id\":%lld", (long long)m->id);
    add_string(b, of_topic ? "topic" : "queue", m->queue);
    buf_printf(b, ",\"attempt\":%d", (int)m->attempts);
    add_string(b, "enqueued", enqueued);
    if (!of_topic)
        add_string(b, "due", m->due != 0 ? due : NULL);
    add_string(b, "kind", message_kind(m));
    if (!of_topic) {
        buf_printf(b, ",\"priority\":%d", (int)m->priority);
        add_string(b, "order_key", m->order_key);
        add_string(b, "dedup_key", m->dedup_key);
    }
    buf_printf(b, ",\"errors\":%d", (int)m->errors);
    add_string(b, "last_error", m->last_error);
    buf_str(b, ",\"headers\":");
    if (m->headers)
        add_raw_json(b, m->headers, strlen(m->headers));
    else
        buf_str(b, "null");
    add_payload(b, m);
    buf_str(b, "}\n");
}
