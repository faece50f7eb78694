/* SPDX-License-Identifier: MIT */
/* Lists of topics and of durable subscribers. */
#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "list.h"
#include "queue.h"
#include "topic.h"

#include <pgq/topic.h>
#include <string.h>

enum { QUEUE_COUNT = 9, QUEUES = 10 };

/* topic NULL: all. */
static pgq_status ask(pgq *q, const char *sql, const char *topic, const void *out, PGresult **res)
{
    pgq_status status = topic ? pgqi_enter_topic(q, topic) : pgqi_enter(q);
    pgqi_params p;

    if (status == PGQ_OK)
        status = pgqi_check_out(&q->error, out);
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, topic);
    return pgqi_call(q, sql, &p, res);
}

/* The names stand one on a line: none has a control character in it. */
static void fill_queues(pgq_topic_info *t, const char *lines, const char ***queues, char **names)
{
    size_t size = strlen(lines) + 1;
    char *at = *names;

    memcpy(at, lines, size);
    t->queues = *queues;
    for (size_t i = 0; i < t->queue_count; i++) {
        char *end = strchr(at, '\n');

        *(*queues)++ = at;
        if (end) {
            *end = '\0';
            at = end + 1;
        }
    }
    *names += size;
}

static void fill_topic(void *item, const PGresult *res, int row)
{
    pgq_topic_info *t = item;

    t->name = PQgetvalue(res, row, 0);
    t->own_log = (int)pgqi_field_int(res, row, 1);
    t->retain_ms = pgqi_field_int(res, row, 2);
    t->max_messages = pgqi_field_int_or(res, row, 3, -1);
    t->messages = pgqi_field_int(res, row, 4);
    t->oldest = pgqi_field_time(res, row, 5);
    t->newest = pgqi_field_time(res, row, 6);
    t->bytes = pgqi_field_int_or(res, row, 7, -1);
    t->subscribers = pgqi_field_int(res, row, 8);
    t->queue_count = (size_t)pgqi_field_int(res, row, QUEUE_COUNT);
}

/* Room for the pointers to the names of all the queues, and behind them for the names. */
static int add_queues(pgqi_list *list)
{
    size_t count = 0;
    size_t bytes = 0;
    const char **queues;
    char *names;

    for (size_t i = 0; i < list->n; i++) {
        count += (size_t)pgqi_field_int(list->res, (int)i, QUEUE_COUNT);
        bytes += (size_t)PQgetlength(list->res, (int)i, QUEUES) + 1;
    }
    list->more = pgqi_alloc(1, count * sizeof *queues + bytes);
    if (!list->more)
        return 0;
    queues = list->more;
    names = (char *)(queues + count);
    for (size_t i = 0; i < list->n; i++)
        fill_queues(pgqi_list_get(list, i), PQgetvalue(list->res, (int)i, QUEUES), &queues, &names);
    return 1;
}

pgq_status pgq_list_topics(pgq *q, const char *topic, pgq_topic_list **out)
{
    pgq_status status;
    pgqi_list *list;
    PGresult *res;

    if (out)
        *out = NULL;
    status =
        ask(q,
            "SELECT name, own_log, (retain * 1000)::bigint, max_messages, messages, oldest, newest, bytes,"
            " subscribers, cardinality(queues), array_to_string(queues, chr(10)) FROM %s.topic_list($1)",
            topic, out, &res);
    if (status != PGQ_OK)
        return status;
    list = pgqi_list_make(q, res, sizeof(pgq_topic_info), fill_topic);
    if (!list)
        return PGQ_NO_MEMORY;
    if (!add_queues(list)) {
        pgqi_list_free(list);
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    }
    *out = (pgq_topic_list *)list;
    return PGQ_OK;
}

size_t pgq_topic_list_count(const pgq_topic_list *list)
{
    return pgqi_list_count(list);
}

const pgq_topic_info *pgq_topic_list_get(const pgq_topic_list *list, size_t i)
{
    return pgqi_list_get(list, i);
}

void pgq_topic_list_free(pgq_topic_list *list)
{
    pgqi_list_free(list);
}

static void fill_subscriber(void *item, const PGresult *res, int row)
{
    pgq_subscriber_info *s = item;

    s->topic = PQgetvalue(res, row, 0);
    s->name = PQgetvalue(res, row, 1);
    s->behind = pgqi_field_int(res, row, 2);
    s->age_ms = pgqi_field_int_or(res, row, 3, -1);
    s->hold_ms = pgqi_field_int_or(res, row, 4, -1);
    s->commits = pgqi_field_int(res, row, 5);
    s->committed = pgqi_field_time(res, row, 6);
    s->created = pgqi_field_time(res, row, 7);
    s->position = PQgetvalue(res, row, 8);
}

pgq_status pgq_topic_subscribers(pgq *q, const char *topic, pgq_subscriber_list **out)
{
    pgq_status status;
    PGresult *res;

    if (out)
        *out = NULL;
    status = ask(q,
                 "SELECT topic, subscriber, behind, (age * 1000)::bigint, (hold * 1000)::bigint, commits,"
                 " committed, created, position FROM %s.topic_subscribers($1)",
                 topic, out, &res);
    if (status != PGQ_OK)
        return status;
    *out = pgqi_list_make(q, res, sizeof(pgq_subscriber_info), fill_subscriber);
    return *out ? PGQ_OK : PGQ_NO_MEMORY;
}

size_t pgq_subscriber_list_count(const pgq_subscriber_list *list)
{
    return pgqi_list_count(list);
}

const pgq_subscriber_info *pgq_subscriber_list_get(const pgq_subscriber_list *list, size_t i)
{
    return pgqi_list_get(list, i);
}

void pgq_subscriber_list_free(pgq_subscriber_list *list)
{
    pgqi_list_free(list);
}
