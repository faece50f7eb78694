/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "queue.h"
#include "text.h"

#include <pgq/enqueue.h>
#include <string.h>

enum { MANY_MAX = 1000000 };

/* What the server cannot be asked without ending the caller's transaction; NULL if nothing is wrong. */
static const char *fault(const void *payload, size_t len, const pgq_enqueue_options *o)
{
    if (!payload && len)
        return "the payload must not be NULL unless its length is 0";
    if (len > 1073741823)
        return "the payload is longer than 1073741823 bytes";
    if (o->kind != PGQ_BINARY && o->kind != PGQ_TEXT && o->kind != PGQ_JSON)
        return "kind must be PGQ_BINARY, PGQ_TEXT or PGQ_JSON";
    if (o->kind == PGQ_TEXT && !pgqi_is_utf8(payload, len))
        return "a text payload must be valid UTF-8 without a zero byte: send it as PGQ_BINARY";
    if (o->headers && !pgqi_is_utf8(o->headers, strlen(o->headers)))
        return "the headers must be valid UTF-8";
    if (o->priority < -1)
        return "priority is out of range: 0 to 2147483647, or -1 for the queue's, is allowed";
    return NULL;
}

pgq_status pgq_enqueue(pgq *q, const char *queue, const void *payload, size_t len,
                       const pgq_enqueue_options *options, int64_t *id)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_status status = pgqi_enter_queue(q, queue);
    const char *wrong;
    pgqi_params p;
    PGresult *res;

    if (status == PGQ_OK)
        status = pgqi_read_options(&o, sizeof o, options, &q->error);
    if (status != PGQ_OK)
        return status;
    wrong = fault(payload, len, &o);
    if (wrong)
        return pgqi_error_set(&q->error, PGQ_INVALID, "%s", wrong);
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    pgqi_add_bytea(&p, payload, len);
    pgqi_add_int2(&p, (int16_t)o.kind);
    if (o.priority < 0)
        pgqi_add_null(&p, PGQI_INT4);
    else
        pgqi_add_int4(&p, o.priority);
    if (o.delay_ms)
        pgqi_add_int8(&p, o.delay_ms);
    else
        pgqi_add_null(&p, PGQI_INT8);
    if (o.ttl_ms)
        pgqi_add_int8(&p, o.ttl_ms);
    else
        pgqi_add_null(&p, PGQI_INT8);
    pgqi_add_text(&p, o.headers);
    if (o.create_queue)
        pgqi_add_bool(&p, 1);
    else
        pgqi_add_null(&p, PGQI_BOOL);
    status = pgqi_call_outcome(q, "SELECT * FROM %s._enqueue($1, $2, $3, $4, $5, $6, $7, $8)", &p, &res);
    if (status != PGQ_OK)
        return status;
    if (id)
        *id = pgqi_field_int(res, 0, 2);
    PQclear(res);
    return PGQ_OK;
}

/* The arrays of a batch, element by element; numbers holds their binary forms. */
struct batch {
    pgqi_element *payloads, *kinds, *priorities, *delays, *ttls, *headers;
    unsigned char *numbers;
};

enum { BATCH_ARRAYS = 6, BATCH_NUMBERS = 2 + 4 + 8 + 8 };

static int alloc_batch(struct batch *b, size_t n)
{
    b->payloads = pgqi_alloc(n * BATCH_ARRAYS, sizeof *b->payloads);
    b->numbers = pgqi_alloc(n, BATCH_NUMBERS);
    if (!b->payloads || !b->numbers)
        return 0;
    b->kinds = b->payloads + n;
    b->priorities = b->kinds + n;
    b->delays = b->priorities + n;
    b->ttls = b->delays + n;
    b->headers = b->ttls + n;
    return 1;
}

static void number(pgqi_element *e, unsigned char **at, int64_t value, int bytes, int is_null)
{
    if (is_null)
        return;
    pgqi_put_int(*at, value, bytes);
    e->data = *at;
    e->len = (size_t)bytes;
    *at += bytes;
}

static pgq_status fill_batch(pgq *q, struct batch *b, const pgq_outgoing *messages, size_t n)
{
    unsigned char *at = b->numbers;

    for (size_t i = 0; i < n; i++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        pgq_status status = pgqi_read_options(&o, sizeof o, messages[i].options, &q->error);
        const char *wrong;

        if (status != PGQ_OK)
            return status;
        wrong = fault(messages[i].payload, messages[i].len, &o);
        if (wrong)
            return pgqi_error_set(&q->error, PGQ_INVALID, "message %zu of %zu: %s", i + 1, n, wrong);
        b->payloads[i].data = messages[i].payload ? messages[i].payload : "";
        b->payloads[i].len = messages[i].len;
        number(&b->kinds[i], &at, o.kind, 2, 0);
        number(&b->priorities[i], &at, o.priority, 4, o.priority < 0);
        number(&b->delays[i], &at, o.delay_ms, 8, o.delay_ms == 0);
        number(&b->ttls[i], &at, o.ttl_ms, 8, o.ttl_ms == 0);
        b->headers[i].data = o.headers;
        b->headers[i].len = o.headers ? strlen(o.headers) : 0;
    }
    return PGQ_OK;
}

static pgq_status send_batch(pgq *q, const char *queue, const struct batch *b, size_t n, int create_queue,
                             PGresult **res)
{
    pgqi_params p;
    pgq_status status;

    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    pgqi_add_array(&p, PGQI_BYTEA, b->payloads, n);
    pgqi_add_array(&p, PGQI_INT2, b->kinds, n);
    pgqi_add_array(&p, PGQI_INT4, b->priorities, n);
    pgqi_add_array(&p, PGQI_INT8, b->delays, n);
    pgqi_add_array(&p, PGQI_INT8, b->ttls, n);
    pgqi_add_array(&p, PGQI_TEXT, b->headers, n);
    if (create_queue)
        pgqi_add_bool(&p, 1);
    else
        pgqi_add_null(&p, PGQI_BOOL);
    status = pgqi_call_outcome(
        q,
        "SELECT r.code, r.detail, i.id FROM %s._enqueue_many($1, $2, $3, $4, $5, $6, $7, $8) r"
        " LEFT JOIN LATERAL unnest(r.ids) WITH ORDINALITY AS i (id, n) ON true ORDER BY i.n",
        &p, res);
    pgqi_params_free(&p);
    return status;
}

pgq_status pgq_enqueue_many(pgq *q, const char *queue, const pgq_outgoing *messages, size_t n,
                            int create_queue, int64_t *ids)
{
    pgq_status status = pgqi_enter_queue(q, queue);
    struct batch b = {0};
    PGresult *res = NULL;

    if (status != PGQ_OK)
        return status;
    if ((!messages && n) || n > MANY_MAX)
        return pgqi_error_set(&q->error, PGQ_INVALID, "messages must not be NULL, and n at most %d",
                              MANY_MAX);
    if (n == 0)
        return PGQ_OK;
    status = alloc_batch(&b, n) ? fill_batch(q, &b, messages, n)
                                : pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    if (status == PGQ_OK)
        status = send_batch(q, queue, &b, n, create_queue, &res);
    for (size_t i = 0; ids && res && i < n; i++)
        ids[i] = pgqi_field_int(res, (int)i, 2);
    PQclear(res);
    pgqi_free(b.payloads);
    pgqi_free(b.numbers);
    return status;
}
