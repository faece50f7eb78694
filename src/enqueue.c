/* SPDX-License-Identifier: MIT */
/* Sending one message. */
#include "enqueue.h"

#include "alloc.h"
#include "codec.h"
#include "error.h"
#include "exec.h"
#include "queue.h"
#include "text.h"

#include <string.h>

static int bad_text(const char *s)
{
    return s && !pgqi_is_utf8(s, strlen(s));
}

static const char *options_fault(const pgq_enqueue_options *o)
{
    if (bad_text(o->headers))
        return "the headers must be valid UTF-8";
    if (bad_text(o->order_key) || bad_text(o->dedup_key))
        return "a key must be valid UTF-8";
    if (o->priority < 0 && o->priority != PGQ_UNSET)
        return "priority is out of range: 0 to 2147483647, or PGQ_UNSET for the queue's, is allowed";
    if (o->requeue != PGQ_UNSET && o->requeue != 0 && o->requeue != 1)
        return "requeue must be 0, 1 or PGQ_UNSET";
    return NULL;
}

/* What the server cannot be asked without ending the caller's transaction. */
static const char *payload_fault(const pgqi_outgoing *m)
{
    if (m->len > 1073741823)
        return "the payload is longer than 1073741823 bytes";
    if (m->o.kind != PGQ_BINARY && m->o.kind != PGQ_TEXT && m->o.kind != PGQ_JSON)
        return "kind must be PGQ_BINARY, PGQ_TEXT or PGQ_JSON";
    if (m->o.kind == PGQ_TEXT && !pgqi_is_utf8(m->payload, m->len))
        return "a text payload must be valid UTF-8 without a zero byte: send it as PGQ_BINARY";
    return NULL;
}

pgq_status pgqi_outgoing_make(pgq *q, const void *payload, size_t len, const pgq_enqueue_options *options,
                              pgqi_outgoing *m)
{
    pgq_enqueue_options defaults = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_status status;
    const char *wrong;

    m->made = NULL;
    m->payload = payload ? payload : "";
    m->len = len;
    m->o = defaults;
    status = pgqi_read_options(&m->o, sizeof m->o, options, &q->error);
    if (status != PGQ_OK)
        return status;
    wrong = !payload && len ? "the payload must not be NULL unless its length is 0" : options_fault(&m->o);
    if (!wrong)
        wrong = payload_fault(m);
    if (!wrong) {
        status = pgqi_encode(q, &m->payload, &m->len, &m->o.kind, &m->made);
        if (status == PGQ_OK && m->made)
            wrong = payload_fault(m);
    }
    return wrong ? pgqi_error_set(&q->error, PGQ_INVALID, "%s", wrong) : status;
}

void pgqi_outgoing_free(pgqi_outgoing *m)
{
    pgqi_free_foreign(m->made);
    m->made = NULL;
}

static void fill_params(pgqi_params *p, const char *queue, const pgqi_outgoing *m)
{
    const pgq_enqueue_options *o = &m->o;

    pgqi_params_init(p);
    p->prepare = 1;
    pgqi_add_text(p, queue);
    pgqi_add_bytea(p, m->payload, m->len);
    pgqi_add_int2(p, (int16_t)o->kind);
    pgqi_add_given_int4(p, o->priority);
    pgqi_add_given_int8(p, o->delay_ms);
    pgqi_add_given_int8(p, o->ttl_ms);
    pgqi_add_text(p, o->headers);
    pgqi_add_given_bool(p, o->create_queue ? 1 : PGQ_UNSET);
    if (o->due)
        pgqi_add_timestamptz(p, pgqi_server_time(o->due));
    else
        pgqi_add_null(p, PGQI_TIMESTAMPTZ);
    pgqi_add_given_int8(p, o->lease_ms);
    pgqi_add_given_bool(p, o->requeue);
    pgqi_add_given_int4(p, o->error_limit);
    pgqi_add_given_int4(p, o->requeue_priority);
    pgqi_add_text(p, o->order_key);
    pgqi_add_text(p, o->dedup_key);
    pgqi_add_given_int8(p, o->dedup_window_ms ? o->dedup_window_ms : PGQ_UNSET);
}

/* What most messages are: one statement that says nothing but NULL if the message is not that simple after
 * all. */
static int is_plain(const pgq_enqueue_options *o)
{
    return o->kind != PGQ_JSON && o->priority == PGQ_UNSET && o->delay_ms == PGQ_UNSET &&
           o->ttl_ms == PGQ_UNSET && !o->headers && !o->due && o->lease_ms == PGQ_UNSET &&
           o->requeue == PGQ_UNSET && o->error_limit == PGQ_UNSET && o->requeue_priority == PGQ_UNSET &&
           !o->order_key && !o->dedup_key && !o->dedup_window_ms;
}

/* *id 0: not sent, and nothing is wrong yet. */
static pgq_status enqueue_plain(pgq *q, const char *queue, const pgqi_outgoing *m, int64_t *id)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    pgqi_params_init(&p);
    p.prepare = 1;
    pgqi_add_text(&p, queue);
    pgqi_add_bytea(&p, m->payload, m->len);
    pgqi_add_int2(&p, (int16_t)m->o.kind);
    status = pgqi_call(q, "SELECT %s._enqueue_plain($1, $2, $3)", &p, &res);
    *id = status == PGQ_OK ? pgqi_field_int(res, 0, 0) : 0;
    PQclear(res);
    return status;
}

static pgq_status enqueue(pgq *q, const char *queue, const pgqi_outgoing *m, int64_t *id)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    fill_params(&p, queue, m);
    status =
        pgqi_call_outcome(q,
                          "SELECT code, detail, id, duplicate FROM %s._enqueue($1, $2, $3, $4, $5, $6, $7, "
                          "$8, $9, $10, $11, $12, $13, $14, $15, $16)",
                          &p, &res);
    if (status != PGQ_OK)
        return status;
    *id = pgqi_field_int(res, 0, 2);
    if (pgqi_field_int(res, 0, 3))
        status = pgqi_error_clear(&q->error, PGQ_DUPLICATE);
    PQclear(res);
    return status;
}

pgq_status pgq_enqueue(pgq *q, const char *queue, const void *payload, size_t len,
                       const pgq_enqueue_options *options, int64_t *id)
{
    pgq_status status = pgqi_enter_queue(q, queue);
    int64_t sent = 0;
    pgqi_outgoing m;

    if (status != PGQ_OK)
        return status;
    status = pgqi_outgoing_make(q, payload, len, options, &m);
    if (status == PGQ_OK && is_plain(&m.o))
        status = enqueue_plain(q, queue, &m, &sent);
    if (status == PGQ_OK && !sent)
        status = enqueue(q, queue, &m, &sent);
    pgqi_outgoing_free(&m);
    if (id && (status == PGQ_OK || status == PGQ_DUPLICATE))
        *id = sent;
    return status;
}
