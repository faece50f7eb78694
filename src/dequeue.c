/* SPDX-License-Identifier: MIT */
/* Taking messages now: a scope, or at once. */
#include "error.h"
#include "exec.h"
#include "queue.h"
#include "scope.h"
#include "wait.h"

#include <pgq/dequeue.h>

enum { POP_MAX = 100000 };

/* In the caller's transaction, which is neither begun nor ended here. */
static pgq_status dequeue_joined(pgq *q, const char *queue, pgq_handler handler, void *arg)
{
    pgqi_look look = {.queue = queue, .max = 1, .how = PGQI_LOCK, .lease_ms = PGQ_UNSET};
    pgq_messages *messages;
    pgq_status status = pgqi_claim_now(q, &look, &messages);
    pgqi_settle settle;

    if (status != PGQ_OK && status != PGQ_HOOK)
        return status;
    status = pgqi_command(q, "SAVEPOINT pgq_scope", NULL);
    if (status == PGQ_OK) {
        pgqi_scope_run(q, pgq_messages_get(messages, 0), handler, arg, &settle);
        status = pgqi_settle_joined(q, &settle);
    }
    pgq_messages_free(messages);
    return status;
}

pgq_status pgq_dequeue(pgq *q, const char *queue, pgq_handler handler, void *arg)
{
    pgqi_take take = {.queue = queue, .lease_ms = PGQ_UNSET};
    pgq_status status = pgqi_scope_enter(q, queue, handler != NULL, q && q->owned);

    if (status != PGQ_OK)
        return status;
    if (!q->owned && !pgqi_in_transaction(q))
        return pgqi_error_set(
            &q->error, PGQ_STATE,
            "no transaction is open on the attached connection: begin one, or use pgq_open");
    if (!q->owned)
        return dequeue_joined(q, queue, handler, arg);
    status = pgqi_scope_once(q, &take, NULL, handler, arg);
    take.sweep = 1;
    return status == PGQ_EMPTY ? pgqi_scope_once(q, &take, NULL, handler, arg) : status;
}

struct listener {
    pgqi_looker looker;
    const char *filter;
    pgq_handler handler;
    void *arg;
};

static pgq_status scope_look(pgqi_looker *looker, pgq *q, int sweep, int awake)
{
    const struct listener *l = (const struct listener *)looker;
    pgqi_take take = {
        .queue = looker->name, .filter = l->filter, .lease_ms = PGQ_UNSET, .sweep = sweep, .awake = awake};

    return pgqi_scope_once(q, &take, pgqi_wait_found, l->handler, l->arg);
}

pgq_status pgq_listen(pgq *q, const char *queue, int timeout_ms, pgq_handler handler, void *arg,
                      const pgq_listen_options *options)
{
    struct listener l = {.looker = {scope_look, queue, PGQI_QUEUE}, .handler = handler, .arg = arg};
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    pgq_status status = pgqi_scope_enter(q, queue, handler != NULL, 1);
    pgqi_wait_options wait;

    if (status == PGQ_OK)
        status = pgqi_read_options(&o, sizeof o, options, &q->error);
    if (status != PGQ_OK)
        return status;
    l.filter = o.filter;
    wait.timeout_ms = timeout_ms;
    wait.poll_interval_ms = o.poll_interval_ms;
    wait.cancel_fd = o.cancel_fd;
    return pgqi_wait(q, &l.looker, &wait);
}

pgq_status pgq_pop(pgq *q, const char *queue, int max, pgq_messages **out)
{
    pgqi_look look = {.queue = queue, .max = max, .how = PGQI_REMOVE, .lease_ms = PGQ_UNSET};
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
    return pgqi_claim_now(q, &look, out);
}
