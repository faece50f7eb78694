/* SPDX-License-Identifier: MIT */
/* Subscribing, reading, and committing what was read. */
#include "subscriber.h"

#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "message.h"
#include "queue.h"
#include "topic.h"

#include <stdio.h>
#include <string.h>

enum { READ_MAX = 100000 };

static pgq_status no_memory(pgq *q)
{
    return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
}

static pgq_status read_options(pgq *q, pgq_subscribe_options *o, const pgq_subscribe_options *given)
{
    pgq_subscribe_options defaults = PGQ_SUBSCRIBE_OPTIONS_INIT;
    pgq_status status;

    *o = defaults;
    status = pgqi_read_options(o, sizeof *o, given, &q->error);
    if (status == PGQ_OK && o->name)
        status = pgqi_check_name(&q->error, "subscriber", o->name);
    if (status == PGQ_OK && !o->name && o->hold_ms != PGQ_UNSET)
        status = pgqi_error_set(&q->error, PGQ_INVALID,
                                "hold_ms needs a name: only a durable subscriber holds messages back");
    return status == PGQ_OK ? pgqi_check_text(&q->error, "start", o->start) : status;
}

static pgq_subscriber *make(pgq *q, const char *topic, const char *name)
{
    pgq_subscriber *s = pgqi_alloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->q = q;
    s->topic = pgqi_strdup(topic);
    s->name = name ? pgqi_strdup(name) : NULL;
    if (!s->topic || (name && !s->name)) {
        pgq_subscriber_free(s);
        return NULL;
    }
    return s;
}

void pgq_subscriber_free(pgq_subscriber *subscriber)
{
    if (!subscriber)
        return;
    pgqi_free(subscriber->topic);
    pgqi_free(subscriber->name);
    pgqi_free(subscriber->position);
    pgqi_free(subscriber->committed);
    pgqi_free(subscriber);
}

static pgq_status subscribe(pgq_subscriber *s, const pgq_subscribe_options *o)
{
    pgq *q = s->q;
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    pgqi_params_init(&p);
    pgqi_add_text(&p, s->topic);
    pgqi_add_text(&p, o->name);
    pgqi_add_text(&p, o->start ? o->start : "now");
    pgqi_add_given_int8(&p, o->hold_ms);
    status = pgqi_call_outcome(
        q, "SELECT code, detail, position, subscriber_id, number FROM %s._topic_subscribe($1, $2, $3, $4)",
        &p, &res);
    if (status != PGQ_OK)
        return status;
    s->position = pgqi_strdup(PQgetvalue(res, 0, 2));
    s->committed = s->name ? NULL : pgqi_strdup(PQgetvalue(res, 0, 2));
    s->id = (int32_t)pgqi_field_int(res, 0, 3);
    s->number = pgqi_field_int(res, 0, 4);
    PQclear(res);
    return s->position && (s->name || s->committed) ? PGQ_OK : no_memory(q);
}

pgq_status pgq_topic_subscribe(pgq *q, const char *topic, const pgq_subscribe_options *options,
                               pgq_subscriber **out)
{
    pgq_subscribe_options o;
    pgq_status status;
    pgq_subscriber *s;

    if (out)
        *out = NULL;
    status = pgqi_enter_topic(q, topic);
    if (status == PGQ_OK)
        status = pgqi_check_out(&q->error, out);
    if (status == PGQ_OK)
        status = read_options(q, &o, options);
    if (status != PGQ_OK)
        return status;
    s = make(q, topic, o.name);
    status = s ? subscribe(s, &o) : no_memory(q);
    if (status == PGQ_OK)
        *out = s;
    else
        pgq_subscriber_free(s);
    return status;
}

/* The last row is the report: see _topic_read. */
enum { ID = 0, KIND = 1, PAYLOAD = 4, XID = 5, REPORT_MORE = 1, REPORT_TRIMMED = 2 };

const char pgqi_topic_read_sql[] = "SELECT " PGQI_TOPIC_MESSAGE_COLUMNS " FROM %s._topic_read($1, $2, $3)";

void pgqi_topic_read_params(pgqi_params *p, const pgq_subscriber *s, int max)
{
    pgqi_params_init(p);
    p->prepare = 1;
    pgqi_add_text(p, s->topic);
    pgqi_add_text(p, s->position);
    pgqi_add_int4(p, max);
}

/* Behind the last of n messages; the report stands in row n. NULL if memory ran out. */
static char *position_behind(const PGresult *res, int n)
{
    const char *told = PQgetvalue(res, n, PAYLOAD);
    size_t size = strlen(told) + 64;
    char *text;

    if (!(pgqi_field_int(res, n, KIND) & REPORT_MORE))
        return pgqi_strdup(told);
    text = pgqi_alloc(1, size);
    if (text)
        snprintf(text, size, "%s/%lld/%lld", told, (long long)pgqi_field_int(res, n - 1, XID),
                 (long long)pgqi_field_int(res, n - 1, ID));
    return text;
}

pgq_status pgqi_page_read(pgq_subscriber *s, PGresult *res, pgqi_page *page)
{
    int n = PQntuples(res) - 1;
    int64_t report = pgqi_field_int(res, n, KIND);
    pgq *q = s->q;

    page->messages = NULL;
    page->position = NULL;
    if (report < 0) {
        pgqi_error_from_code(&q->error, "MQ001", PQgetvalue(res, n, PAYLOAD));
        PQclear(res);
        return q->error.status;
    }
    s->trimmed |= (report & REPORT_TRIMMED) != 0;
    if ((report & REPORT_MORE) || strcmp(PQgetvalue(res, n, PAYLOAD), s->position) != 0) {
        page->position = position_behind(res, n);
        if (!page->position) {
            PQclear(res);
            return no_memory(q);
        }
    }
    if (n > 0) {
        pgq_status status = pgqi_messages_make(q, s->topic, res, ID, n, &page->messages);

        if (status != PGQ_OK && status != PGQ_HOOK)
            pgqi_page_free(page);
        return status;
    }
    PQclear(res);
    return pgqi_error_clear(&q->error, PGQ_EMPTY);
}

void pgqi_page_turn(pgq_subscriber *s, pgqi_page *page)
{
    if (!page->position)
        return;
    pgqi_free(s->position);
    s->position = page->position;
    page->position = NULL;
}

void pgqi_page_free(pgqi_page *page)
{
    pgq_messages_free(page->messages);
    pgqi_free(page->position);
    page->messages = NULL;
    page->position = NULL;
}

/* On whose handle no subscriber's handler runs. */
static pgq_status enter(pgq_subscriber *s)
{
    pgq_status status = s ? pgqi_enter(s->q) : PGQ_INVALID;

    if (status == PGQ_OK && s->q->handling)
        status =
            pgqi_error_set(&s->q->error, PGQ_STATE,
                           "a handler of pgq_topic_listen() is running on this handle: open another one");
    return status;
}

pgq_status pgqi_enter_read(pgq_subscriber *s, int max)
{
    pgq_status status = enter(s);

    if (status == PGQ_OK && (max < 1 || max > READ_MAX))
        status = pgqi_error_set(&s->q->error, PGQ_INVALID, "max %d is out of range: 1 to %d is allowed", max,
                                READ_MAX);
    return status;
}

static pgq_status read_now(pgq_subscriber *s, const char *sql, pgqi_params *p, pgq_messages **out)
{
    pgq_status status;
    pgqi_page page;
    PGresult *res;

    status = pgqi_call(s->q, sql, p, &res);
    if (status != PGQ_OK)
        return status;
    status = pgqi_page_read(s, res, &page);
    if (status < 0 && status != PGQ_HOOK)
        return status;
    pgqi_page_turn(s, &page);
    *out = page.messages;
    return pgqi_tended(s->q, status);
}

pgq_status pgq_topic_next(pgq_subscriber *subscriber, int max, pgq_messages **out)
{
    pgq_status status;
    pgqi_params p;

    if (out)
        *out = NULL;
    status = pgqi_enter_read(subscriber, max);
    if (status == PGQ_OK)
        status = pgqi_check_out(&subscriber->q->error, out);
    if (status != PGQ_OK)
        return status;
    pgqi_topic_read_params(&p, subscriber, max);
    return read_now(subscriber, pgqi_topic_read_sql, &p, out);
}

pgq_status pgq_topic_latest(pgq_subscriber *subscriber, pgq_messages **out)
{
    pgq_status status;
    pgqi_params p;

    if (out)
        *out = NULL;
    status = enter(subscriber);
    if (status == PGQ_OK)
        status = pgqi_check_out(&subscriber->q->error, out);
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    p.prepare = 1;
    pgqi_add_text(&p, subscriber->topic);
    pgqi_add_text(&p, subscriber->position);
    return read_now(subscriber, "SELECT " PGQI_TOPIC_MESSAGE_COLUMNS " FROM %s._topic_latest($1, $2)", &p,
                    out);
}

/* One of them is to be the other. */
static pgq_status copy_position(pgq *q, char **to, const char *from)
{
    char *copy = pgqi_strdup(from);

    if (!copy)
        return no_memory(q);
    pgqi_free(*to);
    *to = copy;
    return PGQ_OK;
}

pgq_status pgq_topic_commit(pgq_subscriber *subscriber)
{
    pgq_status status = enter(subscriber);
    pgqi_params p;

    if (status != PGQ_OK)
        return status;
    if (!subscriber->name)
        return copy_position(subscriber->q, &subscriber->committed, subscriber->position);
    pgqi_params_init(&p);
    p.prepare = 1;
    pgqi_add_int4(&p, subscriber->id);
    pgqi_add_int8(&p, subscriber->number);
    pgqi_add_text(&p, subscriber->position);
    status = pgqi_command_outcome(subscriber->q, "SELECT * FROM %s._topic_commit($1, $2, $3)", &p);
    if (status == PGQ_OK)
        subscriber->number++;
    return status;
}

pgq_status pgqi_rewind(pgq_subscriber *s)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    pgqi_params_init(&p);
    pgqi_add_int4(&p, s->id);
    status =
        pgqi_call_outcome(s->q, "SELECT code, detail, position, number FROM %s._topic_rewind($1)", &p, &res);
    if (status != PGQ_OK)
        return status;
    status = copy_position(s->q, &s->position, PQgetvalue(res, 0, 2));
    if (status == PGQ_OK)
        s->number = pgqi_field_int(res, 0, 3);
    PQclear(res);
    return status;
}

pgq_status pgq_topic_rewind(pgq_subscriber *subscriber)
{
    pgq_status status = enter(subscriber);

    if (status != PGQ_OK)
        return status;
    return subscriber->name ? pgqi_rewind(subscriber)
                            : copy_position(subscriber->q, &subscriber->position, subscriber->committed);
}

const char *pgq_topic_position(const pgq_subscriber *subscriber)
{
    return subscriber ? subscriber->position : NULL;
}

int pgq_topic_trimmed(pgq_subscriber *subscriber)
{
    int trimmed = subscriber ? subscriber->trimmed : 0;

    if (subscriber)
        subscriber->trimmed = 0;
    return trimmed;
}
