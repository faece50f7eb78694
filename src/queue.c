/* SPDX-License-Identifier: MIT */
/* Queues: create, delete, list. */
#include "queue.h"
#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "text.h"

#include <pgq/queue.h>

struct pgq_queue_list {
    PGresult *res;
    size_t n;
    pgq_queue_info *items;
};

pgq_status pgqi_enter_queue(pgq *q, const char *queue)
{
    pgq_status status = pgqi_enter(q);
    const char *fault;

    if (status != PGQ_OK)
        return status;
    fault = pgqi_name_fault(queue);
    return fault ? pgqi_error_set(&q->error, PGQ_INVALID, "%s", fault) : PGQ_OK;
}

pgq_status pgq_create_queue(pgq *q, const char *queue, const pgq_queue_options *options)
{
    pgq_queue_options o = PGQ_QUEUE_OPTIONS_INIT;
    pgq_status status = pgqi_enter_queue(q, queue);
    pgqi_params p;

    if (status == PGQ_OK)
        status = pgqi_read_options(&o, sizeof o, options, &q->error);
    if (status != PGQ_OK)
        return status;
    if (o.max_size < -1 || o.max_size > 1073741823)
        return pgqi_error_set(
            &q->error, PGQ_INVALID,
            "max_size %lld is out of range: 0 to 1073741823 bytes, or -1 for no limit, is allowed",
            (long long)o.max_size);
    if (o.error_limit < 0)
        return pgqi_error_set(&q->error, PGQ_INVALID,
                              "error_limit %d is out of range: 1 to 2147483647, or 0 for none, is allowed",
                              (int)o.error_limit);
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    pgqi_add_int4(&p, (int32_t)o.max_size);
    pgqi_add_int4(&p, o.priority);
    if (o.error_limit)
        pgqi_add_int4(&p, o.error_limit);
    else
        pgqi_add_null(&p, PGQI_INT4);
    pgqi_add_bool(&p, o.if_not_exists);
    return pgqi_command_outcome(q, "SELECT * FROM %s._create_queue($1, $2, $3, $4, $5)", &p);
}

/* A call that takes a queue's name, and gives an outcome and nothing else. */
static pgq_status by_name(pgq *q, const char *queue, const char *sql)
{
    pgq_status status = pgqi_enter_queue(q, queue);
    pgqi_params p;

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    return pgqi_command_outcome(q, sql, &p);
}

pgq_status pgq_delete_queue(pgq *q, const char *queue)
{
    return by_name(q, queue, "SELECT * FROM %s._delete_queue($1)");
}

pgq_status pgqi_queue_exists(pgq *q, const char *queue)
{
    return by_name(q, queue, "SELECT code, detail FROM %s._channel_of($1)");
}

pgq_status pgq_list_queues(pgq *q, pgq_queue_list **out)
{
    pgq_status status;
    pgq_queue_list *list;
    PGresult *res;

    if (out)
        *out = NULL;
    status = pgqi_enter(q);
    if (status == PGQ_OK && !out)
        status = pgqi_error_set(&q->error, PGQ_INVALID, "out must not be NULL");
    if (status == PGQ_OK)
        status = pgqi_call(
            q, "SELECT name, max_size, priority, error_limit, created, modified FROM %s.list_queues()", NULL,
            &res);
    if (status != PGQ_OK)
        return status;
    list = pgqi_alloc(1, sizeof *list + (size_t)PQntuples(res) * sizeof *list->items);
    if (!list) {
        PQclear(res);
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    }
    list->res = res;
    list->n = (size_t)PQntuples(res);
    list->items = (pgq_queue_info *)(list + 1);
    for (int i = 0; i < PQntuples(res); i++) {
        pgq_queue_info *item = &list->items[i];

        item->name = PQgetvalue(res, i, 0);
        item->max_size = pgqi_field_int(res, i, 1);
        item->priority = (int32_t)pgqi_field_int(res, i, 2);
        item->error_limit = (int32_t)pgqi_field_int(res, i, 3);
        item->created = pgqi_field_time(res, i, 4);
        item->modified = pgqi_field_time(res, i, 5);
    }
    *out = list;
    return PGQ_OK;
}

size_t pgq_queue_list_count(const pgq_queue_list *list)
{
    return list ? list->n : 0;
}

const pgq_queue_info *pgq_queue_list_get(const pgq_queue_list *list, size_t i)
{
    return list && i < list->n ? &list->items[i] : NULL;
}

void pgq_queue_list_free(pgq_queue_list *list)
{
    if (!list)
        return;
    PQclear(list->res);
    pgqi_free(list);
}
