/* SPDX-License-Identifier: MIT */
#include "exec.h"
#include "list.h"
#include "queue.h"

#include <pgq/consumers.h>
#include <string.h>

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

static void fill(void *item, const PGresult *res, int row)
{
    pgq_consumer *c = item;

    c->queue = PQgetvalue(res, row, 2);
    c->activity = activity_of(PQgetvalue(res, row, 3));
    c->pid = (int)pgqi_field_int(res, row, 4);
    c->role = PQgetvalue(res, row, 5);
    c->application = PQgetvalue(res, row, 6);
    c->client = PQgetvalue(res, row, 7);
    c->message_id = pgqi_field_int(res, row, 8);
    c->messages = pgqi_field_int(res, row, 9);
    c->age_ms = pgqi_field_int_or(res, row, 10, -1);
    c->ends_in_ms = pgqi_field_int_or(res, row, 11, -1);
}

pgq_status pgq_consumers(pgq *q, const char *queue, int max, pgq_consumer_list **out)
{
    pgq_status status = queue ? pgqi_enter_queue(q, queue) : pgqi_enter(q);
    pgqi_params p;
    PGresult *res;

    if (out)
        *out = NULL;
    if (status == PGQ_OK)
        status = pgqi_check_out(&q->error, out);
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
    *out = pgqi_list_make(q, res, sizeof(pgq_consumer), fill);
    return *out ? PGQ_OK : PGQ_NO_MEMORY;
}

size_t pgq_consumers_count(const pgq_consumer_list *list)
{
    return pgqi_list_count(list);
}

const pgq_consumer *pgq_consumers_get(const pgq_consumer_list *list, size_t i)
{
    return pgqi_list_get(list, i);
}

void pgq_consumers_free(pgq_consumer_list *list)
{
    pgqi_list_free(list);
}
