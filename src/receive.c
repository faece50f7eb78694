/* SPDX-License-Identifier: MIT */
/* Taking messages by a lease: as they are, behind an ack, or to be handled. */
#include "claim.h"
#include "error.h"
#include "exec.h"
#include "lease.h"
#include "message.h"
#include "queue.h"
#include "settle.h"
#include "wait.h"

#include <limits.h>
#include <string.h>

enum { RECEIVE_MAX = 100000 };

static pgq_status check_lease(pgq *q, int64_t lease_ms)
{
    if (lease_ms != PGQ_UNSET && (lease_ms < 0 || lease_ms > 9999999000))
        return pgqi_error_set(
            &q->error, PGQ_INVALID,
            "a lease of %lld ms is out of range: 0 to 9999999000 ms, or PGQ_UNSET, is allowed",
            (long long)lease_ms);
    return PGQ_OK;
}

static pgq_status read_receive_options(pgq *q, pgq_receive_options *o, const pgq_receive_options *given)
{
    pgq_receive_options defaults = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_status status;

    *o = defaults;
    status = pgqi_read_options(o, sizeof *o, given, &q->error);
    return status == PGQ_OK ? check_lease(q, o->lease_ms) : status;
}

struct receiver {
    pgqi_looker looker;
    pgqi_look look;
    pgq_messages *messages;
};

/* One look in a transaction of its own, or a few if messages were lost. */
static pgq_status look_once(pgq *q, struct receiver *r, int sweep, int awake)
{
    pgqi_report report = {0, 0, 0};
    pgqi_params p;
    pgqi_statement s[2] = {{.sql = "SELECT %s.awake($1)", .params = &p, .sync = 1}, {.sync = 1}};
    pgq_status status;
    pgqi_claim c;

    pgqi_params_init(&p);
    pgqi_add_text(&p, r->look.queue);
    r->look.sweep = sweep;
    r->look.alone = 1;
    r->look.may_be_one = 1;
    do {
        pgqi_claim_init(&c, q, &r->look);
        s[1].sql = c.sql;
        s[1].params = &c.params;
        if (c.params.failed)
            status = pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
        else
            status = pgqi_pipeline(q, awake ? s : s + 1, awake ? 2 : 1);
        awake = 0;
        PQclear(s[0].res);
        s[0].res = NULL;
        if (status == PGQ_OK)
            status = pgqi_claim_read(&c, q, s[1].res, &r->messages, &report);
        else
            PQclear(s[1].res);
        s[1].res = NULL;
        pgqi_claim_free(&c);
    } while (status == PGQ_EMPTY && report.lost > 0);
    return status;
}

static pgq_status receive_look(pgqi_looker *looker, pgq *q, int sweep, int awake)
{
    struct receiver *r = (struct receiver *)looker;
    pgq_status status = look_once(q, r, sweep, awake);

    if (r->messages)
        pgqi_wait_found(q);
    return status;
}

/* What both calls that receive check, and do not send. */
static pgq_status prepare(pgq *q, struct receiver *r, pgq_receive_options *o,
                          const pgq_receive_options *given, pgq_messages **out)
{
    pgq_status status = pgqi_enter_queue(q, r->look.queue);

    if (status == PGQ_OK)
        status = read_receive_options(q, o, given);
    if (status != PGQ_OK)
        return status;
    if (!out || r->look.max < 1 || r->look.max > RECEIVE_MAX)
        return pgqi_error_set(&q->error, PGQ_INVALID,
                              "out must not be NULL, and max %d is out of range: 1 to %d is allowed",
                              r->look.max, RECEIVE_MAX);
    if (q->in_handler)
        return pgqi_error_set(&q->error, PGQ_STATE,
                              "a handler is running on this handle: open another to receive");
    r->look.how = PGQI_LEASE;
    r->look.lease_ms = o->lease_ms;
    r->look.filter = o->filter;
    return o->timeout_ms == 0 ? PGQ_OK : pgqi_check_own(q);
}

static pgq_status wait_for(pgq *q, struct receiver *r, const pgq_receive_options *o)
{
    pgqi_wait_options wait;

    pgqi_error_clear(&q->error, PGQ_OK);
    wait.timeout_ms = o->timeout_ms;
    wait.poll_interval_ms = o->poll_interval_ms;
    wait.cancel_fd = o->cancel_fd;
    return pgqi_wait(q, &r->looker, &wait);
}

static pgq_status receive(pgq *q, struct receiver *r, const pgq_receive_options *o)
{
    return o->timeout_ms == 0 ? pgqi_claim_now(q, &r->look, &r->messages) : wait_for(q, r, o);
}

pgq_status pgq_receive(pgq *q, const char *queue, int max, const pgq_receive_options *options,
                       pgq_messages **out)
{
    struct receiver r = {.looker = {receive_look, queue, PGQI_QUEUE}, .look = {.queue = queue, .max = max}};
    pgq_receive_options o;
    pgq_status status;

    if (out)
        *out = NULL;
    status = prepare(q, &r, &o, options, out);
    if (status != PGQ_OK)
        return status;
    status = receive(q, &r, &o);
    *out = r.messages;
    return status;
}

/* As pgqi_claim_sql, but what it refuses is an error, and so undoes the settling before it. */
static const char claim_or_fail_sql[] =
    "SELECT " PGQI_CLAIM_COLUMNS ", 1 / (code IS NULL)::integer" PGQI_CLAIM_FROM;

/* Two statements of one transaction, in one round trip. swept: it has looked from the very start. refused:
 * why is not known. */
static pgq_status ack_piped(pgq *q, const pgqi_settling *settling, struct receiver *r, int *swept,
                            int *refused)
{
    pgqi_report report = {0, 0, 0};
    pgqi_params p;
    pgqi_statement s[2] = {{.sql = pgqi_settle_sql, .params = &p}, {.sql = claim_or_fail_sql, .sync = 1}};
    pgq_status status;
    pgqi_claim c;

    r->look.alone = 1;
    pgqi_settling_params(&p, settling);
    pgqi_claim_init(&c, q, &r->look);
    s[1].params = &c.params;
    status = pgqi_pipeline(q, s, 2);
    *refused = strcmp(q->error.sqlstate, "22012") == 0;
    if (status == PGQ_OK) {
        pgqi_settling_read(q, s[0].res, settling);
        pgqi_error_clear(&q->error, PGQ_OK);
        status = pgqi_claim_read(&c, q, s[1].res, &r->messages, &report);
        s[1].res = NULL;
    }
    *swept = c.plan.n == 0 && report.lost == 0;
    pgqi_clear(s, 2);
    pgqi_params_free(&p);
    pgqi_claim_free(&c);
    return status;
}

static pgq_status ack_and_claim(pgq *q, const pgqi_settling *settling, struct receiver *r)
{
    pgq_status status;
    PGresult *res;
    pgqi_params p;

    pgqi_settling_params(&p, settling);
    status = pgqi_call_outcome(q, pgqi_settle_sql, &p, &res);
    pgqi_params_free(&p);
    if (status != PGQ_OK)
        return status;
    pgqi_settling_read(q, res, settling);
    PQclear(res);
    pgqi_error_clear(&q->error, PGQ_OK);
    return pgqi_claim_now(q, &r->look, &r->messages);
}

/* One statement after the other. */
static pgq_status ack_stepwise(pgq *q, const pgqi_settling *settling, struct receiver *r)
{
    int joined;
    int keep;
    pgq_status status = pgqi_unit_begin(q, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", &joined);
    pgq_status ended;

    if (status != PGQ_OK)
        return status;
    status = ack_and_claim(q, settling, r);
    keep = status == PGQ_OK || status == PGQ_EMPTY || status == PGQ_HOOK;
    ended = pgqi_unit_end(q, joined, keep);
    if (keep && ended == PGQ_OK)
        return status;
    *settling->done = 0;
    pgq_messages_free(r->messages);
    r->messages = NULL;
    return ended;
}

static pgq_status ack_receive(pgq *q, const pgqi_settling *settling, struct receiver *r,
                              const pgq_receive_options *o)
{
    int stepwise = !q->owned || pgqi_in_transaction(q);
    pgq_status status = PGQ_OK;
    int swept = 1;

    if (settling->n == 0)
        return receive(q, r, o);
    if (!stepwise)
        status = ack_piped(q, settling, r, &swept, &stepwise);
    if (stepwise) {
        status = ack_stepwise(q, settling, r);
        swept = 1;
    }
    if (status == PGQ_EMPTY && o->timeout_ms != 0)
        return wait_for(q, r, o);
    return status == PGQ_EMPTY && !swept ? look_once(q, r, 1, 0) : status;
}

pgq_status pgq_ack_receive(pgq *q, const pgq_receipt *receipts, size_t n, size_t *done, pgq_status *results,
                           const char *queue, int max, const pgq_receive_options *options, pgq_messages **out)
{
    struct receiver r = {.looker = {receive_look, queue, PGQI_QUEUE}, .look = {.queue = queue, .max = max}};
    size_t count = 0;
    const pgqi_settling s = {.verb = "ack",
                             .receipts = receipts,
                             .n = n,
                             .lease_ms = PGQ_UNSET,
                             .done = &count,
                             .results = results};
    pgq_receive_options o;
    pgq_status status;

    if (out)
        *out = NULL;
    if (done)
        *done = 0;
    status = prepare(q, &r, &o, options, out);
    if (status == PGQ_OK)
        status = pgqi_settling_check(q, &s);
    if (status != PGQ_OK)
        return status;
    status = ack_receive(q, &s, &r, &o);
    if (done)
        *done = count;
    *out = r.messages;
    return status;
}

/* code, detail, outcome, queue, and the message. */
static pgq_status read_one(pgq *q, PGresult *res, pgq_messages **out)
{
    pgq_status status;

    if (strcmp(PQgetvalue(res, 0, 2), "received") == 0)
        return pgqi_messages_make(q, PQgetvalue(res, 0, 3), res, 4, 1, out);
    if (strcmp(PQgetvalue(res, 0, 2), "in_flight") == 0)
        status = pgqi_error_clear(&q->error, PGQ_IN_FLIGHT);
    else
        status = pgqi_error_set(&q->error, PGQ_NOT_FOUND, "%s", PQgetvalue(res, 0, 1));
    PQclear(res);
    return status;
}

pgq_status pgq_receive_id(pgq *q, int64_t id, int64_t lease_ms, pgq_messages **out)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    if (out)
        *out = NULL;
    status = pgqi_enter(q);
    if (status == PGQ_OK)
        status = pgqi_check_out(&q->error, out);
    if (status == PGQ_OK)
        status = check_lease(q, lease_ms);
    if (status == PGQ_OK && q->in_handler)
        status = pgqi_error_set(&q->error, PGQ_STATE,
                                "a handler is running on this handle: open another to receive");
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_int8(&p, id);
    pgqi_add_given_int8(&p, lease_ms);
    status = pgqi_call(q,
                       "SELECT code, detail, outcome, queue, id, priority, attempts, errors, kind, sent, due,"
                       " first_received, expires, headers, last_error, payload, order_key, dedup_key"
                       " FROM %s._receive_id($1, $2)",
                       &p, &res);
    return status == PGQ_OK ? read_one(q, res, out) : status;
}

struct worker {
    pgqi_looker looker;
    pgqi_take take;
    pgq_handler handler;
    void *arg;
};

/* Sends the settling, again on a new connection if the first was lost: the lease has outlived that. */
static pgq_status settle(pgq *q, pgqi_leased *leased)
{
    pgqi_lease_turn(q, leased, NULL);
    if (leased->settle.status == PGQ_CONNECTION && pgq_reconnect(q) == PGQ_OK) {
        leased->resent = 1;
        pgqi_lease_turn(q, leased, NULL);
    }
    if (leased->settle.status != PGQ_OK)
        pgqi_error_set(&q->error, leased->settle.status, "%s", leased->settle.text);
    return leased->settle.status;
}

static pgq_status handle_look(pgqi_looker *looker, pgq *q, int sweep, int awake)
{
    struct worker *w = (struct worker *)looker;
    pgqi_leased leased = {0};
    pgq_status status;

    w->take.sweep = sweep;
    w->take.awake = awake;
    do {
        pgqi_lease_turn(q, NULL, &w->take);
        w->take.awake = 0;
    } while (w->take.status == PGQ_EMPTY && w->take.again);
    if (w->take.status != PGQ_OK)
        return w->take.status;
    pgqi_wait_found(q);
    pgqi_lease_run(q, q->keeper, &w->take, w->handler, w->arg, &leased);
    pgq_messages_free(w->take.messages);
    status = settle(q, &leased);
    pgqi_lease_end(q->keeper, &leased);
    return status;
}

pgq_status pgq_receive_with(pgq *q, const char *queue, pgq_handler handler, void *arg,
                            const pgq_receive_options *options)
{
    struct worker w = {.looker = {handle_look, queue, PGQI_QUEUE}, .handler = handler, .arg = arg};
    pgq_status status = pgqi_scope_enter(q, queue, handler != NULL, 1);
    pgqi_wait_options wait;
    pgq_receive_options o;

    if (status == PGQ_OK)
        status = read_receive_options(q, &o, options);
    if (status == PGQ_OK && o.lease_ms == 0)
        status = pgqi_error_set(&q->error, PGQ_INVALID, "a handler needs a lease of more than 0 ms");
    if (status != PGQ_OK)
        return status;
    if (!q->keeper)
        q->keeper = pgqi_keeper_new(q->conninfo, q->name_space, NULL);
    if (!q->keeper)
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    w.take.queue = queue;
    w.take.filter = o.filter;
    w.take.lease_ms = o.lease_ms;
    wait.timeout_ms = o.timeout_ms;
    wait.poll_interval_ms = o.poll_interval_ms;
    wait.cancel_fd = o.cancel_fd;
    status = pgqi_wait(q, &w.looker, &wait);
    return status == PGQ_TIMEOUT && o.timeout_ms == 0 ? pgqi_error_clear(&q->error, PGQ_EMPTY) : status;
}
