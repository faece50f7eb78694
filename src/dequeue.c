/* SPDX-License-Identifier: MIT */
/* Taking messages now: a scope, or at once. */
#include "claim.h"
#include "error.h"
#include "exec.h"
#include "queue.h"
#include "scope.h"

#include <pgq/dequeue.h>
#include <stdio.h>
#include <string.h>

enum { POP_MAX = 100000 };

/* One claim that joins the open transaction, or is one of its own. */
static pgq_status claim_once(pgq *q, const char *queue, int max, int remove, int sweep, pgq_messages **out,
                             int *swept)
{
    int alone = !pgqi_in_transaction(q);
    pgq_status status;
    pgqi_claim c;
    PGresult *res;
    pgqi_report report = {0, 0, 0};

    do {
        pgqi_claim_init(&c, q, queue, max, remove, sweep, alone);
        *swept = c.plan.n == 0;
        status = pgqi_call(q, pgqi_claim_sql, &c.params, &res);
        if (status == PGQ_OK)
            status = pgqi_claim_read(&c, q, res, out, &report);
        pgqi_claim_free(&c);
    } while (status == PGQ_EMPTY && alone && report.lost > 0);
    return status;
}

/* EMPTY only after a look from the very start. */
static pgq_status claim(pgq *q, const char *queue, int max, int remove, pgq_messages **out)
{
    int swept;
    pgq_status status = claim_once(q, queue, max, remove, 0, out, &swept);

    if (status == PGQ_EMPTY && !swept)
        status = claim_once(q, queue, max, remove, 1, out, &swept);
    return status;
}

static pgq_status nack(pgq *q, const pgqi_settle *settle)
{
    pgq_status status;
    pgqi_params p;

    pgqi_params_init(&p);
    pgqi_add_int8(&p, settle->id);
    pgqi_add_int4(&p, settle->attempt);
    pgqi_add_text(&p, settle->text);
    status = pgqi_command(q, "ROLLBACK TO SAVEPOINT pgq_scope", NULL);
    if (status == PGQ_OK)
        status = pgqi_command(q, "RELEASE SAVEPOINT pgq_scope", NULL);
    if (status == PGQ_OK)
        status = pgqi_command(q, "SELECT %s._nack($1, $2, $3)", &p);
    if (status == PGQ_OK)
        status = pgqi_error_set(&q->error, PGQ_FAILED, "%s", settle->text);
    return status;
}

static pgq_status ack(pgq *q, const pgqi_settle *settle)
{
    pgq_status status;
    pgqi_params p;

    pgqi_params_init(&p);
    pgqi_add_int8(&p, settle->id);
    status = pgqi_command(q, "RELEASE SAVEPOINT pgq_scope", NULL);
    if (status == PGQ_OK)
        status = pgqi_command(q, "SELECT %s._ack($1)", &p);
    return status;
}

/* In the caller's transaction, which is neither begun nor ended here. */
static pgq_status dequeue_joined(pgq *q, const char *queue, pgq_handler handler, void *arg)
{
    pgq_messages *messages;
    pgq_status status = claim(q, queue, 1, 0, &messages);
    pgqi_settle settle;

    if (status != PGQ_OK)
        return status;
    status = pgqi_command(q, "SAVEPOINT pgq_scope", NULL);
    if (status == PGQ_OK) {
        pgqi_scope_run(q, pgq_messages_get(messages, 0), handler, arg, &settle);
        status = settle.ended    ? pgqi_error_set(&q->error, PGQ_STALE, "%s", settle.text)
                 : settle.failed ? nack(q, &settle)
                                 : ack(q, &settle);
        /* The savepoint is gone: the transaction is another one. */
        if (strcmp(q->error.sqlstate, "3B001") == 0)
            status = q->error.status = PGQ_STALE;
    }
    pgq_messages_free(messages);
    return status;
}

pgq_status pgq_dequeue(pgq *q, const char *queue, pgq_handler handler, void *arg)
{
    pgq_status status = pgqi_scope_enter(q, queue, handler, q && q->owned);

    if (status != PGQ_OK)
        return status;
    if (!q->owned && !pgqi_in_transaction(q))
        return pgqi_error_set(
            &q->error, PGQ_STATE,
            "no transaction is open on the attached connection: begin one, or use pgq_open");
    if (!q->owned)
        return dequeue_joined(q, queue, handler, arg);
    status = pgqi_scope_once(q, queue, 0, 0, NULL, handler, arg);
    return status == PGQ_EMPTY ? pgqi_scope_once(q, queue, 1, 0, NULL, handler, arg) : status;
}

pgq_status pgq_pop(pgq *q, const char *queue, int max, pgq_messages **out)
{
    pgq_status status;

    if (out)
        *out = NULL;
    status = pgqi_enter_queue(q, queue);
    if (status != PGQ_OK)
        return status;
    if (!out || max < 1 || max > POP_MAX)
        return pgqi_error_set(&q->error, PGQ_INVALID,
                              "out must not be NULL, and max %d is out of range: 1 to %d is allowed", max,
                              POP_MAX);
    if (q->in_handler)
        return pgqi_error_set(&q->error, PGQ_STATE,
                              "a handler is running on this handle: open another to pop");
    return claim(q, queue, max, 1, out);
}
