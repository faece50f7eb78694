/* SPDX-License-Identifier: MIT */
/* A scope of several messages. */
#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "message.h"
#include "scope.h"

#include <stdio.h>
#include <string.h>

enum { MANY_MAX = 1000 };

struct job {
    pgq_batch_handler handler;
    void *arg;
    size_t *done;
};

static void many_free(pgqi_many *many)
{
    pgqi_params_free(&many->ack);
    pgqi_params_free(&many->nack);
    pgqi_params_free(&many->drop);
}

static void add_all(pgqi_params *p, const int64_t *ids, const int32_t *attempts, const pgqi_element *whys,
                    size_t n)
{
    pgqi_add_int8s(p, ids, n);
    pgqi_add_int4s(p, attempts, n);
    if (whys)
        pgqi_add_array(p, PGQI_TEXT, whys, n);
}

/* 0: memory ran out. */
static int many_fill(pgqi_many *many, const int64_t *ids, const int32_t *attempts, const pgqi_element *whys)
{
    size_t n = pgq_messages_count(many->messages);

    add_all(&many->ack, ids, attempts, NULL, n);
    add_all(&many->nack, ids, attempts, whys, n + many->undecoded);
    add_all(&many->drop, ids + n, attempts + n, whys + n, many->undecoded);
    return !many->ack.failed && !many->nack.failed && !many->drop.failed;
}

static int many_make(pgqi_many *many, pgq_messages *messages)
{
    size_t all = pgq_messages_count(messages);
    pgqi_element *whys = pgqi_alloc(all, sizeof *whys);
    int64_t *ids = pgqi_alloc(all, sizeof *ids);
    int32_t *attempts = pgqi_alloc(all, sizeof *attempts);
    int made = whys && ids && attempts;

    pgqi_params_init(&many->ack);
    pgqi_params_init(&many->nack);
    pgqi_params_init(&many->drop);
    many->done = 0;
    many->messages = messages;
    many->undecoded = pgqi_messages_part(messages);
    for (size_t i = 0; made && i < all; i++) {
        size_t n = all - many->undecoded;
        const char *why = NULL;
        const pgq_message *m =
            i < n ? pgq_messages_get(messages, i) : pgqi_messages_parted(messages, i - n, &why);

        ids[i] = m->id;
        attempts[i] = m->attempts;
        whys[i].data = why;
        whys[i].len = why ? strlen(why) : 0;
    }
    made = made && many_fill(many, ids, attempts, whys);
    pgqi_free(whys);
    pgqi_free(ids);
    pgqi_free(attempts);
    return made;
}

static void run(pgq *q, pgqi_many *many, const struct job *job, pgqi_settle *settle)
{
    static const pgq_receipt none = {0, 0};
    size_t n = pgq_messages_count(many->messages);

    memset(settle, 0, sizeof *settle);
    settle->many = many;
    if (n > 0) {
        pgqi_handle_begin(q, &none);
        settle->failed = pgqi_handle_end(q, job->handler(q, q->conn, many->messages, job->arg), settle->text,
                                         sizeof settle->text) != 0;
    }
    settle->ended = PQtransactionStatus(q->conn) == PQTRANS_IDLE;
    if (settle->ended)
        snprintf(settle->text, sizeof settle->text,
                 "the handler ended the transaction that held its %zu messages", n);
}

static pgq_status settle_owned(pgq *q, pgqi_settle *settle)
{
    pgqi_scope_turn(q, settle, NULL);
    if (settle->status == PGQ_FAILED || settle->status == PGQ_STALE)
        return pgqi_error_set(&q->error, settle->status, "%s", settle->text);
    return settle->status;
}

/* The claim has been made, and q->error says what could not be decoded of it. */
static pgq_status handle(pgq *q, pgq_messages *messages, const struct job *job)
{
    pgq_error why = q->error;
    pgq_status status = PGQ_OK;
    pgqi_settle settle;
    pgqi_many many;

    if (!many_make(&many, messages)) {
        status = pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
        if (q->owned)
            pgqi_end_transaction(q);
    } else if (!q->owned) {
        status = pgqi_command(q, "SAVEPOINT pgq_scope", NULL);
    }
    if (status == PGQ_OK) {
        run(q, &many, job, &settle);
        status = q->owned ? settle_owned(q, &settle) : pgqi_settle_joined(q, &settle);
        if (status == PGQ_OK && job->done)
            *job->done = (size_t)many.done;
        if (status == PGQ_OK && many.undecoded > 0) {
            q->error = why;
            status = why.status;
        }
    }
    many_free(&many);
    return status;
}

static pgq_status take_owned(pgq *q, const char *queue, int max, pgq_messages **messages)
{
    pgqi_take take = {.queue = queue, .max = max, .lease_ms = PGQ_UNSET};

    pgqi_scope_look(q, &take);
    take.sweep = 1;
    if (take.status == PGQ_EMPTY)
        pgqi_scope_look(q, &take);
    *messages = take.messages;
    return take.status;
}

static pgq_status take_joined(pgq *q, const char *queue, int max, pgq_messages **messages)
{
    pgqi_look look = {.queue = queue, .max = max, .how = PGQI_LOCK, .lease_ms = PGQ_UNSET};
    pgq_status status = pgqi_claim_now(q, &look, messages);

    return status == PGQ_HOOK ? PGQ_OK : status;
}

pgq_status pgq_dequeue_many(pgq *q, const char *queue, int max, pgq_batch_handler handler, void *arg,
                            size_t *done)
{
    const struct job job = {handler, arg, done};
    pgq_messages *messages = NULL;
    pgq_status status = pgqi_scope_enter(q, queue, handler != NULL, q && q->owned);

    if (done)
        *done = 0;
    if (status != PGQ_OK)
        return status;
    if (max < 1 || max > MANY_MAX)
        return pgqi_error_set(&q->error, PGQ_INVALID, "max %d is out of range: 1 to %d is allowed", max,
                              MANY_MAX);
    if (!q->owned && !pgqi_in_transaction(q))
        return pgqi_error_set(
            &q->error, PGQ_STATE,
            "no transaction is open on the attached connection: begin one, or use pgq_open");
    status = q->owned ? take_owned(q, queue, max, &messages) : take_joined(q, queue, max, &messages);
    if (status == PGQ_OK)
        status = handle(q, messages, &job);
    pgq_messages_free(messages);
    return status;
}
