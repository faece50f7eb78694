/* SPDX-License-Identifier: MIT */
/* consumers; count. */
#include "call.h"
#include "run.h"
#include "stop.h"

enum { CONSUMERS = 100 };

static void consumer_row(out *o, const pgq_consumer *c)
{
    row r = {0};
    row_text(&r, "queue", c->queue);
    row_text(&r, "activity", pgq_activity_name(c->activity));
    if (c->pid > 0)
        row_integer(&r, "pid", c->pid);
    else
        row_null(&r, "pid");
    row_text(&r, "role", *c->role ? c->role : NULL);
    row_text(&r, "application", *c->application ? c->application : NULL);
    row_text(&r, "client", *c->client ? c->client : NULL);
    row_integer(&r, "messages", c->messages);
    if (c->message_id > 0)
        row_integer(&r, "message_id", c->message_id);
    else
        row_null(&r, "message_id");
    if (c->age_ms >= 0)
        row_integer(&r, "age_ms", c->age_ms);
    else
        row_null(&r, "age_ms");
    if (c->ends_in_ms >= 0)
        row_integer(&r, "ends_in_ms", c->ends_in_ms);
    else
        row_null(&r, "ends_in_ms");
    out_row(o, &r);
}

int run_consumers(call *c)
{
    pgq *q = c->session->q;
    int most = c->opt[O_COUNT].set ? (int)c->opt[O_COUNT].number : CONSUMERS;
    bool some = false;
    for (size_t i = 0; (i < c->arg_count || i == 0) && !stop_signal(); i++) {
        pgq_consumer_list *list;
        pgq_status status = pgq_consumers(q, c->arg_count > 0 ? c->args[i] : NULL, most, &list);
        if (status != PGQ_OK)
            return session_failed(q, status);
        for (size_t k = 0; k < pgq_consumers_count(list); k++)
            consumer_row(c->out, pgq_consumers_get(list, k));
        some |= pgq_consumers_count(list) > 0;
        pgq_consumers_free(list);
    }
    return some ? EXIT_DONE : session_failed(q, PGQ_EMPTY);
}

int run_count(call *c)
{
    for (size_t i = 0; i < c->arg_count && !stop_signal(); i++) {
        pgq_counts n;
        row r = {0};
        pgq_status status = pgq_count(c->session->q, c->args[i], &n);
        if (status != PGQ_OK)
            return session_failed(c->session->q, status);
        row_text(&r, "queue", c->args[i]);
        row_integer(&r, "ready", n.ready);
        row_integer(&r, "delayed", n.delayed);
        row_integer(&r, "blocked", n.blocked);
        row_integer(&r, "in_flight", n.in_flight);
        row_integer(&r, "dead", n.dead);
        out_row(c->out, &r);
    }
    return EXIT_DONE;
}
