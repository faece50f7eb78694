/* SPDX-License-Identifier: MIT */
/* Taking messages by a lease: as they are, or to be handled. */
#include "claim.h"
#include "error.h"
#include "exec.h"
#include "lease.h"
#include "message.h"
#include "queue.h"
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

static pgq_status check_own(pgq *q)
{
    if (!q->owned)
        return pgqi_error_set(&q->error, PGQ_STATE, "this needs a connection of its own: use pgq_open");
    if (pgqi_in_transaction(q))
        return pgqi_error_set(&q->error, PGQ_STATE,
                              "a transaction is open on the handle's own connection: end it");
    return PGQ_OK;
}

struct receiver {
    pgqi_looker looker;
    pgqi_look look;
    pgq_messages *messages;
};

static pgq_status receive_look(pgqi_looker *looker, pgq *q, int sweep, int awake)
{
    struct receiver *r = (struct receiver *)looker;
    pgqi_report report = {0, 0, 0};
    pgqi_params p;
    pgqi_statement s[2] = {{"SELECT %s.awake($1)", &p, 1, NULL}, {pgqi_claim_sql, NULL, 1, NULL}};
    pgq_status status;
    pgqi_claim c;

    pgqi_params_init(&p);
    pgqi_add_text(&p, looker->queue);
    r->look.sweep = sweep;
    r->look.alone = 1;
    do {
        pgqi_claim_init(&c, q, &r->look);
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
    if (r->messages)
        pgqi_wait_found(q);
    return status;
}

pgq_status pgq_receive(pgq *q, const char *queue, int max, const pgq_receive_options *options,
                       pgq_messages **out)
{
    struct receiver r = {.looker = {receive_look, queue}};
    pgqi_wait_options wait;
    pgq_receive_options o;
    pgq_status status;

    if (out)
        *out = NULL;
    status = pgqi_enter_queue(q, queue);
    if (status == PGQ_OK)
        status = read_receive_options(q, &o, options);
    if (status != PGQ_OK)
        return status;
    if (!out || max < 1 || max > RECEIVE_MAX)
        return pgqi_error_set(&q->error, PGQ_INVALID,
                              "out must not be NULL, and max %d is out of range: 1 to %d is allowed", max,
                              RECEIVE_MAX);
    if (q->in_handler)
        return pgqi_error_set(&q->error, PGQ_STATE,
                              "a handler is running on this handle: open another to receive");
    r.look.queue = queue;
    r.look.max = max;
    r.look.how = PGQI_LEASE;
    r.look.lease_ms = o.lease_ms;
    r.look.filter = o.filter;
    if (o.timeout_ms == 0)
        return pgqi_claim_now(q, &r.look, out);
    status = check_own(q);
    if (status != PGQ_OK)
        return status;
    wait.timeout_ms = o.timeout_ms;
    wait.poll_interval_ms = o.poll_interval_ms;
    wait.cancel_fd = o.cancel_fd;
    status = pgqi_wait(q, &r.looker, &wait);
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
    if (status == PGQ_OK && !out)
        status = pgqi_error_set(&q->error, PGQ_INVALID, "out must not be NULL");
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
    status =
        pgqi_call(q,
                  "SELECT code, detail, outcome, queue, id, priority, attempts, errors, kind, sent, due,"
                  " first_received, expires, NULL::timestamptz, headers, last_error, payload, NULL::text,"
                  " NULL::text, order_key, dedup_key FROM %s._receive_id($1, $2)",
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
    struct worker w = {.looker = {handle_look, queue}, .handler = handler, .arg = arg};
    pgq_status status = pgqi_scope_enter(q, queue, handler, 1);
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
