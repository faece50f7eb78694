/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "queue.h"

#include <pgq/consumers.h>
#include <string.h>

struct pgq_consumer_list {
    PGresult *res;
    size_t n;
    pgq_consumer items[];
};

static const char *const names[] = {
    [PGQ_ACTIVITY_SCOPE] = "scope",
    [PGQ_ACTIVITY_LEASE] = "lease",
    [PGQ_ACTIVITY_SLEEP] = "sleep",
};

const char *pgq_activity_name(pgq_activity activity)
{
    switch (activity) {
    case PGQ_ACTIVITY_SCOPE:
    case PGQ_ACTIVITY_LEASE:
    case PGQ_ACTIVITY_SLEEP:
        return names[activity];
    }
    return "unknown";
}

static pgq_activity activity_of(const char *name)
{
    if (strcmp(name, names[PGQ_ACTIVITY_LEASE]) == 0)
        return PGQ_ACTIVITY_LEASE;
    return strcmp(name, names[PGQ_ACTIVITY_SLEEP]) == 0 ? PGQ_ACTIVITY_SLEEP : PGQ_ACTIVITY_SCOPE;
}

static int64_t number(const PGresult *res, int row, int column, int64_t unknown)
{
    return PQgetisnull(res, row, column) ? unknown : pgqi_field_int(res, row, column);
}

static void fill(pgq_consumer *c, const PGresult *res, int row)
{
    c->queue = PQgetvalue(res, row, 2);
    c->activity = activity_of(PQgetvalue(res, row, 3));
    c->pid = (int)number(res, row, 4, 0);
    c->role = PQgetvalue(res, row, 5);
    c->application = PQgetvalue(res, row, 6);
    c->client = PQgetvalue(res, row, 7);
    c->message_id = number(res, row, 8, 0);
    c->messages = number(res, row, 9, 0);
    c->age_ms = number(res, row, 10, -1);
    c->ends_in_ms = number(res, row, 11, -1);
}

pgq_status pgq_consumers(pgq *q, const char *queue, int max, pgq_consumer_list **out)
{
    pgq_status status = queue ? pgqi_enter_queue(q, queue) : pgqi_enter(q);
    pgq_consumer_list *list;
    pgqi_params p;
    PGresult *res;
    size_t n;

    if (out)
        *out = NULL;
    if (status == PGQ_OK && !out)
        status = pgqi_error_set(&q->error, PGQ_INVALID, "out must not be NULL");
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    pgqi_add_int4(&p, max);
    status = pgqi_call_outcome(q,
                               "SELECT code, detail, queue, activity, pid, role, application, client,"
                               " message_id, messages, age_ms, ends_in_ms FROM %s._consumers($1, $2)",
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

size_t pgq_consumers_count(const pgq_consumer_list *list)
{
    return list ? list->n : 0;
}

const pgq_consumer *pgq_consumers_get(const pgq_consumer_list *list, size_t i)
{
    return list && i < list->n ? &list->items[i] : NULL;
}

void pgq_consumers_free(pgq_consumer_list *list)
{
    if (!list)
        return;
    PQclear(list->res);
    pgqi_free(list);
}
