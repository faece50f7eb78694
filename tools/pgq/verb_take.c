/* SPDX-License-Identifier: MIT */
/* receive, pop. */
#include "call.h"
#include "message_row.h"
#include "progress.h"
#include "run.h"
#include "say.h"
#include "stop.h"

#include <stdlib.h>

/* Gives all of them back; it was said that stdout is broken, or a signal came. */
static void give_back(pgq *q, const pgq_messages *messages)
{
    size_t n = pgq_messages_count(messages);
    pgq_receipt *receipts = calloc(n ? n : 1, sizeof *receipts);
    for (size_t i = 0; receipts && i < n; i++) {
        const pgq_message *m = pgq_messages_get(messages, i);
        receipts[i] = (pgq_receipt){m->id, m->attempts};
    }
    /* If it fails, their leases run out, or their transaction ends: they come back then. */
    if (receipts)
        pgq_release(q, receipts, n, NULL, NULL);
    free(receipts);
}

static bool write_messages(call *c, const pgq_messages *messages)
{
    return message_rows(c->out, messages) && out_flush(c->out);
}

static void receive_options(const call *c, pgq_receive_options *o)
{
    pgq_receive_options defaults = PGQ_RECEIVE_OPTIONS_INIT;
    *o = defaults;
    if (c->opt[O_LEASE].set)
        o->lease_ms = c->opt[O_LEASE].number;
    if (c->opt[O_TIMEOUT].set)
        o->timeout_ms = (int)c->opt[O_TIMEOUT].number;
    if (c->opt[O_POLL_INTERVAL].set)
        o->poll_interval_ms = (int)c->opt[O_POLL_INTERVAL].number;
    o->filter = c->opt[O_FILTER].text;
    o->cancel_fd = stop_fd();
}

static int receive_id(call *c)
{
    static const option_id of_queues[] = {O_COUNT, O_TIMEOUT, O_POLL_INTERVAL, O_FILTER};
    pgq *q = c->session->q;
    int64_t lease = c->opt[O_LEASE].set ? c->opt[O_LEASE].number : PGQ_UNSET;
    pgq_messages *messages;
    for (size_t i = 0; i < sizeof of_queues / sizeof *of_queues; i++) {
        if (c->opt[of_queues[i]].set)
            return say_usage("--id is not allowed with --%s", options[of_queues[i]].name);
    }
    pgq_status status = pgq_receive_id(q, c->opt[O_ID].number, lease, &messages);
    if (status == PGQ_IN_FLIGHT)
        return say_failed("message %lld is in flight", (long long)c->opt[O_ID].number);
    if (status != PGQ_OK)
        return session_failed(q, status);
    if (!write_messages(c, messages))
        give_back(q, messages);
    pgq_messages_free(messages);
    return EXIT_DONE;
}

int run_receive(call *c)
{
    pgq *q = c->session->q;
    int64_t left = c->opt[O_COUNT].set ? c->opt[O_COUNT].number : 1, taken = 0;
    int look = MESSAGE_LOOK_FIRST;
    pgq_receive_options o;
    if (c->opt[O_ID].set && c->arg_count > 0)
        return say_usage("--id is not allowed with \"%s\"", c->args[0]);
    if (!c->opt[O_ID].set && c->arg_count == 0)
        return say_usage("receive needs a QUEUE, or --id ID");
    if (c->opt[O_ID].set)
        return receive_id(c);
    receive_options(c, &o);
    progress_begin(c->quiet, false, "receiving");
    while (left > 0 && !stop_signal()) {
        pgq_messages *messages;
        pgq_status status = pgq_receive(q, c->args[0], left < look ? (int)left : look, &o, &messages);
        if (status != PGQ_OK) {
            progress_end();
            return taken > 0 && status > 0 ? EXIT_DONE : session_failed(q, status);
        }
        bool written = write_messages(c, messages);
        taken += (int64_t)pgq_messages_count(messages);
        left -= (int64_t)pgq_messages_count(messages);
        look = message_next_look(messages);
        o.timeout_ms = 0; /* who has some does not wait for more */
        if (!written)
            give_back(q, messages);
        pgq_messages_free(messages);
        if (!written)
            break;
        progress_count(taken);
    }
    progress_end();
    return EXIT_DONE;
}

/* --- pop --- */

typedef struct popping {
    call *c;
    int look;
    bool broken;
} popping;

/* In the transaction that holds the messages. What was written is to be deleted, whatever signal comes. */
static int on_messages(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    popping *p = arg;
    (void)conn;
    p->broken = stop_signal() || !write_messages(p->c, messages);
    p->look = message_next_look(messages);
    stop_watch(NULL);
    if (p->broken)
        give_back(q, messages);
    return 0;
}

int run_pop(call *c)
{
    pgq *q = c->session->q;
    popping p = {.c = c, .look = MESSAGE_LOOK_FIRST};
    int64_t left = c->opt[O_COUNT].set ? c->opt[O_COUNT].number
                   : c->opt[O_ALL].set ? INT64_MAX
                                       : 1,
            taken = 0;
    if (c->opt[O_ALL].set && c->opt[O_COUNT].set)
        return say_usage("--all is not allowed with --count");
    progress_begin(c->quiet, false, "popping");
    while (left > 0 && !p.broken && !stop_signal()) {
        size_t done = 0;
        pgq_status status =
            pgq_dequeue_many(q, c->args[0], left < p.look ? (int)left : p.look, on_messages, &p, &done);
        stop_watch(pgq_connection(q));
        if (status != PGQ_OK) {
            progress_end();
            return taken > 0 && status == PGQ_EMPTY ? EXIT_DONE : session_failed(q, status);
        }
        taken += (int64_t)done;
        left -= (int64_t)done;
        progress_count(taken);
    }
    progress_end();
    return EXIT_DONE;
}
