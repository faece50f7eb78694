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

pgq_status pgqi_scope_enter(pgq *q, const char *queue, int handler, int own)
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

/* One round trip: at most four statements that settle one message, or six that settle many and open nothing;
 * two before the next scope, and three that open it. */
struct turn {
    pgqi_statement s[PGQI_MAX_STATEMENTS];
    int n;
    int ack, commit, promote, claim, savepoint; /* where those stand in s; -1: not sent */
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

/* What is settled with the handler's text, where a message has none of its own. */
static const pgqi_params *with_text(pgqi_params *p, int n, const char *text)
{
    p->n = n;
    pgqi_add_text(p, text);
    return p;
}

static void settle_one(const pgqi_settle *settle, pgqi_params *p, pgqi_statement *s, int *n)
{
    pgqi_params_init(p);
    pgqi_add_int8(p, settle->id);
    if (settle->failed) {
        pgqi_add_int4(p, settle->attempt);
        pgqi_add_text(p, settle->text);
        pgqi_add_statement(s, n, "SELECT %s._nack($1, $2, $3, NULL, NULL)", p, 0);
    } else {
        pgqi_add_statement(s, n, "SELECT %s._ack($1)", p, 0);
    }
}

static int settle_many(const pgqi_settle *settle, pgqi_statement *s, int *n)
{
    static const char nack_sql[] = "SELECT %s._nack(u.id, u.attempt, COALESCE(u.why, $4), NULL, NULL)"
                                   " FROM unnest($1, $2, $3) AS u (id, attempt, why)";
    pgqi_many *many = settle->many;
    int ack = -1;

    if (settle->failed) {
        pgqi_add_statement(s, n, nack_sql, with_text(&many->nack, 3, settle->text), 0);
        return ack;
    }
    /* As long as the savepoint is there the transaction is the same one, and its locks are held: what is not
     * as it was taken was settled by the handler itself. */
    if (pgq_messages_count(many->messages) > 0)
        ack = pgqi_add_statement(
            s, n, "SELECT count(*) FILTER (WHERE outcome = 'done') FROM %s._ack_many($1, $2)", &many->ack, 0);
    if (many->undecoded > 0)
        pgqi_add_statement(s, n, nack_sql, with_text(&many->drop, 3, NULL), 0);
    return ack;
}

/* Settling is done at the outer level, never inside the savepoint: a row that a transaction has locked
 * and its subtransaction deletes becomes a MultiXact. At most four statements; where in s the one stands that
 * tells how many of many were acked, or -1. */
static int settle_statements(pgqi_settle *settle, pgqi_params *one, pgqi_statement *s, int *n)
{
    if (settle->failed)
        pgqi_add_statement(s, n, "ROLLBACK TO SAVEPOINT pgq_scope", NULL, 0);
    pgqi_add_statement(s, n, "RELEASE SAVEPOINT pgq_scope", NULL, 0);
    if (settle->many)
        return settle_many(settle, s, n);
    settle_one(settle, one, s, n);
    return -1;
}

/* Deferred constraints are checked while the savepoint can still take the work back. */
static void add_settle(struct turn *t, pgqi_settle *settle)
{
    if (!settle->failed)
        add(t, "SET CONSTRAINTS ALL IMMEDIATE", NULL, 0);
    t->ack = settle_statements(settle, &t->settle_params, t->s, &t->n);
    t->commit = add(t, "COMMIT", NULL, 1);
}

pgq_status pgqi_settle_joined(pgq *q, pgqi_settle *settle)
{
    pgq_status status = PGQ_OK;
    pgqi_statement s[4];
    pgqi_params one;
    int n = 0;
    int ack;

    if (settle->ended)
        return pgqi_error_set(&q->error, PGQ_STALE, "%s", settle->text);
    pgqi_error_clear(&q->error, PGQ_OK);
    ack = settle_statements(settle, &one, s, &n);
    for (int i = 0; i < n && status == PGQ_OK; i++) {
        PGresult *res;

        status = pgqi_call(q, s[i].sql, s[i].params, &res);
        if (status == PGQ_OK && i == ack)
            settle->many->done = pgqi_field_int(res, 0, 0);
        PQclear(res);
    }
    /* The savepoint is gone: the transaction is another one. */
    if (strcmp(q->error.sqlstate, "3B001") == 0)
        status = q->error.status = PGQ_STALE;
    if (status == PGQ_OK && settle->failed)
        status = pgqi_error_set(&q->error, PGQ_FAILED, "%s", settle->text);
    return status;
}

void pgqi_take_look(const pgqi_take *take, pgqi_look *look)
{
    memset(look, 0, sizeof *look);
    look->queue = take->queue;
    look->max = take->max ? take->max : 1;
    look->lease_ms = take->lease_ms;
    look->filter = take->filter;
    look->sweep = take->sweep;
    look->alone = 1;
    look->look_behind = take->look_behind;
    look->may_be_one = 1;
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
        pgqi_add_bool(&t->due_params, t->c.plan.n == 0);
        t->promote =
            add(t, "SELECT due_in_ms, due_mark FROM %s._promote_queue($1, $2, $3)", &t->due_params, 1);
    }
    add(t, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", NULL, 0);
    t->claim = add(t, t->c.sql, &t->c.params, 0);
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
    struct turn t = {.ack = -1, .commit = -1};
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
        /* What is due still has just been made ready, or somebody has it locked: no reason to look again at
         * once. */
        take->again = report.lost > 0 || (report.due && t->promote < 0);
        take->more = report.more;
    } else {
        take->status = q->error.status;
    }
    if (take->status != PGQ_OK && pgqi_end_transaction(q) != PGQ_OK)
        take->status = q->error.status;
}

void pgqi_scope_turn(pgq *q, pgqi_settle *settle, pgqi_take *take)
{
    struct turn t = {.ack = -1, .commit = -1, .promote = -1, .claim = -1, .savepoint = -1};
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
    if (settle && settled && t.ack >= 0)
        settle->many->done = pgqi_field_int(t.s[t.ack].res, 0, 0);
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

void pgqi_handle_begin(pgq *q, const pgq_receipt *handled)
{
    q->settled = 0;
    q->handled = *handled;
    q->in_handler = 1;
    q->fail_set = 0;
}

int pgqi_handle_end(pgq *q, int rc, char *text, size_t size)
{
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

int pgqi_handle(pgq *q, const pgq_message *message, pgq_handler handler, void *arg, char *text, size_t size)
{
    const pgq_receipt handled = {message->id, message->attempts};

    text[0] = '\0';
    q->settled = 0;
    if (message->undecoded) {
        snprintf(text, size, "%s", q->error.message);
        return 1;
    }
    pgqi_handle_begin(q, &handled);
    return pgqi_handle_end(q, handler(q, q->conn, message, arg), text, size);
}

void pgqi_scope_run(pgq *q, const pgq_message *message, pgq_handler handler, void *arg, pgqi_settle *settle)
{
    settle->many = NULL;
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

void pgqi_scope_look(pgq *q, pgqi_take *take)
{
    do {
        pgqi_scope_turn(q, NULL, take);
        take->awake = 0;
    } while (take->status == PGQ_EMPTY && take->again);
}

pgq_status pgqi_scope_once(pgq *q, pgqi_take *take, void (*found)(pgq *q), pgq_handler handler, void *arg)
{
    pgqi_settle settle;

    pgqi_scope_look(q, take);
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
