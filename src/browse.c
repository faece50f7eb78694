/* SPDX-License-Identifier: MIT */
/* Looking without touching, and taking a message back. */
#include "error.h"
#include "exec.h"
#include "message.h"
#include "queue.h"

#include <pgq/browse.h>
#include <string.h>

static const char *const states[] = {
    [PGQ_STATE_READY] = "ready", [PGQ_STATE_DELAYED] = "delayed", [PGQ_STATE_IN_FLIGHT] = "in_flight",
    [PGQ_STATE_DEAD] = "dead",   [PGQ_STATE_BLOCKED] = "blocked",
};

pgq_status pgq_list(pgq *q, const char *queue, pgq_state state, int max, int skip, pgq_messages **out)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    if (out)
        *out = NULL;
    status = pgqi_enter_queue(q, queue);
    if (status == PGQ_OK)
        status = pgqi_check_out(&q->error, out);
    if (status != PGQ_OK)
        return status;
    if ((int)state < 0 || (size_t)state >= sizeof states / sizeof states[0] || max < 1 || skip < 0)
        return pgqi_error_set(
            &q->error, PGQ_INVALID,
            "state %d, max %d or skip %d is out of range: a PGQ_STATE_ value, at least 1 and at "
            "least 0 are allowed",
            (int)state, max, skip);
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    pgqi_add_text(&p, states[state]);
    pgqi_add_int4(&p, max);
    pgqi_add_int4(&p, skip);
    status = pgqi_call_outcome(
        q, "SELECT code, detail, " PGQI_MESSAGE_COLUMNS " FROM %s._list($1, $2, $3, $4)", &p, &res);
    if (status != PGQ_OK)
        return status;
    if (PQntuples(res) == 0) {
        PQclear(res);
        return pgqi_error_clear(&q->error, PGQ_EMPTY);
    }
    return pgqi_messages_make(q, queue, res, 2, PQntuples(res), out);
}

pgq_status pgq_peek(pgq *q, const char *queue, int max, pgq_messages **out)
{
    return pgq_list(q, queue, PGQ_STATE_READY, max, 0, out);
}

pgq_status pgq_get(pgq *q, int64_t id, pgq_messages **out)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    if (out)
        *out = NULL;
    status = pgqi_enter(q);
    if (status == PGQ_OK)
        status = pgqi_check_out(&q->error, out);
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_int8(&p, id);
    status = pgqi_call(q, "SELECT queue, " PGQI_MESSAGE_COLUMNS " FROM %s._get($1)", &p, &res);
    if (status != PGQ_OK)
        return status;
    if (PQntuples(res) == 0) {
        PQclear(res);
        return pgqi_error_set(&q->error, PGQ_NOT_FOUND, "message %lld does not exist", (long long)id);
    }
    return pgqi_messages_make(q, PQgetvalue(res, 0, 0), res, 1, 1, out);
}

pgq_status pgq_count(pgq *q, const char *queue, pgq_counts *out)
{
    pgq_status status = pgqi_enter_queue(q, queue);
    pgqi_params p;
    PGresult *res;

    if (status == PGQ_OK)
        status = pgqi_check_out(&q->error, out);
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    status = pgqi_call_outcome(
        q, "SELECT code, detail, ready, delayed, blocked, in_flight, dead FROM %s._count($1)", &p, &res);
    if (status != PGQ_OK)
        return status;
    out->ready = pgqi_field_int(res, 0, 2);
    out->delayed = pgqi_field_int(res, 0, 3);
    out->blocked = pgqi_field_int(res, 0, 4);
    out->in_flight = pgqi_field_int(res, 0, 5);
    out->dead = pgqi_field_int(res, 0, 6);
    PQclear(res);
    return PGQ_OK;
}

pgq_status pgq_cancel(pgq *q, int64_t id)
{
    pgq_status status = pgqi_enter(q);
    pgqi_params p;
    PGresult *res;
    int done;

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_int8(&p, id);
    status = pgqi_call(q, "SELECT %s.cancel($1)", &p, &res);
    if (status != PGQ_OK)
        return status;
    done = (int)pgqi_field_int(res, 0, 0);
    PQclear(res);
    if (!done)
        return pgqi_error_set(&q->error, PGQ_NOT_FOUND, "message %lld is unknown or in flight",
                              (long long)id);
    return PGQ_OK;
}

pgq_status pgq_reschedule(pgq *q, int64_t id, int64_t delay_ms)
{
    pgq_status status = pgqi_enter(q);
    pgqi_params p;
    PGresult *res;

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_int8(&p, id);
    pgqi_add_int8(&p, delay_ms);
    status = pgqi_call_outcome(q, "SELECT code, detail, outcome FROM %s._reschedule($1, $2)", &p, &res);
    if (status != PGQ_OK)
        return status;
    if (strcmp(PQgetvalue(res, 0, 2), "in_flight") == 0)
        status = pgqi_error_clear(&q->error, PGQ_IN_FLIGHT);
    else if (strcmp(PQgetvalue(res, 0, 2), "not_found") == 0)
        status = pgqi_error_set(&q->error, PGQ_NOT_FOUND, "message %lld does not exist", (long long)id);
    PQclear(res);
    return status;
}

/* Runs what takes a queue's name and ids; with_target: and another name. */
static pgq_status dead(pgq *q, const char *sql, const char *queue, const int64_t *ids, size_t n,
                       int with_target, const char *target, int64_t *count)
{
    pgq_status status = pgqi_enter_queue(q, queue);
    pgqi_params p;
    PGresult *res;

    if (status == PGQ_OK && target)
        status = pgqi_enter_queue(q, target);
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    if (ids)
        pgqi_add_int8s(&p, ids, n);
    else
        pgqi_add_null_array(&p, PGQI_INT8);
    if (with_target)
        pgqi_add_text(&p, target);
    status = pgqi_call_outcome(q, sql, &p, &res);
    pgqi_params_free(&p);
    if (status != PGQ_OK)
        return status;
    if (count)
        *count = pgqi_field_int(res, 0, 2);
    PQclear(res);
    return PGQ_OK;
}

pgq_status pgq_requeue_dead(pgq *q, const char *queue, const int64_t *ids, size_t n, const char *target,
                            int64_t *count)
{
    return dead(q, "SELECT code, detail, requeued FROM %s._requeue_dead($1, $2, $3)", queue, ids, n, 1,
                target, count);
}

pgq_status pgq_purge_dead(pgq *q, const char *queue, const int64_t *ids, size_t n, int64_t *count)
{
    return dead(q, "SELECT code, detail, purged FROM %s._purge_dead($1, $2)", queue, ids, n, 0, NULL, count);
}
