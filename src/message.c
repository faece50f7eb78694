/* SPDX-License-Identifier: MIT */
#include "message.h"

#include "alloc.h"
#include "codec.h"
#include "error.h"
#include "params.h"

#include <string.h>

struct pgq_messages {
    PGresult *res;
    size_t n;
    size_t all;  /* n, and those behind them that pgqi_messages_part() has put there */
    void **made; /* by the decode hook, or why it could not, all of them; NULL: there is no hook */
    pgq_message items[];
};

static pgq_state state_named(const char *name)
{
    if (!name || strcmp(name, "in_flight") == 0)
        return PGQ_STATE_IN_FLIGHT;
    if (strcmp(name, "delayed") == 0)
        return PGQ_STATE_DELAYED;
    if (strcmp(name, "dead") == 0)
        return PGQ_STATE_DEAD;
    if (strcmp(name, "blocked") == 0)
        return PGQ_STATE_BLOCKED;
    return PGQ_STATE_READY;
}

enum { TOPIC_MESSAGE_COLUMNS = 6 };

static void fill_topic(pgq_message *m, const PGresult *res, int row, int first, const char *topic)
{
    m->id = pgqi_field_int(res, row, first);
    m->queue = topic;
    m->kind = (pgq_kind)pgqi_field_int(res, row, first + 1);
    m->sent = pgqi_field_time(res, row, first + 2);
    m->headers = pgqi_field_text(res, row, first + 3);
    m->payload = PQgetvalue(res, row, first + 4);
    m->payload_len = (size_t)PQgetlength(res, row, first + 4);
    m->state = PGQ_STATE_IN_FLIGHT;
}

static void fill(pgq_message *m, const PGresult *res, int row, int first, const char *queue)
{
    m->id = pgqi_field_int(res, row, first);
    m->queue = queue;
    m->priority = (int32_t)pgqi_field_int(res, row, first + 1);
    m->attempts = (int32_t)pgqi_field_int(res, row, first + 2);
    m->errors = (int32_t)pgqi_field_int(res, row, first + 3);
    m->kind = (pgq_kind)pgqi_field_int(res, row, first + 4);
    m->sent = pgqi_field_time(res, row, first + 5);
    m->due = pgqi_field_time(res, row, first + 6);
    m->first_received = pgqi_field_time(res, row, first + 7);
    m->expires = pgqi_field_time(res, row, first + 8);
    m->headers = pgqi_field_text(res, row, first + 9);
    m->last_error = pgqi_field_text(res, row, first + 10);
    m->payload = PQgetvalue(res, row, first + 11);
    m->payload_len = (size_t)PQgetlength(res, row, first + 11);
    m->order_key = pgqi_field_text(res, row, first + 12);
    m->dedup_key = pgqi_field_text(res, row, first + 13);
    m->state = PGQ_STATE_IN_FLIGHT;
    if (PQnfields(res) > first + 14) {
        m->died = pgqi_field_time(res, row, first + 14);
        m->state = state_named(pgqi_field_text(res, row, first + 15));
        m->reason = pgqi_field_text(res, row, first + 16);
    }
}

/* Goes on behind a message that cannot be decoded; the first such one's error stays. */
static pgq_status decode_all(pgq *q, pgq_messages *list)
{
    pgq_status worst = PGQ_OK;
    pgq_error first;

    if (!q->codec.decode)
        return PGQ_OK;
    list->made = pgqi_alloc(list->all, sizeof *list->made);
    if (!list->made)
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < list->n; i++) {
        pgq_message *m = &list->items[i];
        pgq_status status = pgqi_decode(q, &m->payload, &m->payload_len, &m->kind, &list->made[i]);

        m->undecoded = status != PGQ_OK;
        if (status != PGQ_OK)
            list->made[i] = pgqi_strdup(q->error.message);
        if (status != PGQ_OK && worst == PGQ_OK) {
            worst = PGQ_HOOK;
            first = q->error;
            first.status = PGQ_HOOK;
        }
    }
    if (worst != PGQ_OK)
        q->error = first;
    return worst;
}

pgq_status pgqi_messages_make(pgq *q, const char *queue, PGresult *res, int first, int n, pgq_messages **out)
{
    size_t items = (size_t)n * sizeof(pgq_message);
    pgq_messages *list = pgqi_alloc(1, sizeof *list + items + strlen(queue) + 1);
    pgq_status status;
    char *name;

    *out = NULL;
    if (!list) {
        PQclear(res);
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    }
    name = (char *)list->items + items;
    memcpy(name, queue, strlen(queue) + 1);
    list->res = res;
    list->n = list->all = (size_t)n;
    for (int i = 0; i < n; i++)
        if (PQnfields(res) == first + TOPIC_MESSAGE_COLUMNS)
            fill_topic(&list->items[i], res, i, first, name);
        else
            fill(&list->items[i], res, i, first, name);
    status = decode_all(q, list);
    if (status == PGQ_NO_MEMORY)
        pgq_messages_free(list);
    else
        *out = list;
    return status;
}

const PGresult *pgqi_messages_result(const pgq_messages *messages)
{
    return messages->res;
}

size_t pgqi_messages_part(pgq_messages *messages)
{
    size_t n = 0;

    for (size_t i = 0; i < messages->n; i++) {
        if (messages->items[i].undecoded)
            continue;
        if (n < i) {
            pgq_message m = messages->items[n];
            void *made = messages->made[n];

            messages->items[n] = messages->items[i];
            messages->made[n] = messages->made[i];
            messages->items[i] = m;
            messages->made[i] = made;
        }
        n++;
    }
    messages->n = n;
    return messages->all - n;
}

const pgq_message *pgqi_messages_parted(const pgq_messages *messages, size_t i, const char **why)
{
    *why = messages->made[messages->n + i];
    if (!*why)
        *why = "the decode hook failed";
    return &messages->items[messages->n + i];
}

size_t pgq_messages_count(const pgq_messages *messages)
{
    return messages ? messages->n : 0;
}

const pgq_message *pgq_messages_get(const pgq_messages *messages, size_t i)
{
    return messages && i < messages->n ? &messages->items[i] : NULL;
}

void pgq_messages_free(pgq_messages *messages)
{
    if (!messages)
        return;
    for (size_t i = 0; messages->made && i < messages->all; i++)
        pgqi_free(messages->made[i]);
    pgqi_free(messages->made);
    PQclear(messages->res);
    pgqi_free(messages);
}
