/* SPDX-License-Identifier: MIT */
#include "message_row.h"

#include "utf8.h"

#include <stdio.h>
#include <string.h>

enum { LOOK_MOST = 1000, LOOK_BYTES = 8 << 20 };

static const char *const states[] = {
    [PGQ_STATE_READY] = "ready", [PGQ_STATE_DELAYED] = "delayed", [PGQ_STATE_IN_FLIGHT] = "in_flight",
    [PGQ_STATE_DEAD] = "dead",   [PGQ_STATE_BLOCKED] = "blocked",
};
static const char *const kinds[] = {[PGQ_BINARY] = "binary", [PGQ_TEXT] = "text", [PGQ_JSON] = "json"};

static void detail(field *f)
{
    f->detail = true;
}

static void add_payload(row *r, const pgq_message *m)
{
    field_type type = FIELD_BYTES;
    if (m->kind == PGQ_JSON)
        type = FIELD_JSON;
    else if (m->kind == PGQ_TEXT && utf8_valid(m->payload, m->payload_len))
        type = FIELD_TEXT;
    row_integer(r, "payload_size", (int64_t)m->payload_len);
    detail(row_text(r, "encoding", type == FIELD_JSON ? "json" : type == FIELD_TEXT ? "utf8" : "base64"));
    row_data(r, "payload", type, m->payload, m->payload_len);
}

static void add_headers(row *r, const pgq_message *m)
{
    if (m->headers)
        detail(row_data(r, "headers", FIELD_JSON, m->headers, strlen(m->headers)));
    else
        detail(row_null(r, "headers"));
}

static bool add_topic_row(out *o, const pgq_message *m)
{
    row r = {0};
    row_integer(&r, "id", m->id);
    detail(row_text(&r, "topic", m->queue));
    detail(row_text(&r, "kind", kinds[m->kind]));
    row_time(&r, "sent", m->sent);
    add_headers(&r, m);
    add_payload(&r, m);
    return out_row(o, &r);
}

static bool add_row(out *o, const pgq_message *m)
{
    char receipt[48];
    row r = {0};
    snprintf(receipt, sizeof receipt, "%lld:%d", (long long)m->id, (int)m->attempts);
    row_integer(&r, "id", m->id);
    detail(row_text(&r, "queue", m->queue));
    row_text(&r, "state", states[m->state]);
    detail(row_text(&r, "kind", kinds[m->kind]));
    row_integer(&r, "priority", m->priority);
    row_integer(&r, "attempts", m->attempts);
    row_integer(&r, "errors", m->errors);
    detail(row_text(&r, "receipt", m->state == PGQ_STATE_IN_FLIGHT ? receipt : NULL));
    row_time(&r, "sent", m->sent);
    detail(row_time(&r, "due", m->due));
    detail(row_time(&r, "first_received", m->first_received));
    detail(row_time(&r, "expires", m->expires));
    detail(row_time(&r, "died", m->died));
    detail(row_text(&r, "reason", m->reason));
    detail(row_text(&r, "last_error", m->last_error));
    detail(row_text(&r, "order_key", m->order_key));
    detail(row_text(&r, "dedup_key", m->dedup_key));
    add_headers(&r, m);
    add_payload(&r, m);
    return out_row(o, &r);
}

static bool add_rows(out *o, const pgq_messages *messages, bool (*add)(out *o, const pgq_message *m))
{
    for (size_t i = 0; i < pgq_messages_count(messages); i++) {
        if (!add(o, pgq_messages_get(messages, i)))
            return false;
    }
    return true;
}

bool message_rows(out *o, const pgq_messages *messages)
{
    return add_rows(o, messages, add_row);
}

bool message_topic_rows(out *o, const pgq_messages *messages)
{
    return add_rows(o, messages, add_topic_row);
}

int message_next_look(const pgq_messages *messages)
{
    size_t n = pgq_messages_count(messages), bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += pgq_messages_get(messages, i)->payload_len + 1;
    size_t fit = bytes > 0 ? LOOK_BYTES / (bytes / n + 1) : MESSAGE_LOOK_FIRST;
    return fit < 1 ? 1 : fit > LOOK_MOST ? LOOK_MOST : (int)fit;
}
