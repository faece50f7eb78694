/* SPDX-License-Identifier: MIT */
/* topic: create, set, delete, bind, unbind, unsubscribe, list, subscribers, tend. */
#include "ask.h"
#include "call.h"
#include "run.h"
#include "say.h"
#include "stop.h"

#include <stdio.h>
#include <string.h>

static void report(call *c, const char *topic, const char *other, const char *name, const char *result)
{
    row r = {0};
    row_text(&r, "topic", topic);
    if (other)
        row_text(&r, other, name);
    row_text(&r, "result", result);
    out_row(c->out, &r);
}

static bool read_retention(const call *c, pgq_retention *r)
{
    pgq_retention defaults = PGQ_RETENTION_INIT;
    *r = defaults;
    if (c->opt[O_RETAIN].set)
        r->retain_ms = c->opt[O_RETAIN].number;
    if (c->opt[O_MAX_MESSAGES].set)
        r->max_messages = c->opt[O_MAX_MESSAGES].number;
    return c->opt[O_RETAIN].set || c->opt[O_MAX_MESSAGES].set;
}

int run_topic_create(call *c)
{
    pgq *q = c->session->q;
    pgq_retention r;
    read_retention(c, &r);
    for (size_t i = 0; i < c->arg_count && !stop_signal(); i++) {
        pgq_status status = pgq_topic_create(q, c->args[i], &r, 0);
        bool there = false;
        if (status == PGQ_EXISTS && c->opt[O_IF_NOT_EXISTS].set) {
            /* One that only has messages in the common log is not what was asked for. */
            status = pgq_topic_create(q, c->args[i], &r, 1);
            there = true;
        }
        if (status != PGQ_OK)
            return session_failed(q, status);
        report(c, c->args[i], NULL, NULL, there ? "exists" : "created");
    }
    return EXIT_DONE;
}

int run_topic_set(call *c)
{
    pgq *q = c->session->q;
    pgq_retention r;
    bool common = c->opt[O_COMMON].set;
    if (common && c->arg_count > 0)
        return say_usage("--common is not allowed with \"%s\": it is about the topics that nobody created",
                         c->args[0]);
    if (!common && c->arg_count == 0)
        return say_usage("topic set needs a TOPIC, or --common");
    if (!read_retention(c, &r))
        return say_usage("topic set needs --retain or --max-messages: see pgq topic set --help");
    for (size_t i = 0; (i < c->arg_count || (common && i == 0)) && !stop_signal(); i++) {
        const char *topic = common ? NULL : c->args[i];
        pgq_status status = pgq_topic_set(q, topic, &r);
        if (status != PGQ_OK)
            return session_failed(q, status);
        report(c, topic, NULL, NULL, "changed");
    }
    return EXIT_DONE;
}

int run_topic_delete(call *c)
{
    pgq *q = c->session->q;
    char more[40] = "", what[320];
    if (c->arg_count > 1)
        snprintf(more, sizeof more, " and %zu more", c->arg_count - 1);
    snprintf(what, sizeof what, "delete the topic \"%s\"%s with all messages and subscribers", c->args[0],
             more);
    int asked = ask_first(c, what);
    if (asked != EXIT_DONE)
        return asked;
    for (size_t i = 0; i < c->arg_count && !stop_signal(); i++) {
        pgq_status status = pgq_topic_delete(q, c->args[i]);
        if (status != PGQ_OK)
            return session_failed(q, status);
        report(c, c->args[i], NULL, NULL, "deleted");
    }
    return EXIT_DONE;
}

/* --- queues and subscribers of a topic --- */

static int one(call *c, pgq_status status, const char *other, const char *result)
{
    if (status != PGQ_OK)
        return session_failed(c->session->q, status);
    report(c, c->args[0], other, c->args[1], result);
    return EXIT_DONE;
}

int run_topic_bind(call *c)
{
    pgq_status status = pgq_topic_bind(c->session->q, c->args[0], c->args[1], c->opt[O_FILTER].text);
    return one(c, status, "queue", "bound");
}

int run_topic_unbind(call *c)
{
    return one(c, pgq_topic_unbind(c->session->q, c->args[0], c->args[1]), "queue", "unbound");
}

int run_topic_unsubscribe(call *c)
{
    return one(c, pgq_topic_unsubscribe(c->session->q, c->args[0], c->args[1]), "subscriber", "unsubscribed");
}

/* --- lists --- */

static void integer_or_null(row *r, const char *name, int64_t value, bool detail)
{
    field *f = value < 0 ? row_null(r, name) : row_integer(r, name, value);
    f->detail = detail;
}

static bool add_topic(out *o, const pgq_topic_info *t)
{
    row r = {0};
    buf queues = {0};
    buf_str(&queues, "[");
    for (size_t i = 0; i < t->queue_count; i++) {
        buf_str(&queues, i > 0 ? "," : "");
        buf_json(&queues, t->queues[i], strlen(t->queues[i]));
    }
    buf_str(&queues, "]");
    row_text(&r, "topic", t->name);
    row_integer(&r, "messages", t->messages);
    row_time(&r, "oldest", t->oldest)->detail = true;
    row_time(&r, "newest", t->newest);
    row_integer(&r, "retain_ms", t->retain_ms);
    integer_or_null(&r, "max_messages", t->max_messages, true);
    row_bool(&r, "own_log", t->own_log)->detail = true;
    integer_or_null(&r, "bytes", t->bytes, true);
    row_integer(&r, "subscribers", t->subscribers);
    row_data(&r, "queues", FIELD_JSON, queues.data, queues.len);
    bool good = queues.failed ? out_failed(o, say_failed("out of memory")) : out_row(o, &r);
    buf_free(&queues);
    return good;
}

int run_topic_list(call *c)
{
    pgq *q = c->session->q;
    pgq_topic_list *list;
    bool good = true;
    pgq_status status = pgq_list_topics(q, c->arg_count > 0 ? c->args[0] : NULL, &list);
    size_t n = status == PGQ_OK ? pgq_topic_list_count(list) : 0;
    for (size_t i = 0; good && i < n; i++)
        good = add_topic(c->out, pgq_topic_list_get(list, i));
    pgq_topic_list_free(list);
    return n > 0 ? EXIT_DONE : session_failed(q, status == PGQ_OK ? PGQ_EMPTY : status);
}

static bool add_subscriber(out *o, const pgq_subscriber_info *s)
{
    row r = {0};
    row_text(&r, "topic", s->topic);
    row_text(&r, "subscriber", s->name);
    row_integer(&r, "behind", s->behind);
    integer_or_null(&r, "age_ms", s->age_ms, false);
    integer_or_null(&r, "hold_ms", s->hold_ms, false);
    row_integer(&r, "commits", s->commits);
    row_time(&r, "committed", s->committed);
    row_time(&r, "created", s->created)->detail = true;
    row_text(&r, "position", s->position)->detail = true;
    return out_row(o, &r);
}

int run_topic_subscribers(call *c)
{
    pgq *q = c->session->q;
    pgq_subscriber_list *list;
    bool good = true;
    pgq_status status = pgq_topic_subscribers(q, c->arg_count > 0 ? c->args[0] : NULL, &list);
    size_t n = status == PGQ_OK ? pgq_subscriber_list_count(list) : 0;
    for (size_t i = 0; good && i < n; i++)
        good = add_subscriber(c->out, pgq_subscriber_list_get(list, i));
    pgq_subscriber_list_free(list);
    return n > 0 ? EXIT_DONE : session_failed(q, status == PGQ_OK ? PGQ_EMPTY : status);
}

int run_topic_tend(call *c)
{
    int next_ms = 0;
    row r = {0};
    pgq_status status = pgq_topic_tend(c->session->q, &next_ms);
    if (status != PGQ_OK)
        return session_failed(c->session->q, status);
    row_integer(&r, "next_ms", next_ms);
    out_row(c->out, &r);
    return EXIT_DONE;
}
