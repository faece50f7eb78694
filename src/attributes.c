/* SPDX-License-Identifier: MIT */
/* What shapes a queue: set when it is made, changed later, shown. */
#include "error.h"
#include "exec.h"
#include "list.h"
#include "queue.h"

#include <pgq/queue.h>
#include <string.h>

/* In the order of the bits of pgq_attribute. */
static const char *const names[] = {
    "lease",       "delay", "max_size",    "priority",     "requeue",         "requeue_priority",
    "error_limit", "ttl",   "retry_delay", "retry_factor", "retry_max_delay", "retry_jitter",
    "drop_dead",
};

enum { NAMES = sizeof names / sizeof names[0] };

/* What the server would not see: numbers that its types cannot hold. */
static pgq_status read_attributes(pgq *q, const pgq_attributes *given, pgq_attributes *a)
{
    pgq_attributes none = PGQ_ATTRIBUTES_INIT;
    pgq_status status;

    *a = none;
    status = pgqi_read_options(a, sizeof *a, given, &q->error);
    if (status != PGQ_OK)
        return status;
    if (a->max_size != PGQ_UNSET && (a->max_size < -1 || a->max_size > 1073741823))
        return pgqi_error_set(
            &q->error, PGQ_INVALID,
            "max_size %lld is out of range: 0 to 1073741823 bytes, or -1 for no limit, is allowed",
            (long long)a->max_size);
    if ((a->requeue != PGQ_UNSET && a->requeue != 0 && a->requeue != 1) ||
        (a->drop_dead != PGQ_UNSET && a->drop_dead != 0 && a->drop_dead != 1))
        return pgqi_error_set(&q->error, PGQ_INVALID, "requeue %d and drop_dead %d must be 0, 1 or PGQ_UNSET",
                              a->requeue, a->drop_dead);
    return PGQ_OK;
}

/* Thirteen parameters, in the order of the type. */
static void add_attributes(pgqi_params *p, const pgq_attributes *a)
{
    pgqi_add_given_int8(p, a->lease_ms);
    pgqi_add_given_int8(p, a->delay_ms);
    pgqi_add_given_int4(p, a->max_size);
    pgqi_add_given_int4(p, a->priority);
    pgqi_add_given_bool(p, a->requeue);
    pgqi_add_given_int4(p, a->requeue_priority);
    pgqi_add_given_int4(p, a->error_limit);
    pgqi_add_given_int8(p, a->ttl_ms);
    pgqi_add_given_int8(p, a->retry_delay_ms);
    pgqi_add_given_float8(p, a->retry_factor);
    pgqi_add_given_int8(p, a->retry_max_delay_ms);
    pgqi_add_given_float8(p, a->retry_jitter);
    pgqi_add_given_bool(p, a->drop_dead);
}

#define ROW_OF_13 "ROW($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"

pgq_status pgq_create_queue(pgq *q, const char *queue, const pgq_attributes *attributes, int if_not_exists)
{
    pgq_status status = pgqi_enter_queue(q, queue);
    pgq_attributes a;
    pgqi_params p;

    if (status == PGQ_OK)
        status = read_attributes(q, attributes, &a);
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    add_attributes(&p, &a);
    pgqi_add_text(&p, queue);
    pgqi_add_bool(&p, if_not_exists);
    return pgqi_command_outcome(q, "SELECT * FROM %s._create_queue($14, " ROW_OF_13 ", $15)", &p);
}

static pgq_status add_unset(pgq *q, pgqi_params *p, unsigned unset)
{
    pgqi_element elements[NAMES];
    size_t n = 0;

    if (unset >> NAMES)
        return pgqi_error_set(&q->error, PGQ_INVALID, "unset %#x names an attribute that there is not",
                              unset);
    for (size_t i = 0; i < NAMES; i++)
        if (unset & 1U << i) {
            elements[n].data = names[i];
            elements[n++].len = strlen(names[i]);
        }
    pgqi_add_array(p, PGQI_TEXT, elements, n);
    return PGQ_OK;
}

static pgq_status change(pgq *q, const char *sql, const char *queue, const pgq_attributes *attributes,
                         unsigned unset)
{
    pgq_attributes a;
    pgqi_params p;
    pgq_status status = read_attributes(q, attributes, &a);

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    add_attributes(&p, &a);
    status = add_unset(q, &p, unset);
    if (queue)
        pgqi_add_text(&p, queue);
    if (status == PGQ_OK)
        status = pgqi_command_outcome(q, sql, &p);
    pgqi_params_free(&p);
    return status;
}

pgq_status pgq_set_queue(pgq *q, const char *queue, const pgq_attributes *attributes, unsigned unset)
{
    pgq_status status = pgqi_enter_queue(q, queue);

    if (status != PGQ_OK)
        return status;
    return change(q, "SELECT * FROM %s._set_queue($15, " ROW_OF_13 ", $14)", queue, attributes, unset);
}

pgq_status pgq_set_defaults(pgq *q, const pgq_attributes *attributes, unsigned unset)
{
    pgq_status status = pgqi_enter(q);

    if (status != PGQ_OK)
        return status;
    return change(q, "SELECT * FROM %s._set_defaults(" ROW_OF_13 ", $14)", NULL, attributes, unset);
}

static void fill(void *item, const PGresult *res, int row)
{
    pgq_queue_info *info = item;
    pgq_attributes *a = &info->attributes;

    info->name = PQgetvalue(res, row, 0);
    a->size = sizeof *a;
    a->lease_ms = pgqi_field_int(res, row, 1);
    a->delay_ms = pgqi_field_int(res, row, 2);
    a->max_size = pgqi_field_int(res, row, 3);
    a->priority = (int32_t)pgqi_field_int(res, row, 4);
    a->requeue = (int)pgqi_field_int(res, row, 5);
    a->requeue_priority = (int32_t)pgqi_field_int(res, row, 6);
    a->error_limit = (int32_t)pgqi_field_int(res, row, 7);
    a->ttl_ms = pgqi_field_int(res, row, 8);
    a->retry_delay_ms = pgqi_field_int(res, row, 9);
    a->retry_factor = pgqi_field_float(res, row, 10);
    a->retry_max_delay_ms = pgqi_field_int(res, row, 11);
    a->retry_jitter = pgqi_field_float(res, row, 12);
    a->drop_dead = (int)pgqi_field_int(res, row, 13);
    info->own = (unsigned)pgqi_field_int(res, row, 14);
    info->paused = (int)pgqi_field_int(res, row, 15);
    info->created = pgqi_field_time(res, row, 16);
    info->modified = pgqi_field_time(res, row, 17);
}

pgq_status pgq_list_queues(pgq *q, const char *queue, pgq_queue_list **out)
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
    status = pgqi_call(
        q,
        "SELECT name, lease_ms, delay_ms, max_size, priority, requeue, requeue_priority, error_limit,"
        " ttl_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, retry_jitter, drop_dead, own_bits,"
        " paused, created, modified FROM %s._queues($1)",
        &p, &res);
    if (status != PGQ_OK)
        return status;
    if (queue && PQntuples(res) == 0) {
        PQclear(res);
        return pgqi_error_set(&q->error, PGQ_NOT_FOUND, "queue \"%s\" does not exist", queue);
    }
    *out = pgqi_list_make(q, res, sizeof(pgq_queue_info), fill);
    return *out ? PGQ_OK : PGQ_NO_MEMORY;
}

size_t pgq_queue_list_count(const pgq_queue_list *list)
{
    return pgqi_list_count(list);
}

const pgq_queue_info *pgq_queue_list_get(const pgq_queue_list *list, size_t i)
{
    return pgqi_list_get(list, i);
}

void pgq_queue_list_free(pgq_queue_list *list)
{
    pgqi_list_free(list);
}
