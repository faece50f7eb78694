/* SPDX-License-Identifier: MIT */
#include "exec.h"
#include "list.h"
#include "queue.h"

#include <pgq/stats.h>

static void fill(void *item, const PGresult *res, int row)
{
    pgq_queue_stats *s = item;

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
    s->oldest_ready_ms = pgqi_field_int_or(res, row, 12, -1);
}

pgq_status pgq_stats(pgq *q, const char *queue, pgq_stats_list **out)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    if (out)
        *out = NULL;
    status = queue ? pgqi_enter_queue(q, queue) : pgqi_enter(q);
    if (status == PGQ_OK)
        status = pgqi_check_out(&q->error, out);
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
    *out = pgqi_list_make(q, res, sizeof(pgq_queue_stats), fill);
    return *out ? PGQ_OK : PGQ_NO_MEMORY;
}

size_t pgq_stats_count(const pgq_stats_list *list)
{
    return pgqi_list_count(list);
}

const pgq_queue_stats *pgq_stats_get(const pgq_stats_list *list, size_t i)
{
    return pgqi_list_get(list, i);
}

void pgq_stats_free(pgq_stats_list *list)
{
    pgqi_list_free(list);
}
