/* SPDX-License-Identifier: MIT */
/* Waiting for the next messages of a topic, and handling them. */
#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "queue.h"
#include "scope.h"
#include "subscriber.h"
#include "topic.h"
#include "wait.h"

#include <string.h>

struct waiter {
    pgqi_looker looker;
    pgq_subscriber *s;
    int max;
    pgq_messages **out; /* of pgq_topic_wait() */
    pgq_batch_handler handler;
    void *arg;
};

/* The statements of a look: the announcement of a sleep is taken back; then the reading, in a transaction
 * that is left open if there is a handler. */
struct look {
    pgqi_statement s[4];
    int n;
    int read;
    pgqi_params name;
    pgqi_params params;
};

static void prepare(struct look *l, const struct waiter *w, int awake)
{
    memset(l->s, 0, sizeof l->s);
    l->n = 0;
    if (awake) {
        pgqi_params_init(&l->name);
        pgqi_add_text(&l->name, w->s->topic);
        pgqi_add_statement(l->s, &l->n, "SELECT %s.topic_awake($1)", &l->name, 1);
    }
    pgqi_topic_read_params(&l->params, w->s, w->max);
    if (w->handler)
        pgqi_add_statement(l->s, &l->n, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", NULL, 0);
    l->read = pgqi_add_statement(l->s, &l->n, pgqi_topic_read_sql, &l->params, !w->handler);
    if (w->handler)
        pgqi_add_statement(l->s, &l->n, "SAVEPOINT pgq_scope", NULL, 1);
}

static pgq_status read_page(struct waiter *w, int awake, pgqi_page *page)
{
    pgq *q = w->s->q;
    pgq_status status;
    struct look l;

    page->messages = NULL;
    page->position = NULL;
    prepare(&l, w, awake);
    status = pgqi_pipeline(q, l.s, l.n);
    if (status == PGQ_OK) {
        status = pgqi_page_read(w->s, l.s[l.read].res, page);
        l.s[l.read].res = NULL;
    }
    pgqi_clear(l.s, l.n);
    return status;
}

static pgq_status wait_look(pgqi_looker *looker, pgq *q, int sweep, int awake)
{
    struct waiter *w = (struct waiter *)looker;
    pgqi_page page;
    pgq_status status = read_page(w, awake, &page);

    (void)sweep;
    if (status < 0 && status != PGQ_HOOK)
        return status;
    pgqi_page_turn(w->s, &page);
    *w->out = page.messages;
    if (page.messages) {
        pgq_error kept = q->error;

        pgqi_wait_found(q);
        q->error = kept;
    }
    return status;
}

/* Rolls back, and keeps the error that led there; the status, or that of the connection if it is lost. */
static pgq_status undo(pgq *q, pgq_status status)
{
    pgq_error kept = q->error;

    if (PQstatus(q->conn) == CONNECTION_OK && pgqi_in_transaction(q))
        pgqi_command(q, "ROLLBACK", NULL);
    if (PQstatus(q->conn) != CONNECTION_OK)
        return pgqi_error_from_server(&q->error, q->conn, NULL);
    q->error = kept;
    q->error.needs_rollback = 0;
    return q->error.status = status;
}

/* Commits the work, and the position of a durable subscriber with it. */
static pgq_status settle(struct waiter *w, const char *position)
{
    pgqi_statement s[3];
    pgq *q = w->s->q;
    pgq_status status;
    pgqi_params p;
    int n = 0;

    pgqi_add_statement(s, &n, "RELEASE SAVEPOINT pgq_scope", NULL, 0);
    if (w->s->name) {
        pgqi_params_init(&p);
        pgqi_add_int4(&p, w->s->id);
        pgqi_add_int8(&p, w->s->number);
        pgqi_add_text(&p, position);
        pgqi_add_statement(s, &n, "SELECT %s._raise(code, detail) FROM %s._topic_commit($1, $2, $3)", &p, 0);
    }
    pgqi_add_statement(s, &n, "COMMIT", NULL, 1);
    status = pgqi_pipeline(q, s, n);
    pgqi_clear(s, n);
    if (status == PGQ_OK) {
        w->s->number += w->s->name != NULL;
        return PGQ_OK;
    }
    /* Without its savepoint the transaction is not the one that was begun. */
    if (strcmp(q->error.sqlstate, "3B001") == 0)
        return undo(
            q, pgqi_error_set(&q->error, PGQ_STALE, "the handler ended the transaction it was called in"));
    if (status == PGQ_STALE) {
        undo(q, status);
        if (PQstatus(q->conn) == CONNECTION_OK) {
            pgq_error kept = q->error;

            pgqi_rewind(w->s);
            q->error = kept;
        }
        return q->error.status;
    }
    return undo(q, status == PGQ_NOT_FOUND ? status : PGQ_FAILED);
}

static pgq_status handle(struct waiter *w, const pgqi_page *page, const char *position)
{
    static const pgq_receipt none = {0, 0};
    pgq *q = w->s->q;
    char text[sizeof q->fail_text];
    int rc;

    pgqi_handle_begin(q, &none);
    q->handling = 1;
    rc = pgqi_handle_end(q, w->handler(q, q->conn, page->messages, w->arg), text, sizeof text);
    q->handling = 0;
    if (PQstatus(q->conn) == CONNECTION_OK && !pgqi_in_transaction(q))
        return pgqi_error_set(&q->error, PGQ_STALE, "the handler ended the transaction it was called in");
    if (rc)
        return undo(q, pgqi_error_set(&q->error, PGQ_FAILED, "%s", text));
    pgqi_error_clear(&q->error, PGQ_OK);
    return settle(w, position);
}

static pgq_status run(struct waiter *w, const pgqi_page *page)
{
    const char *position = page->position ? page->position : w->s->position;
    char *noted = w->s->name ? NULL : pgqi_strdup(position);
    pgq_status status;

    if (!w->s->name && !noted)
        return undo(w->s->q, pgqi_error_set(&w->s->q->error, PGQ_NO_MEMORY, "out of memory"));
    status = handle(w, page, position);
    if (status == PGQ_OK && noted) {
        pgqi_free(w->s->committed);
        w->s->committed = noted;
        noted = NULL;
    }
    pgqi_free(noted);
    return status;
}

static pgq_status listen_look(pgqi_looker *looker, pgq *q, int sweep, int awake)
{
    struct waiter *w = (struct waiter *)looker;
    pgqi_page page;
    pgq_status status = read_page(w, awake, &page);

    (void)sweep;
    if (status == PGQ_OK) {
        pgqi_wait_found(q);
        status = run(w, &page);
    } else {
        status = undo(q, status);
    }
    if (status == PGQ_OK || status == PGQ_EMPTY)
        pgqi_page_turn(w->s, &page);
    pgqi_page_free(&page);
    return status;
}

static pgq_status enter(pgq_subscriber *s, int max, const pgq_listen_options *given, pgq_listen_options *o)
{
    pgq_listen_options defaults = PGQ_LISTEN_OPTIONS_INIT;
    pgq_status status = pgqi_enter_read(s, max);
    pgq *q = s ? s->q : NULL;

    *o = defaults;
    if (status == PGQ_OK)
        status = pgqi_read_options(o, sizeof *o, given, &q->error);
    if (status == PGQ_OK && o->filter)
        status = pgqi_error_set(&q->error, PGQ_INVALID, "a topic is read whole: filter must be NULL");
    return status == PGQ_OK ? pgqi_check_own(q) : status;
}

static pgq_status wait_for(struct waiter *w, int timeout_ms, const pgq_listen_options *o)
{
    const pgqi_wait_options wait = {timeout_ms, o->poll_interval_ms, o->cancel_fd};

    return pgqi_tended(w->s->q, pgqi_wait(w->s->q, &w->looker, &wait));
}

pgq_status pgq_topic_wait(pgq_subscriber *subscriber, int max, int timeout_ms,
                          const pgq_listen_options *options, pgq_messages **out)
{
    struct waiter w = {.s = subscriber, .max = max, .out = out};
    pgq_listen_options o;
    pgq_status status;

    if (out)
        *out = NULL;
    status = enter(subscriber, max, options, &o);
    if (status == PGQ_OK)
        status = pgqi_check_out(&subscriber->q->error, out);
    if (status != PGQ_OK)
        return status;
    w.looker = (pgqi_looker){wait_look, subscriber->topic, PGQI_TOPIC};
    return wait_for(&w, timeout_ms, &o);
}

pgq_status pgq_topic_listen(pgq_subscriber *subscriber, int max, int timeout_ms, pgq_batch_handler handler,
                            void *arg, const pgq_listen_options *options)
{
    struct waiter w = {.s = subscriber, .max = max, .handler = handler, .arg = arg};
    pgq_listen_options o;
    pgq_status status = enter(subscriber, max, options, &o);

    if (status == PGQ_OK && !handler)
        status = pgqi_error_set(&subscriber->q->error, PGQ_INVALID, "handler must not be NULL");
    if (status != PGQ_OK)
        return status;
    w.looker = (pgqi_looker){listen_look, subscriber->topic, PGQI_TOPIC};
    return wait_for(&w, timeout_ms, &o);
}
