/* SPDX-License-Identifier: MIT */
/* Settling messages by their receipts, many in one round trip. */
#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "text.h"

#include <pgq/lease.h>
#include <string.h>

enum { RECEIPTS_MAX = 1000000 };

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

/* The answer's rows come in any order, each with its receipt's number. over: the verb ends the lease. */
static pgq_status read_outcomes(pgq *q, const PGresult *res, const pgq_receipt *receipts, size_t n, int over,
                                size_t *done, pgq_status *results)
{
    pgq_status worst = PGQ_OK;

    for (int row = 0; row < PQntuples(res); row++) {
        size_t i = (size_t)pgqi_field_int(res, row, 2) - 1;
        pgq_status status = outcome_of(PQgetvalue(res, row, 3));

        if (i >= n)
            continue;
        if (results)
            results[i] = status;
        if (done && status == PGQ_OK)
            ++*done;
        if (over && status == PGQ_OK && q->in_handler && receipts[i].id == q->handled.id &&
            receipts[i].attempt == q->handled.attempt)
            q->settled = 1;
        if (status == PGQ_STALE || worst == PGQ_OK)
            worst = status;
    }
    return worst;
}

static pgq_status settle(pgq *q, const char *verb, const pgq_receipt *receipts, size_t n,
                         const pgq_nack_options *nack, int64_t lease_ms, size_t *done, pgq_status *results)
{
    pgq_status status = pgqi_enter(q);
    pgqi_params p;
    PGresult *res;

    if (done)
        *done = 0;
    if (status != PGQ_OK)
        return status;
    if ((!receipts && n) || n > RECEIPTS_MAX)
        return pgqi_error_set(&q->error, PGQ_INVALID, "receipts must not be NULL, and n at most %d",
                              RECEIPTS_MAX);
    if (n == 0)
        return PGQ_OK;
    pgqi_params_init(&p);
    pgqi_add_text(&p, verb);
    add_receipts(&p, receipts, n);
    pgqi_add_text(&p, nack->error);
    pgqi_add_given_bool(&p, nack->requeue);
    pgqi_add_given_int8(&p, nack->delay_ms);
    pgqi_add_given_int8(&p, lease_ms);
    status = pgqi_call_outcome(
        q, "SELECT code, detail, n, outcome FROM %s._settle($1, $2, $3, $4, $5, $6, $7)", &p, &res);
    pgqi_params_free(&p);
    if (status != PGQ_OK)
        return status;
    status = read_outcomes(q, res, receipts, n, strcmp(verb, "extend") != 0 || lease_ms == 0, done, results);
    PQclear(res);
    if (status == PGQ_STALE)
        return pgqi_error_set(&q->error, PGQ_STALE,
                              "the lease was lost: the message is not this consumer's any more");
    if (status == PGQ_NOT_FOUND && strcmp(verb, "ack") == 0)
        return pgqi_error_clear(&q->error, PGQ_EMPTY);
    if (status == PGQ_NOT_FOUND)
        return pgqi_error_set(&q->error, PGQ_NOT_FOUND, "there is no such message");
    return PGQ_OK;
}

static const pgq_nack_options nothing = PGQ_NACK_OPTIONS_INIT;

pgq_status pgq_ack(pgq *q, const pgq_receipt *receipts, size_t n, size_t *done, pgq_status *results)
{
    return settle(q, "ack", receipts, n, &nothing, PGQ_UNSET, done, results);
}

pgq_status pgq_nack(pgq *q, const pgq_receipt *receipts, size_t n, const pgq_nack_options *options,
                    size_t *done, pgq_status *results)
{
    pgq_nack_options o = nothing;
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
    return settle(q, "nack", receipts, n, &o, PGQ_UNSET, done, results);
}

pgq_status pgq_extend(pgq *q, const pgq_receipt *receipts, size_t n, int64_t lease_ms, size_t *done,
                      pgq_status *results)
{
    return settle(q, "extend", receipts, n, &nothing, lease_ms, done, results);
}

pgq_status pgq_release(pgq *q, const pgq_receipt *receipts, size_t n, size_t *done, pgq_status *results)
{
    return settle(q, "release", receipts, n, &nothing, PGQ_UNSET, done, results);
}
