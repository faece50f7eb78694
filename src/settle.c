/* SPDX-License-Identifier: MIT */
/* Settling messages by their receipts, many in one round trip. */
#include "settle.h"

#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "keeper.h"
#include "text.h"

#include <string.h>

enum { RECEIPTS_MAX = 1000000 };

const char pgqi_settle_sql[] = "SELECT code, detail, n, outcome FROM %s._settle($1, $2, $3, $4, $5, $6, $7)";

static const pgq_nack_options nothing = PGQ_NACK_OPTIONS_INIT;

static void add_receipts(pgqi_params *p, const pgq_receipt *receipts, size_t n)
{
    int64_t *ids = pgqi_alloc(n, sizeof *ids);
    int32_t *attempts = pgqi_alloc(n, sizeof *attempts);

    for (size_t i = 0; ids && attempts && i < n; i++) {
        ids[i] = receipts[i].id;
        attempts[i] = receipts[i].attempt;
    }
    if (ids && attempts) {
        pgqi_add_int8s(p, ids, n);
        pgqi_add_int4s(p, attempts, n);
    } else {
        p->failed = 1;
    }
    pgqi_free(ids);
    pgqi_free(attempts);
}

static pgq_status outcome_of(const char *outcome)
{
    return strcmp(outcome, "stale") == 0       ? PGQ_STALE
           : strcmp(outcome, "not_found") == 0 ? PGQ_NOT_FOUND
                                               : PGQ_OK;
}

pgq_status pgqi_settling_check(pgq *q, const pgqi_settling *s)
{
    if ((!s->receipts && s->n) || s->n > RECEIPTS_MAX)
        return pgqi_error_set(&q->error, PGQ_INVALID, "receipts must not be NULL, and n at most %d",
                              RECEIPTS_MAX);
    return PGQ_OK;
}

void pgqi_settling_params(pgqi_params *p, const pgqi_settling *s)
{
    const pgq_nack_options *nack = s->nack ? s->nack : &nothing;

    pgqi_params_init(p);
    p->prepare = 1;
    pgqi_add_text(p, s->verb);
    add_receipts(p, s->receipts, s->n);
    pgqi_add_text(p, nack->error);
    pgqi_add_given_bool(p, nack->requeue);
    pgqi_add_given_int8(p, nack->delay_ms);
    pgqi_add_given_int8(p, s->lease_ms);
}

/* The answer's rows come in any order, each with its receipt's number. */
pgq_status pgqi_settling_read(pgq *q, const PGresult *res, const pgqi_settling *s)
{
    int over = strcmp(s->verb, "extend") != 0 || s->lease_ms == 0; /* the verb ends the lease */
    pgq_status worst = PGQ_OK;

    if (PQntuples(res) > 0 && !PQgetisnull(res, 0, 0))
        return pgqi_error_from_code(&q->error, PQgetvalue(res, 0, 0), PQgetvalue(res, 0, 1));
    for (int row = 0; row < PQntuples(res); row++) {
        size_t i = (size_t)pgqi_field_int(res, row, 2) - 1;
        pgq_status status = outcome_of(PQgetvalue(res, row, 3));

        if (i >= s->n)
            continue;
        if (s->results)
            s->results[i] = status;
        if (s->done && status == PGQ_OK)
            ++*s->done;
        if (over && status == PGQ_OK && q->in_handler && s->receipts[i].id == q->handled.id &&
            s->receipts[i].attempt == q->handled.attempt) {
            q->settled = 1;
            if (q->hold)
                atomic_store(&q->hold->settled, 1);
        }
        if (status == PGQ_STALE || worst == PGQ_OK)
            worst = status;
    }
    if (worst == PGQ_STALE)
        pgqi_error_set(&q->error, PGQ_STALE,
                       "the lease was lost: the message is not this consumer's any more");
    else if (worst == PGQ_NOT_FOUND)
        pgqi_error_set(&q->error, PGQ_NOT_FOUND, "there is no such message");
    return worst;
}

static pgq_status settle(pgq *q, const pgqi_settling *s)
{
    pgq_status status = pgqi_enter(q);
    pgqi_params p;
    PGresult *res;

    if (s->done)
        *s->done = 0;
    if (status == PGQ_OK)
        status = pgqi_settling_check(q, s);
    if (status != PGQ_OK || s->n == 0)
        return status;
    pgqi_settling_params(&p, s);
    status = pgqi_call(q, pgqi_settle_sql, &p, &res);
    pgqi_params_free(&p);
    if (status == PGQ_OK)
        status = pgqi_settling_read(q, res, s);
    PQclear(res);
    return status;
}

pgq_status pgq_ack(pgq *q, const pgq_receipt *receipts, size_t n, size_t *done, pgq_status *results)
{
    const pgqi_settling s = {
        .verb = "ack", .receipts = receipts, .n = n, .lease_ms = PGQ_UNSET, .done = done, .results = results};
    pgq_status status = settle(q, &s);

    /* Done before is as good as done now. */
    return status == PGQ_NOT_FOUND ? pgqi_error_clear(&q->error, PGQ_EMPTY) : status;
}

pgq_status pgq_nack(pgq *q, const pgq_receipt *receipts, size_t n, const pgq_nack_options *options,
                    size_t *done, pgq_status *results)
{
    pgq_nack_options o = nothing;
    const pgqi_settling s = {.verb = "nack",
                             .receipts = receipts,
                             .n = n,
                             .nack = &o,
                             .lease_ms = PGQ_UNSET,
                             .done = done,
                             .results = results};
    pgq_status status = pgqi_enter(q);

    if (done)
        *done = 0;
    if (status == PGQ_OK)
        status = pgqi_read_options(&o, sizeof o, options, &q->error);
    if (status != PGQ_OK)
        return status;
    if (o.error && !pgqi_is_utf8(o.error, strlen(o.error)))
        return pgqi_error_set(&q->error, PGQ_INVALID, "the error's text must be valid UTF-8");
    if (o.requeue != PGQ_UNSET && o.requeue != 0 && o.requeue != 1)
        return pgqi_error_set(&q->error, PGQ_INVALID, "requeue %d must be 0, 1 or PGQ_UNSET", o.requeue);
    return settle(q, &s);
}

pgq_status pgq_extend(pgq *q, const pgq_receipt *receipts, size_t n, int64_t lease_ms, size_t *done,
                      pgq_status *results)
{
    const pgqi_settling s = {.verb = "extend",
                             .receipts = receipts,
                             .n = n,
                             .lease_ms = lease_ms,
                             .done = done,
                             .results = results};

    return settle(q, &s);
}

pgq_status pgq_release(pgq *q, const pgq_receipt *receipts, size_t n, size_t *done, pgq_status *results)
{
    const pgqi_settling s = {.verb = "release",
                             .receipts = receipts,
                             .n = n,
                             .lease_ms = PGQ_UNSET,
                             .done = done,
                             .results = results};

    return settle(q, &s);
}
