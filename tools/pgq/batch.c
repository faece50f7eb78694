/* SPDX-License-Identifier: MIT */
#include "batch.h"

#include "say.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES_MOST = 8 << 20 };

bool batch_setup(batch *b, size_t max, bool publishes)
{
    *b = (batch){.max = max};
    b->from = calloc(max, sizeof *b->from);
    b->len = calloc(max, sizeof *b->len);
    b->options = calloc(max, sizeof *b->options);
    b->outgoing = calloc(max, sizeof *b->outgoing);
    b->results = calloc(max, sizeof *b->results);
    if (publishes) {
        b->publications = calloc(max, sizeof *b->publications);
        b->publishing = calloc(max, sizeof *b->publishing);
    }
    if (b->from && b->len && b->options && b->outgoing && b->results &&
        (!publishes || (b->publications && b->publishing)))
        return true;
    batch_free(b);
    say_failed("out of memory");
    return false;
}

static void empty(batch *b)
{
    for (size_t i = 0; i < b->made_n; i++)
        free(b->made[i]);
    b->made_n = 0;
    b->n = 0;
    if (b->bytes.cap > 2 * BYTES_MOST)
        buf_free(&b->bytes);
    else
        buf_clear(&b->bytes);
}

void batch_free(batch *b)
{
    empty(b);
    buf_free(&b->bytes);
    free(b->from);
    free(b->len);
    free(b->options);
    free(b->outgoing);
    free(b->results);
    free(b->publications);
    free(b->publishing);
    free(b->made);
}

bool batch_is_full(const batch *b)
{
    return b->n == b->max || b->bytes.len >= BYTES_MOST;
}

bool batch_keep(batch *b, char *text)
{
    if (b->made_n == b->made_cap) {
        size_t cap = b->made_cap ? 2 * b->made_cap : 64;
        char **made = realloc(b->made, cap * sizeof *made);
        if (!made) {
            free(text);
            return false;
        }
        b->made = made;
        b->made_cap = cap;
    }
    b->made[b->made_n++] = text;
    return true;
}

bool batch_add(batch *b, const void *payload, size_t len, const pgq_enqueue_options *o)
{
    b->from[b->n] = b->bytes.len;
    b->len[b->n] = len;
    b->options[b->n] = *o;
    buf_add(&b->bytes, payload, len);
    b->n += !b->bytes.failed;
    return !b->bytes.failed;
}

pgq_status batch_send(batch *b, pgq *q, const char *queue, int create_queue, int64_t *duplicates)
{
    for (size_t i = 0; i < b->n; i++)
        b->outgoing[i] = (pgq_outgoing){b->bytes.data + b->from[i], b->len[i], &b->options[i]};
    pgq_status status = pgq_enqueue_many(q, queue, b->outgoing, b->n, create_queue, NULL, b->results);
    for (size_t i = 0; status == PGQ_OK && i < b->n; i++)
        *duplicates += b->results[i] == PGQ_DUPLICATE;
    empty(b);
    return status;
}

pgq_status batch_publish(batch *b, pgq *q, const char *topic)
{
    for (size_t i = 0; i < b->n; i++) {
        pgq_publish_options o = PGQ_PUBLISH_OPTIONS_INIT;
        o.kind = b->options[i].kind;
        o.headers = b->options[i].headers;
        b->publishing[i] = o;
        b->publications[i] = (pgq_publication){b->bytes.data + b->from[i], b->len[i], &b->publishing[i]};
    }
    pgq_status status = pgq_topic_publish_many(q, topic, b->publications, b->n, NULL);
    empty(b);
    return status;
}

static pgq_kind kind_named(const char *name)
{
    return !name || *name == 't' ? PGQ_TEXT : *name == 'j' ? PGQ_JSON : PGQ_BINARY;
}

void batch_options(const given *g, pgq_enqueue_options *o)
{
    pgq_enqueue_options defaults = PGQ_ENQUEUE_OPTIONS_INIT;
    *o = defaults;
    o->kind = kind_named(g[O_KIND].text);
    if (g[O_PRIORITY].set)
        o->priority = (int32_t)g[O_PRIORITY].number;
    if (g[O_DELAY].set)
        o->delay_ms = g[O_DELAY].number;
    if (g[O_TTL].set)
        o->ttl_ms = g[O_TTL].number;
    o->headers = g[O_HEADERS].text;
    o->create_queue = g[O_CREATE_QUEUE].set;
    o->due = g[O_DUE].number;
    if (g[O_LEASE].set)
        o->lease_ms = g[O_LEASE].number;
    else if (g[O_LEASE_SECONDS].set)
        o->lease_ms = g[O_LEASE_SECONDS].number;
    if (g[O_REQUEUE].set)
        o->requeue = (int)g[O_REQUEUE].number;
    if (g[O_ERROR_LIMIT].set)
        o->error_limit = (int32_t)g[O_ERROR_LIMIT].number;
    else if (g[O_REQUEUE_LIMIT].set)
        o->error_limit = (int32_t)g[O_REQUEUE_LIMIT].number + 1;
    if (g[O_REQUEUE_PRIORITY].set)
        o->requeue_priority = (int32_t)g[O_REQUEUE_PRIORITY].number;
    o->order_key = g[O_ORDER_KEY].text;
    o->dedup_key = g[O_DEDUP_KEY].text;
    o->dedup_window_ms = g[O_DEDUP_WINDOW].number;
}
