/* SPDX-License-Identifier: MIT */
#include "scope.h"

#include "clock.h"
#include "error.h"
#include "exec.h"
#include "queue.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

pgq_status pgqi_scope_enter(pgq *q, const char *queue, pgq_handler handler, int own)
{
    pgq_status status = pgqi_enter_queue(q, queue);

    if (status != PGQ_OK)
        return status;
    if (!handler)
        return pgqi_error_set(&q->error, PGQ_INVALID, "handler must not be NULL");
    if (q->in_handler)
        return pgqi_error_set(&q->error, PGQ_STATE, "a handler is running on this handle: open another one");
    if (own && !q->owned)
        return pgqi_error_set(&q->error, PGQ_STATE, "listening needs a connection of its own: use pgq_open");
    if (own && pgqi_in_transaction(q))
        return pgqi_error_set(&q->error, PGQ_STATE,
                              "a transaction is open on the handle's own connection: end it");
    return PGQ_OK;
}

/* One round trip: at most four statements that settle, two before the scope, and three that open it. */
struct turn {
    pgqi_statement s[PGQI_MAX_STATEMENTS];
    int n;
    int commit, promote, claim, savepoint; /* where those stand in s; -1: not sent */
    pgqi_params settle_params;
    pgqi_params queue_params;
    pgqi_params due_params;
    pgqi_look look;
    pgqi_claim c;
};

static int add(struct turn *t, const char *sql, const pgqi_params *params, int sync)
{
    return pgqi_add_statement(t->s, &t->n, sql, params, sync);
}

static void nack_params(pgqi_params *p, const pgqi_settle *settle)
{
    pgqi_params_init(p);
    pgqi_add_int8(p, settle->id);
    pgqi_add_int4(p, settle->attempt);
    pgqi_add_text(p, settle->text);
}

/* Settling is done at the outer level, never inside the savepoint: a row that a transaction has locked
 * and its subtransaction deletes becomes a MultiXact. Deferred constraints are checked while the
 * savepoint can still take the work back. */
static void add_settle(struct turn *t, const pgqi_settle *settle)
{
    if (settle->failed) {
        nack_params(&t->settle_params, settle);
        add(t, "ROLLBACK TO SAVEPOINT pgq_scope", NULL, 0);
        add(t, "RELEASE SAVEPOINT pgq_scope", NULL, 0);
        add(t, "SELECT %s._nack($1, $2, $3, NULL, NULL)", &t->settle_params, 0);
    } else {
        pgqi_params_init(&t->settle_params);
        pgqi_add_int8(&t->settle_params, settle->id);
        add(t, "SET CONSTRAINTS ALL IMMEDIATE", NULL, 0);
        add(t, "RELEASE SAVEPOINT pgq_scope", NULL, 0);
        add(t, "SELECT %s._ack($1)", &t->settle_params, 0);
    }
    t->commit = add(t, "COMMIT", NULL, 1);
}

void pgqi_take_look(const pgqi_take *take, pgqi_look *look)
{
    memset(look, 0, sizeof *look);
    look->queue = take->queue;
    look->max = 1;
    look->lease_ms = take->lease_ms;
    look->filter = take->filter;
    look->sweep = take->sweep;
    look->alone = 1;
}

/* Memory that lacks for the claim must not undo what is being settled: then only that is sent. */
static void add_take(struct turn *t, pgq *q, pgqi_take *take)
{
    pgqi_take_look(take, &t->look);
    t->look.how = PGQI_LOCK;
    pgqi_claim_init(&t->c, q, &t->look);
    if (t->c.params.failed)
        return;
    pgqi_params_init(&t->queue_params);
    pgqi_add_text(&t->queue_params, take->queue);
    if (take->awake)
        add(t, "SELECT %s.awake($1)", &t->queue_params, 1);
    /* What is due is made ready in a transaction of its own: the scope may stay open for long. */
    if (t->c.plan.promote) {
        pgqi_params_init(&t->due_params);
        pgqi_add_text(&t->due_params, take->queue);
        pgqi_add_timestamptz(&t->due_params, t->c.plan.due_from);
        t->promote = add(t, "SELECT due_in_ms, due_mark FROM %s._promote_queue($1, $2)", &t->due_params, 1);
    }
    add(t, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", NULL, 0);
    t->claim = add(t, pgqi_claim_sql, &t->c.params, 0);
    t->savepoint = add(t, "SAVEPOINT pgq_scope", NULL, 1);
}

static int succeeded(const PGresult *res, ExecStatusType wanted)
{
    return res && PQresultStatus(res) == wanted;
}

static int committed(PGresult *res)
{
    return succeeded(res, PGRES_COMMAND_OK) && strcmp(PQcmdStatus(res), "COMMIT") == 0;
}

pgq_status pgqi_end_transaction(pgq *q)
{
    pgq_error kept = q->error;
    pgq_status status = PGQ_OK;

    if (PQstatus(q->conn) == CONNECTION_OK && pgqi_in_transaction(q)) {
        /* A commit where that is possible: deaths that were counted must stay counted. */
        status =
            pgqi_command(q, PQtransactionStatus(q->conn) == PQTRANS_INERROR ? "ROLLBACK" : "COMMIT", NULL);
    }
    if (status == PGQ_OK)
        q->error = kept;
    q->error.needs_rollback = 0;
    return status;
}

/* The work could not be committed: a constraint said no, or the handler ended the transaction itself.
 * q->error says which. Counts the failure with that text, as long as the message is still held. */
static void settle_failed(pgq *q, pgqi_settle *settle)
{
    struct turn t = {.commit = -1};
    pgq_error why = q->error;

    snprintf(settle->text, sizeof settle->text, "%s", why.message);
    settle->status = why.status == PGQ_STALE ? PGQ_STALE : PGQ_FAILED;
    if (PQstatus(q->conn) == CONNECTION_OK && pgqi_in_transaction(q) && settle->status == PGQ_FAILED) {
        settle->failed = 1;
        add_settle(&t, settle);
        pgqi_pipeline(q, t.s, t.n);
        /* Without its savepoint the scope is not the one that was opened. */
        if (!committed(t.s[t.commit].res))
            settle->status = PGQ_STALE;
        pgqi_clear(t.s, t.n);
    }
    q->error = why;
    pgqi_end_transaction(q);
    if (PQstatus(q->conn) != CONNECTION_OK)
        settle->status = PGQ_CONNECTION;
    q->error.status = settle->status;
}

static void read_promoted(const PGresult *res, pgq *q, const pgqi_take *take)
{
    if (succeeded(res, PGRES_TUPLES_OK) && PQntuples(res) == 1)
        pgqi_cursor_due(q->cursors, take->queue, PQgetisnull(res, 0, 0) ? -1 : pgqi_field_int(res, 0, 0),
                        PQgetisnull(res, 0, 1) ? INT64_MIN : pgqi_field_int(res, 0, 1), 0, pgqi_now_us());
}

static int opened(const struct turn *t)
{
    return t->claim >= 0 && succeeded(t->s[t->claim].res, PGRES_TUPLES_OK) &&
           succeeded(t->s[t->savepoint].res, PGRES_COMMAND_OK);
}

static void read_take(struct turn *t, pgq *q, pgqi_take *take)
{
    PGresult *res = t->s[t->claim].res;
    pgqi_report report;

    if (t->promote >= 0)
        read_promoted(t->s[t->promote].res, q, take);
    if (opened(t)) {
        t->s[t->claim].res = NULL;
        take->status = pgqi_claim_read(&t->c, q, res, &take->messages, &report);
        if (take->status == PGQ_HOOK)
            take->status = PGQ_OK; /* the handler's place is taken by the failure */
        take->again = report.lost > 0 || report.due;
        take->more = report.more;
    } else {
        take->status = q->error.status;
    }
    if (take->status != PGQ_OK && pgqi_end_transaction(q) != PGQ_OK)
        take->status = q->error.status;
}

void pgqi_scope_turn(pgq *q, pgqi_settle *settle, pgqi_take *take)
{
    struct turn t = {.commit = -1, .promote = -1, .claim = -1, .savepoint = -1};
    int settled;

    if (settle && settle->ended) {
        settle->status = PGQ_STALE;
        settle = NULL;
    }
    if (settle)
        add_settle(&t, settle);
    if (take) {
        take->messages = NULL;
        take->again = 0;
        add_take(&t, q, take);
    }
    if (t.n)
        pgqi_pipeline(q, t.s, t.n);
    settled = !settle || committed(t.s[t.commit].res);
    if (settle && settled)
        settle->status = settle->failed ? PGQ_FAILED : PGQ_OK;
    if (!settled && opened(&t)) {
        /* The commit itself failed, and the next scope is open: whoever claims the message counts it. */
        snprintf(settle->text, sizeof settle->text, "%s", q->error.message);
        settle->status = PGQ_FAILED;
        settled = 1;
    } else if (!settled) {
        settle_failed(q, settle);
    }
    if (take && t.claim < 0) {
        take->status = pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    } else if (take && settled) {
        read_take(&t, q, take);
    } else if (take) {
        /* Its transaction, if it came to one, has been ended: the caller looks again. */
        take->status = PQstatus(q->conn) == CONNECTION_OK ? PGQ_EMPTY : PGQ_CONNECTION;
        take->again = 1;
    }
    pgqi_clear(t.s, t.n);
    if (settle)
        pgqi_params_free(&t.settle_params);
    if (take)
        pgqi_claim_free(&t.c);
}

/* The text of a failure that the handler did not explain. */
static void explain(pgq *q, int rc, char *text, size_t size)
{
    size_t len;

    if (q->fail_set)
        snprintf(text, size, "%s", q->fail_text);
    else if (PQtransactionStatus(q->conn) == PQTRANS_INERROR || PQstatus(q->conn) != CONNECTION_OK)
        snprintf(text, size, "%s", PQerrorMessage(q->conn));
    else
        snprintf(text, size, "the handler returned %d", rc);
    len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    len = pgqi_utf8_trim(text, len);
    text[len] = '\0';
    /* The server would refuse it, and the failure would not be counted. */
    for (int bad = !pgqi_is_utf8(text, len); bad && len > 0; len--)
        if ((unsigned char)text[len - 1] >= 0x80)
            text[len - 1] = '?';
}

int pgqi_handle(pgq *q, const pgq_message *message, pgq_handler handler, void *arg, char *text, size_t size)
{
    int rc;

    text[0] = '\0';
    q->settled = 0;
    if (message->undecoded) {
        snprintf(text, size, "%s", q->error.message);
        return 1;
    }
    q->handled.id = message->id;
    q->handled.attempt = message->attempts;
    q->in_handler = 1;
    q->fail_set = 0;
    rc = handler(q, q->conn, message, arg);
    q->in_handler = 0;
    if (rc) {
        explain(q, rc, text, size);
    } else if (PQtransactionStatus(q->conn) == PQTRANS_INERROR) {
        q->fail_set = 0;
        rc = 1;
        explain(q, rc, text, size);
    }
    return rc;
}

void pgqi_scope_run(pgq *q, const pgq_message *message, pgq_handler handler, void *arg, pgqi_settle *settle)
{
    settle->id = message->id;
    settle->attempt = message->attempts;
    settle->failed = pgqi_handle(q, message, handler, arg, settle->text, sizeof settle->text) != 0;
    settle->ended = PQtransactionStatus(q->conn) == PQTRANS_IDLE;
    if (settle->ended)
        snprintf(settle->text, sizeof settle->text,
                 "the handler ended the transaction that held message %lld", (long long)settle->id);
}

int pgq_fail(pgq *q, const char *format, ...)
{
    va_list args;

    if (q && format) {
        va_start(args, format);
        vsnprintf(q->fail_text, sizeof q->fail_text, format, args);
        va_end(args);
        q->fail_set = 1;
    }
    return 1;
}

static void look(pgq *q, pgqi_take *take)
{
    do {
        pgqi_scope_turn(q, NULL, take);
        take->awake = 0;
    } while (take->status == PGQ_EMPTY && take->again);
}

pgq_status pgqi_scope_once(pgq *q, pgqi_take *take, void (*found)(pgq *q), pgq_handler handler, void *arg)
{
    pgqi_settle settle;

    look(q, take);
    if (take->status != PGQ_OK)
        return take->status;
    if (found)
        found(q);
    pgqi_scope_run(q, pgq_messages_get(take->messages, 0), handler, arg, &settle);
    pgq_messages_free(take->messages);
    pgqi_scope_turn(q, &settle, NULL);
    if (settle.status == PGQ_FAILED || settle.status == PGQ_STALE)
        return pgqi_error_set(&q->error, settle.status, "%s", settle.text);
    return settle.status;
}
