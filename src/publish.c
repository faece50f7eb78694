/* SPDX-License-Identifier: MIT */
/* Publishing. */
#include "alloc.h"
#include "enqueue.h"
#include "error.h"
#include "exec.h"
#include "topic.h"

#include <pgq/topic.h>
#include <stdio.h>
#include <string.h>

enum { MANY_MAX = 1000000, IDS_DRAWN = 100 };

/* Checked and encoded as a message to a queue is. Free it either way. */
static pgq_status make(pgq *q, const void *payload, size_t len, const pgq_publish_options *options,
                       pgqi_outgoing *m)
{
    pgq_publish_options o = PGQ_PUBLISH_OPTIONS_INIT;
    pgq_enqueue_options as = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_status status = pgqi_read_options(&o, sizeof o, options, &q->error);

    m->made = NULL;
    if (status != PGQ_OK)
        return status;
    as.kind = o.kind;
    as.headers = o.headers;
    return pgqi_outgoing_make(q, payload, len, &as, m);
}

static pgq_status publish(pgq *q, const char *topic, const pgqi_outgoing *m, int64_t *id)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    pgqi_params_init(&p);
    p.prepare = 1;
    pgqi_add_text(&p, topic);
    pgqi_add_bytea(&p, m->payload, m->len);
    pgqi_add_int2(&p, (int16_t)m->o.kind);
    pgqi_add_text(&p, m->o.headers);
    status = pgqi_call_outcome(q, "SELECT code, detail, id FROM %s._topic_publish($1, $2, $3, $4)", &p, &res);
    if (status == PGQ_OK && id)
        *id = pgqi_field_int(res, 0, 2);
    PQclear(res);
    return status;
}

pgq_status pgq_topic_publish(pgq *q, const char *topic, const void *payload, size_t len,
                             const pgq_publish_options *options, int64_t *id)
{
    pgq_status status = pgqi_enter_topic(q, topic);
    pgqi_outgoing m;

    if (status != PGQ_OK)
        return status;
    status = make(q, payload, len, options, &m);
    if (status == PGQ_OK)
        status = publish(q, topic, &m, id);
    pgqi_outgoing_free(&m);
    return pgqi_tended(q, status);
}

/* Says which message of how many was at fault. */
static pgq_status at_fault(pgq *q, pgq_status status, size_t i, size_t n)
{
    char why[sizeof q->error.message];
    char state[sizeof q->error.sqlstate];

    snprintf(why, sizeof why, "%s", q->error.message);
    snprintf(state, sizeof state, "%s", q->error.sqlstate);
    pgqi_error_set(&q->error, status, "message %zu of %zu: %s", i, n, why);
    snprintf(q->error.sqlstate, sizeof q->error.sqlstate, "%s", state);
    return status;
}

static pgq_status make_all(pgq *q, const pgq_publication *messages, size_t n, pgqi_outgoing *to)
{
    for (size_t i = 0; i < n; i++) {
        const pgq_publication *m = &messages[i];
        pgq_status status = make(q, m->payload, m->len, m->options, &to[i]);

        if (status != PGQ_OK)
            return at_fault(q, status, i + 1, n);
    }
    return PGQ_OK;
}

/* An array for each argument, of headers only if there are any. */
static void fill_params(pgqi_params *p, const char *topic, const pgqi_outgoing *messages, size_t n)
{
    pgqi_element *elements = pgqi_alloc(n, sizeof *elements);
    unsigned char *kinds = pgqi_alloc(n, 2);
    int headers = 0;

    pgqi_params_init(p);
    p->prepare = 1;
    p->failed = !elements || !kinds;
    pgqi_add_text(p, topic);
    for (size_t i = 0; !p->failed && i < n; i++) {
        elements[i].data = messages[i].payload;
        elements[i].len = messages[i].len;
        headers |= messages[i].o.headers != NULL;
    }
    if (!p->failed)
        pgqi_add_array(p, PGQI_BYTEA, elements, n);
    for (size_t i = 0; !p->failed && i < n; i++) {
        pgqi_put_int(kinds + 2 * i, messages[i].o.kind, 2);
        elements[i].data = kinds + 2 * i;
        elements[i].len = 2;
    }
    if (!p->failed)
        pgqi_add_array(p, PGQI_INT2, elements, n);
    for (size_t i = 0; !p->failed && i < n; i++) {
        elements[i].data = messages[i].o.headers;
        elements[i].len = messages[i].o.headers ? strlen(messages[i].o.headers) : 0;
    }
    if (!p->failed && headers)
        pgqi_add_array(p, PGQI_TEXT, elements, n);
    else
        pgqi_add_null_array(p, PGQI_TEXT);
    pgqi_free(elements);
    pgqi_free(kinds);
}

/* The server says the first id of every hundred, from which the others follow: see mq._nth_id. */
static pgq_status read_ids(pgq *q, const PGresult *res, size_t n, int64_t *ids)
{
    size_t said = (n + IDS_DRAWN - 1) / IDS_DRAWN;
    const char *elements = pgqi_field_int8s(res, 0, 3, said);

    if (!elements)
        return pgqi_error_set(&q->error, PGQ_VERSION,
                              "the namespace gave out other ids than for %zu messages", n);
    pgqi_get_int8s(elements, said, ids);
    for (size_t i = n; i-- > 0;)
        ids[i] = ids[i / IDS_DRAWN] + (int64_t)(i % IDS_DRAWN);
    return PGQ_OK;
}

static pgq_status publish_all(pgq *q, const char *topic, const pgqi_outgoing *messages, size_t n,
                              int64_t *ids)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    fill_params(&p, topic, messages, n);
    status = pgqi_call(
        q, "SELECT code, detail, failed, first_ids FROM %s._topic_publish_many($1, $2, $3, $4)", &p, &res);
    pgqi_params_free(&p);
    if (status != PGQ_OK)
        return status;
    if (!PQgetisnull(res, 0, 0)) {
        status = pgqi_error_from_code(&q->error, PQgetvalue(res, 0, 0), PQgetvalue(res, 0, 1));
        if (!PQgetisnull(res, 0, 2))
            at_fault(q, status, (size_t)pgqi_field_int(res, 0, 2), n);
    } else if (ids) {
        status = read_ids(q, res, n, ids);
    }
    PQclear(res);
    return status;
}

pgq_status pgq_topic_publish_many(pgq *q, const char *topic, const pgq_publication *messages, size_t n,
                                  int64_t *ids)
{
    pgq_status status = pgqi_enter_topic(q, topic);
    pgqi_outgoing *made;

    if (status != PGQ_OK)
        return status;
    if ((!messages && n) || n > MANY_MAX)
        return pgqi_error_set(&q->error, PGQ_INVALID, "messages must not be NULL, and n at most %d",
                              MANY_MAX);
    if (n == 0)
        return PGQ_OK;
    made = pgqi_alloc(n, sizeof *made);
    status =
        made ? make_all(q, messages, n, made) : pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    if (status == PGQ_OK)
        status = publish_all(q, topic, made, n, ids);
    for (size_t i = 0; made && i < n; i++)
        pgqi_outgoing_free(&made[i]);
    pgqi_free(made);
    return pgqi_tended(q, status);
}
