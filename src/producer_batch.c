/* SPDX-License-Identifier: MIT */
/* One transaction of a producer: sends a batch, leaves out what the server refuses, commits; and finds out
 * what became of a COMMIT whose answer was lost.
 *
 * A group is a run of messages to one queue. It goes in one statement, which stores all or, if one message is
 * at fault, none and says which: that one is refused, and the rest sent again in the same transaction. After
 * REFUSALS_WHOLE of these each message has a statement of its own, PIECES_MAX of them in a round trip: a
 * batch of nothing but bad messages costs a few round trips, and each message is sent a few times. */
#include "producer.h"

#include "alloc.h"
#include "error.h"
#include "exec.h"

#include <stdio.h>
#include <string.h>

enum { REFUSALS_WHOLE = 3, PIECES_MAX = PGQI_GROUPS_MAX };

typedef struct group {
    size_t at;   /* what is before it is stored or refused */
    size_t good; /* up to here nothing is at fault */
    size_t next; /* the first behind the one that was refused last; good if none was */
    size_t end;
    int refusals;
    int create;
} group;

typedef struct piece {
    group *g;
    size_t from, to;
} piece;

typedef struct sending {
    pgq *q;
    size_t n;
    pgqi_taken **messages;      /* by group, each in order */
    const pgqi_outgoing **outs; /* the same */
    group groups[PGQI_GROUPS_MAX];
    int n_groups;
    int mixed; /* of one queue there may be several groups */
    size_t n_pieces;
    piece pieces[PIECES_MAX];
    pgqi_params params[PIECES_MAX];
    pgqi_statement statements[PIECES_MAX + 2];
} sending;

/* --- groups --- */

static pgq_status no_memory(pgq *q)
{
    return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
}

/* Puts what is not done into its groups. */
static void arrange(sending *s, const pgqi_batch *batch)
{
    size_t counts[PGQI_GROUPS_MAX] = {0};
    size_t at = 0;

    for (const pgqi_taken *m = batch->list.head; m; m = m->next)
        counts[m->group] += !m->done;
    for (int i = 0; i < batch->groups; i++) {
        group *g = &s->groups[i];

        g->at = g->good = g->next = g->end = at;
        at += counts[i];
    }
    for (pgqi_taken *m = batch->list.head; m; m = m->next) {
        group *g = &s->groups[m->group];

        if (m->done)
            continue;
        g->create = m->out.o.create_queue;
        s->mixed |= g->create != s->groups[0].create;
        s->messages[g->end] = m;
        s->outs[g->end++] = &m->out;
    }
    s->n = at;
    s->n_groups = batch->groups;
}

static void add_piece(sending *s, group *g, size_t from, size_t to)
{
    piece *p = &s->pieces[s->n_pieces];
    pgqi_params *params = &s->params[s->n_pieces];

    p->g = g;
    p->from = from;
    p->to = to;
    s->n_pieces++;
    pgqi_enqueue_many_params(params, s->messages[from]->queue, g->create, &s->outs[from], to - from);
}

/* Whether an earlier group of the same queue is not through: it goes first. */
static int must_wait(const sending *s, int i)
{
    const group *g = &s->groups[i];

    for (int j = 0; s->mixed && g->at < g->end && j < i; j++) {
        const group *h = &s->groups[j];

        if (h->at < h->end && strcmp(s->messages[h->at]->queue, s->messages[g->at]->queue) == 0)
            return 1;
    }
    return 0;
}

/* What of a group goes in the next round trip. Of a piece of several messages only the last of its group may
 * be at fault: none behind it must be stored before what it holds. */
static void plan_group(sending *s, group *g)
{
    if (s->n_pieces == PIECES_MAX)
        return;
    if (g->good > g->at)
        add_piece(s, g, g->at, g->good);
    if (g->refusals < REFUSALS_WHOLE && g->next < g->end && s->n_pieces < PIECES_MAX)
        add_piece(s, g, g->next, g->end);
    else if (g->refusals >= REFUSALS_WHOLE)
        for (size_t i = g->next; i < g->end && s->n_pieces < PIECES_MAX; i++)
            add_piece(s, g, i, i + 1);
}

static void advance(group *g, size_t to)
{
    g->at = g->good = g->next = to;
}

/* --- answers --- */

/* The text of a refusal, without the number that the message had among those it was sent with. */
static const char *own_text(const char *text, size_t number, size_t n)
{
    char prefix[64];
    int len = snprintf(prefix, sizeof prefix, "message %zu of %zu: ", number, n);

    return strncmp(text, prefix, (size_t)len) == 0 ? text + len : text;
}

static void refuse(sending *s, size_t at, const PGresult *res, size_t number, size_t n)
{
    pgq_error e;

    pgqi_error_from_code(&e, PQgetvalue(res, 0, 0), PQgetvalue(res, 0, 1));
    pgqi_taken_settle(s->messages[at], e.status, 0, own_text(e.message, number, n));
}

/* 0: one was at fault in a place where that would change the order. */
static int read_piece(sending *s, const piece *p, const PGresult *res)
{
    size_t n = p->to - p->from;
    group *g = p->g;
    size_t failed;

    if (PQgetisnull(res, 0, 0)) {
        for (size_t i = 0; i < n; i++) {
            pgqi_taken *m = s->messages[p->from + i];

            m->id = pgqi_field_int(res, (int)i, 3);
            m->status = pgqi_field_int(res, (int)i, 4) ? PGQ_DUPLICATE : PGQ_OK;
        }
        advance(g, p->to == g->good ? g->next : p->to);
        return 1;
    }
    failed = (size_t)pgqi_field_int(res, 0, 2);
    if (failed == 0 || failed > n) {
        /* The queue was at fault. */
        for (size_t i = g->at; i < g->end; i++)
            refuse(s, i, res, 0, 0);
        advance(g, g->end);
        return 1;
    }
    g->refusals++;
    refuse(s, p->from + failed - 1, res, failed, n);
    if (p->to <= g->good)
        return 0;
    if (n == 1) {
        advance(g, p->to);
    } else {
        g->at = p->from;
        g->good = p->from + failed - 1;
        g->next = g->good + 1;
    }
    return 1;
}

/* --- the transaction --- */

/* One round trip. more: something is left to be sent. */
static pgq_status turn(sending *s, pgqi_batch *batch, int first, int *more)
{
    int n = 0;
    pgq_status status;

    s->n_pieces = 0;
    for (int i = 0; i < s->n_groups; i++)
        if (!must_wait(s, i))
            plan_group(s, &s->groups[i]);
    if (first)
        pgqi_add_statement(s->statements, &n, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", NULL, 0);
    for (size_t i = 0; i < s->n_pieces; i++)
        pgqi_add_statement(s->statements, &n, pgqi_enqueue_many_sql, &s->params[i], 0);
    pgqi_add_statement(s->statements, &n,
                       "SELECT pg_catalog.pg_current_xact_id(), pg_catalog.pg_current_wal_insert_lsn()", NULL,
                       1);
    status = pgqi_pipeline(s->q, s->statements, n);
    *more = 0;
    for (size_t i = 0; status == PGQ_OK && i < s->n_pieces; i++)
        if (!read_piece(s, &s->pieces[i], s->statements[i + (first != 0)].res))
            status = pgqi_error_set(&s->q->error, PGQ_CONFLICT, "the queue has changed meanwhile");
    if (status == PGQ_OK) {
        batch->xid = pgqi_field_int(s->statements[n - 1].res, 0, 0);
        batch->lsn = pgqi_field_int(s->statements[n - 1].res, 0, 1);
    }
    for (int i = 0; i < s->n_groups; i++)
        *more |= s->groups[i].at < s->groups[i].end;
    for (size_t i = 0; i < s->n_pieces; i++)
        pgqi_params_free(&s->params[i]);
    pgqi_clear(s->statements, n);
    return status;
}

static pgq_status store(sending *s, pgqi_batch *batch)
{
    int first = 1;
    int more = 1;
    pgq_status status = PGQ_OK;

    while (status == PGQ_OK && more) {
        status = turn(s, batch, first, &more);
        first = 0;
    }
    return status;
}

/* All that is not done was stored by a transaction that is committed. */
static void settle_stored(pgqi_batch *batch)
{
    for (pgqi_taken *m = batch->list.head; m; m = m->next)
        pgqi_taken_settle(m, m->status, m->id, NULL);
}

static pgq_status commit(pgq *q, pgqi_batch *batch)
{
    pgq_status status;
    PGresult *res;

    batch->unknown = 1;
    status = pgqi_call(q, "COMMIT", NULL, &res);
    if (status != PGQ_OK) {
        /* An error that the server has sent, and lived on, has undone the transaction. */
        batch->unknown = q->error.connection_dead || !q->error.sqlstate[0];
        return status;
    }
    batch->unknown = 0;
    if (strcmp(PQcmdStatus(res), "COMMIT") == 0)
        settle_stored(batch);
    else
        status = pgqi_error_set(&q->error, PGQ_CONFLICT, "the transaction was rolled back");
    PQclear(res);
    return status;
}

static void roll_back(pgq *q)
{
    pgq_error e = q->error;

    if (PQstatus(q->conn) == CONNECTION_OK && PQpipelineStatus(q->conn) == PQ_PIPELINE_OFF &&
        pgqi_in_transaction(q))
        pgqi_script(q, "ROLLBACK");
    q->error = e;
}

pgq_status pgqi_batch_send(pgq *q, pgqi_batch *batch, const pgqi_era *era, void (*on_commit)(void *arg, int),
                           void *arg)
{
    sending *s = pgqi_alloc(1, sizeof *s);
    pgq_status status;

    pgqi_error_clear(&q->error, PGQ_OK);
    if (!s)
        return no_memory(q);
    s->q = q;
    s->messages = pgqi_alloc(batch->list.n, sizeof *s->messages);
    s->outs = pgqi_alloc(batch->list.n, sizeof *s->outs);
    if (s->messages && s->outs) {
        arrange(s, batch);
        status = s->n > 0 ? store(s, batch) : PGQ_OK;
    } else {
        status = no_memory(q);
    }
    if (status == PGQ_OK && s->n > 0) {
        batch->era = *era;
        on_commit(arg, 1);
        status = commit(q, batch);
        on_commit(arg, 0);
    }
    if (status != PGQ_OK)
        roll_back(q);
    pgqi_free(s->messages);
    pgqi_free(s->outs);
    pgqi_free(s);
    return status;
}

/* --- a COMMIT that was not answered --- */

pgq_status pgqi_era_read(pgq *q, pgqi_era *era)
{
    static const char sql[] =
        "SELECT pg_catalog.pg_postmaster_start_time(), pg_catalog.pg_stat_get_bgwriter_stat_reset_time(), "
        "c.redo_lsn,"
        " pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8)"
        " FROM pg_catalog.pg_control_checkpoint() c";
    PGresult *res;
    pgq_status status = pgqi_call(q, sql, NULL, &res);

    if (status != PGQ_OK)
        return status;
    era->postmaster_us = pgqi_field_int(res, 0, 0);
    era->crash_us = pgqi_field_int(res, 0, 1);
    era->redo = pgqi_field_int(res, 0, 2);
    snprintf(era->timeline, sizeof era->timeline, "%s", PQgetvalue(res, 0, 3));
    PQclear(res);
    return PGQ_OK;
}

/* Whoever was cut off with the COMMIT still on its way would hold the transaction open until the server
 * notices. One that is at its commit is left alone. */
static void end_idle(pgq *q, const pgqi_params *p)
{
    pgq_error e = q->error;

    pgqi_command(q,
                 "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a"
                 " WHERE a.backend_xid = $1::pg_catalog.xid8::pg_catalog.xid"
                 " AND a.state LIKE 'idle in transaction%' AND a.pid <> pg_catalog.pg_backend_pid()",
                 p);
    q->error = e;
}

/* Whether a number that is said to be committed is that of the batch. A crash may take a transaction away
 * without a trace, and the server give its number to another one. Its commit would have stood behind
 * batch->lsn, and each recovery and each shutdown ends with a checkpoint where the log ended: if the last one
 * is before that, the commit is not there. If it is not, there may have been an earlier one that was. */
static pgq_status judge(pgq *q, const pgqi_batch *batch, const pgqi_era *now, int *committed)
{
    const pgqi_era *was = &batch->era;
    int restarted = was->postmaster_us != now->postmaster_us;
    int same_line = strcmp(was->timeline, now->timeline) == 0;

    /* Somebody may have reset the statistics, and nothing else have happened: no crash without a checkpoint.
     */
    *committed = same_line && !restarted && (was->crash_us == now->crash_us || was->redo == now->redo);
    if (*committed || (same_line && restarted && (uint64_t)now->redo <= (uint64_t)batch->lsn))
        return PGQ_OK;
    return pgqi_error_set(&q->error, PGQ_STALE, "it is not known whether it was committed: %s",
                          same_line ? "the server has restarted" : "another server has taken over");
}

/* *committed is set if OK. */
static pgq_status read_answer(pgq *q, const pgqi_batch *batch, const pgqi_era *now, const char *answer,
                              int *committed)
{
    *committed = 0;
    if (!answer)
        return pgqi_error_set(&q->error, PGQ_STALE,
                              "it is not known whether it was committed: the server has forgotten it");
    if (strcmp(answer, "committed") == 0)
        return judge(q, batch, now, committed);
    if (strcmp(answer, "in progress") == 0)
        return pgqi_error_set(&q->error, PGQ_CONFLICT, "the commit is still under way");
    return PGQ_OK;
}

pgq_status pgqi_batch_ask(pgq *q, pgqi_batch *batch, const pgqi_era *now)
{
    int committed = 0;
    char xid[24];
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    pgqi_error_clear(&q->error, PGQ_OK);
    snprintf(xid, sizeof xid, "%lld", (long long)batch->xid);
    pgqi_params_init(&p);
    pgqi_add_text(&p, xid);
    status = pgqi_call(q, "SELECT pg_catalog.pg_xact_status($1::pg_catalog.xid8)", &p, &res);
    if (status == PGQ_OK) {
        status = read_answer(q, batch, now, pgqi_field_text(res, 0, 0), &committed);
        PQclear(res);
        if (status == PGQ_CONFLICT)
            end_idle(q, &p);
    } else if (strcmp(q->error.sqlstate, "22023") == 0) {
        /* As far as this server knows it was never given out. */
        status = pgqi_error_clear(&q->error, PGQ_OK);
    }
    if (status == PGQ_OK) {
        batch->unknown = 0;
        if (committed)
            settle_stored(batch);
    }
    return status;
}
