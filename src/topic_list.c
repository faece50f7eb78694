/* SPDX-License-Identifier: MIT */
/* Lists of topics and of durable subscribers. */
#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "topic.h"

#include <pgq/topic.h>
#include <string.h>

struct pgq_topic_list {
    PGresult *res;
    size_t n;
    const char **queues; /* of all the topics, one after the other */
    char *names;         /* theirs */
    pgq_topic_info items[];
};

struct pgq_subscriber_list {
    PGresult *res;
    size_t n;
    pgq_subscriber_info items[];
};

enum { QUEUE_COUNT = 9, QUEUES = 10 };

/* topic NULL: all. */
static pgq_status ask(pgq *q, const char *sql, const char *topic, int out, PGresult **res)
{
    pgq_status status = topic ? pgqi_enter_topic(q, topic) : pgqi_enter(q);
    pgqi_params p;

    if (status == PGQ_OK && !out)
        status = pgqi_error_set(&q->error, PGQ_INVALID, "out must not be NULL");
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, topic);
    return pgqi_call(q, sql, &p, res);
}

static int64_t number_or(const PGresult *res, int row, int column, int64_t otherwise)
{
    return PQgetisnull(res, row, column) ? otherwise : pgqi_field_int(res, row, column);
}

/* Room for the names of the queues, and for the pointers to them. */
static int make_room(pgq_topic_list *list)
{
    size_t count = 0;
    size_t bytes = 0;

    for (size_t i = 0; i < list->n; i++) {
        count += (size_t)pgqi_field_int(list->res, (int)i, QUEUE_COUNT);
        bytes += (size_t)PQgetlength(list->res, (int)i, QUEUES) + 1;
    }
    list->queues = pgqi_alloc(count + 1, sizeof *list->queues);
    list->names = pgqi_alloc(bytes + 1, 1);
    return list->queues && list->names;
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

static void fill_topic(pgq_topic_info *t, const PGresult *res, int row)
{
    t->name = PQgetvalue(res, row, 0);
    t->own_log = (int)pgqi_field_int(res, row, 1);
    t->retain_ms = pgqi_field_int(res, row, 2);
    t->max_messages = number_or(res, row, 3, -1);
    t->messages = pgqi_field_int(res, row, 4);
    t->oldest = pgqi_field_time(res, row, 5);
    t->newest = pgqi_field_time(res, row, 6);
    t->bytes = number_or(res, row, 7, -1);
    t->subscribers = pgqi_field_int(res, row, 8);
    t->queue_count = (size_t)pgqi_field_int(res, row, QUEUE_COUNT);
}

pgq_status pgq_list_topics(pgq *q, const char *topic, pgq_topic_list **out)
{
    pgq_topic_list *list;
    const char **queues;
    pgq_status status;
    PGresult *res;
    char *names;
    size_t n;

    if (out)
        *out = NULL;
    status =
        ask(q,
            "SELECT name, own_log, (retain * 1000)::bigint, max_messages, messages, oldest, newest, bytes,"
            " subscribers, cardinality(queues), array_to_string(queues, chr(10)) FROM %s.topic_list($1)",
            topic, out != NULL, &res);
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
    if (!make_room(list)) {
        pgq_topic_list_free(list);
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    }
    queues = list->queues;
    names = list->names;
    for (size_t i = 0; i < n; i++) {
        fill_topic(&list->items[i], res, (int)i);
        fill_queues(&list->items[i], PQgetvalue(res, (int)i, QUEUES), &queues, &names);
    }
    *out = list;
    return PGQ_OK;
}

size_t pgq_topic_list_count(const pgq_topic_list *list)
{
    return list ? list->n : 0;
}

const pgq_topic_info *pgq_topic_list_get(const pgq_topic_list *list, size_t i)
{
    return list && i < list->n ? &list->items[i] : NULL;
}

void pgq_topic_list_free(pgq_topic_list *list)
{
    if (!list)
        return;
    PQclear(list->res);
    pgqi_free(list->queues);
    pgqi_free(list->names);
    pgqi_free(list);
}

static void fill_subscriber(pgq_subscriber_info *s, const PGresult *res, int row)
{
    s->topic = PQgetvalue(res, row, 0);
    s->name = PQgetvalue(res, row, 1);
    s->behind = pgqi_field_int(res, row, 2);
    s->age_ms = number_or(res, row, 3, -1);
    s->hold_ms = number_or(res, row, 4, -1);
    s->commits = pgqi_field_int(res, row, 5);
    s->committed = pgqi_field_time(res, row, 6);
    s->created = pgqi_field_time(res, row, 7);
    s->position = PQgetvalue(res, row, 8);
}

pgq_status pgq_topic_subscribers(pgq *q, const char *topic, pgq_subscriber_list **out)
{
    pgq_subscriber_list *list;
    pgq_status status;
    PGresult *res;
    size_t n;

    if (out)
        *out = NULL;
    status = ask(q,
                 "SELECT topic, subscriber, behind, (age * 1000)::bigint, (hold * 1000)::bigint, commits,"
                 " committed, created, position FROM %s.topic_subscribers($1)",
                 topic, out != NULL, &res);
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
        fill_subscriber(&list->items[i], res, (int)i);
    *out = list;
    return PGQ_OK;
}

size_t pgq_subscriber_list_count(const pgq_subscriber_list *list)
{
    return list ? list->n : 0;
}

const pgq_subscriber_info *pgq_subscriber_list_get(const pgq_subscriber_list *list, size_t i)
{
    return list && i < list->n ? &list->items[i] : NULL;
}

void pgq_subscriber_list_free(pgq_subscriber_list *list)
{
    if (!list)
        return;
    PQclear(list->res);
    pgqi_free(list);
}
