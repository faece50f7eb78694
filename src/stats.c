/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "queue.h"

#include <pgq/stats.h>

struct pgq_stats_list {
    PGresult *res;
    size_t n;
    pgq_queue_stats items[];
};

static void fill(pgq_queue_stats *s, const PGresult *res, int row)
{
    s->name = PQgetvalue(res, row, 2);
    s->paused = (int)pgqi_field_int(res, row, 3);
    s->sent_total = pgqi_field_int(res, row, 4);
    s->received_total = pgqi_field_int(res, row, 5);
    s->ready_estimate = pgqi_field_int(res, row, 6);
    s->delayed_estimate = pgqi_field_int(res, row, 7);
    s->blocked_estimate = pgqi_field_int(res, row, 8);
    s->in_flight_estimate = pgqi_field_int(res, row, 9);
    s->dead_estimate = pgqi_field_int(res, row, 10);
    s->exact = (int)pgqi_field_int(res, row, 11);
    s->oldest_ready_ms = PQgetisnull(res, row, 12) ? -1 : pgqi_field_int(res, row, 12);
}

pgq_status pgq_stats(pgq *q, const char *queue, pgq_stats_list **out)
{
    pgq_stats_list *list;
    pgq_status status;
    pgqi_params p;
    PGresult *res;
    size_t n;

    if (out)
        *out = NULL;
    status = queue ? pgqi_enter_queue(q, queue) : pgqi_enter(q);
    if (status == PGQ_OK && !out)
        status = pgqi_error_set(&q->error, PGQ_INVALID, "out must not be NULL");
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    status =
        pgqi_call_outcome(q,
                          "SELECT code, detail, queue, paused, sent_total, received_total, ready_estimate,"
                          " delayed_estimate, blocked_estimate, in_flight_estimate, dead_estimate, exact,"
                          " oldest_ready_ms FROM %s._stats($1)",
                          &p, &res);
    if (status != PGQ_OK)
        return status;
    n = (size_t)PQntuples(res);
    list = pgqi_alloc(1, sizeof *list + n * sizeof list->items[0]);
    if (!list) {
        PQclear(res);
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    }
    list->res = res;
    list->n = n;
    for (size_t i = 0; i < n; i++)
        fill(&list->items[i], res, (int)i);
    *out = list;
    return PGQ_OK;
}

size_t pgq_stats_count(const pgq_stats_list *list)
{
    return list ? list->n : 0;
}

const pgq_queue_stats *pgq_stats_get(const pgq_stats_list *list, size_t i)
{
    return list && i < list->n ? &list->items[i] : NULL;
}

void pgq_stats_free(pgq_stats_list *list)
{
    if (!list)
        return;
    PQclear(list->res);
    pgqi_free(list);
}
