/* SPDX-License-Identifier: MIT */
#include "lease.h"

#include "clock.h"
#include "error.h"
#include "exec.h"

#include <stdio.h>
#include <string.h>

/* One round trip: an announcement taken back, then in one transaction what settles and what receives. */
struct turn {
    pgqi_statement s[3];
    int n;
    int settle, claim; /* where those stand in s; -1: not sent */
    pgqi_params queue_params;
    pgqi_params settle_params;
    pgqi_look look;
    pgqi_claim c;
};

static int add(struct turn *t, const char *sql, const pgqi_params *params, int sync)
{
    return pgqi_add_statement(t->s, &t->n, sql, params, sync);
}

static void add_settle(struct turn *t, const pgqi_settle *settle, int sync)
{
    pgqi_params_init(&t->settle_params);
    pgqi_add_int8(&t->settle_params, settle->id);
    pgqi_add_int4(&t->settle_params, settle->attempt);
    if (settle->failed) {
        pgqi_add_text(&t->settle_params, settle->text);
        t->settle = add(t, "SELECT %s._nack($1, $2, $3, NULL, NULL)", &t->settle_params, sync);
    } else {
        t->settle = add(t, "SELECT outcome FROM %s._ack_many(ARRAY[$1], ARRAY[$2])", &t->settle_params, sync);
    }
}

/* What the server says of the settling. */
static void read_settle(pgq *q, const PGresult *res, pgqi_leased *leased)
{
    pgqi_settle *settle = &leased->settle;
    int answered = res && PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1;
    const char *outcome = answered ? PQgetvalue(res, 0, 0) : "";
    int gone = strcmp(outcome, "not_found") == 0;

    if (!answered) {
        settle->status = PQstatus(q->conn) == CONNECTION_OK ? q->error.status : PGQ_CONNECTION;
        snprintf(settle->text, sizeof settle->text, "%s", q->error.message);
    } else if (!gone && strcmp(outcome, "stale") != 0) {
        settle->status = settle->failed ? PGQ_FAILED : PGQ_OK;
    } else if (leased->mine || (gone && leased->resent && !settle->failed)) {
        settle->status = settle->failed ? PGQ_FAILED : PGQ_OK;
    } else {
        settle->status = PGQ_STALE;
        snprintf(settle->text, sizeof settle->text,
                 "the lease of message %lld was lost before the handler returned", (long long)settle->id);
    }
}

static void read_take(struct turn *t, pgq *q, pgqi_take *take)
{
    PGresult *res = t->s[t->claim].res;
    pgqi_report report;

    if (!res || PQresultStatus(res) != PGRES_TUPLES_OK) {
        take->status = q->error.status;
        return;
    }
    t->s[t->claim].res = NULL;
    take->status = pgqi_claim_read(&t->c, q, res, &take->messages, &report);
    if (take->status == PGQ_HOOK)
        take->status = PGQ_OK; /* the handler's place is taken by the failure */
    /* What was due is done with, or somebody has it locked: no reason to look again at once. */
    take->again = report.lost > 0;
    take->more = report.more;
}

static void settle_alone(pgq *q, pgqi_leased *leased)
{
    struct turn t = {.settle = -1, .claim = -1};

    add_settle(&t, &leased->settle, 1);
    pgqi_pipeline(q, t.s, t.n);
    read_settle(q, t.s[t.settle].res, leased);
    pgqi_clear(t.s, t.n);
    pgqi_params_free(&t.settle_params);
}

static void turn(pgq *q, pgqi_leased *leased, pgqi_take *take)
{
    struct turn t = {.settle = -1, .claim = -1};
    int whole;

    take->messages = NULL;
    take->again = 0;
    pgqi_take_look(take, &t.look);
    t.look.how = PGQI_LEASE;
    pgqi_claim_init(&t.c, q, &t.look);
    if (t.c.params.failed) {
        pgqi_claim_free(&t.c);
        if (leased)
            settle_alone(q, leased);
        take->status = pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
        return;
    }
    pgqi_params_init(&t.queue_params);
    pgqi_add_text(&t.queue_params, take->queue);
    if (take->awake)
        add(&t, "SELECT %s.awake($1)", &t.queue_params, 1);
    if (leased)
        add_settle(&t, &leased->settle, 0);
    t.claim = add(&t, t.c.sql, &t.c.params, 1);
    whole = pgqi_pipeline(q, t.s, t.n) == PGQ_OK;
    if (leased && whole)
        read_settle(q, t.s[t.settle].res, leased);
    if (whole || !leased) {
        read_take(&t, q, take);
    } else {
        /* One has undone the other: the settling comes first, and the caller looks again. */
        if (PQstatus(q->conn) == CONNECTION_OK)
            settle_alone(q, leased);
        else
            read_settle(q, NULL, leased);
        take->status = PQstatus(q->conn) == CONNECTION_OK ? PGQ_EMPTY : PGQ_CONNECTION;
        take->again = 1;
    }
    pgqi_clear(t.s, t.n);
    if (leased)
        pgqi_params_free(&t.settle_params);
    pgqi_claim_free(&t.c);
}

void pgqi_lease_turn(pgq *q, pgqi_leased *leased, pgqi_take *take)
{
    if (take)
        turn(q, leased, take);
    else if (leased)
        settle_alone(q, leased);
}

void pgqi_lease_run(pgq *q, pgqi_keeper *keeper, const pgqi_take *take, pgq_handler handler, void *arg,
                    pgqi_leased *leased)
{
    const pgq_message *m = pgq_messages_get(take->messages, 0);
    pgqi_settle *settle = &leased->settle;

    leased->hold.receipt.id = m->id;
    leased->hold.receipt.attempt = m->attempts;
    leased->hold.given_ms = take->lease_ms;
    leased->hold.left_ms = pgqi_claim_lease_ms(take->messages, 0);
    leased->resent = 0;
    settle->id = m->id;
    settle->attempt = m->attempts;
    settle->ended = 0;
    leased->mine = 0;
    leased->kept = 0;
    if (leased->hold.left_ms == 0) {
        settle->failed = 1;
        snprintf(settle->text, sizeof settle->text,
                 "the message has a lease of 0 ms of its own: a handler needs more");
        return;
    }
    leased->kept = pgqi_keeper_hold(keeper, &leased->hold);
    if (!leased->kept) {
        settle->failed = 1;
        snprintf(settle->text, sizeof settle->text, "the thread that extends leases could not be started");
        return;
    }
    q->hold = &leased->hold;
    settle->failed = pgqi_handle(q, m, handler, arg, settle->text, sizeof settle->text) != 0;
    leased->mine = q->settled;
    pgqi_keeper_ended(keeper, &leased->hold);
    q->hold = NULL;
    if (PQstatus(q->conn) == CONNECTION_OK && pgqi_in_transaction(q)) {
        if (!settle->failed)
            snprintf(settle->text, sizeof settle->text, "the handler left a transaction open");
        settle->failed = 1;
        leased->mine = 0;
        pgqi_command(q, "ROLLBACK", NULL);
    }
}

void pgqi_lease_end(pgqi_keeper *keeper, pgqi_leased *leased)
{
    if (leased->kept)
        pgqi_keeper_drop(keeper, &leased->hold);
    leased->kept = 0;
}

int pgq_lease_lost(const pgq *q)
{
    pgqi_hold *hold = q ? q->hold : NULL;

    if (!hold)
        return 0;
    /* The keeper may be waiting for a server that does not answer. */
    if (pgqi_now_us() >= atomic_load(&hold->until_us))
        atomic_store(&hold->told, 1);
    return atomic_load(&hold->lost) || atomic_load(&hold->told);
}
