/* SPDX-License-Identifier: MIT */
/* view, stats. */
#include "call.h"
#include "clock.h"
#include "run.h"
#include "say.h"
#include "stop.h"
#include "verb_attributes.h"

#include <string.h>

/* Calls one for each queue that was asked for, or all. */
static int each(call *c, void (*one)(call *c, const pgq_queue_stats *s, void *arg), void *arg)
{
    pgq *q = c->session->q;
    for (size_t i = 0; i < c->arg_count || i == 0; i++) {
        pgq_stats_list *list;
        pgq_status status = pgq_stats(q, c->arg_count > 0 ? c->args[i] : NULL, &list);
        if (status != PGQ_OK)
            return session_failed(q, status);
        for (size_t k = 0; k < pgq_stats_count(list); k++)
            one(c, pgq_stats_get(list, k), arg);
        pgq_stats_free(list);
    }
    return EXIT_DONE;
}

/* --- view --- */

typedef struct rates {
    pgq_stats_list *before; /* NULL: no rates */
    double seconds;
} rates;

static const pgq_queue_stats *same_queue(const pgq_stats_list *list, const char *name)
{
    for (size_t i = 0; i < pgq_stats_count(list); i++) {
        if (strcmp(pgq_stats_get(list, i)->name, name) == 0)
            return pgq_stats_get(list, i);
    }
    return NULL;
}

/* To a thousandth: more says nothing. */
static double per_second(int64_t now, int64_t before, double seconds)
{
    return (double)(int64_t)((double)(now - before) / seconds * 1000 + 0.5) / 1000;
}

static void view_row(call *c, const pgq_queue_stats *s, void *arg)
{
    const rates *rate = arg;
    const pgq_queue_stats *before = same_queue(rate->before, s->name);
    row r = {0};
    row_text(&r, "queue", s->name);
    row_integer(&r, "ready", s->ready_estimate);
    row_integer(&r, "delayed", s->delayed_estimate);
    row_integer(&r, "blocked", s->blocked_estimate);
    row_integer(&r, "in_flight", s->in_flight_estimate);
    row_integer(&r, "dead", s->dead_estimate);
    if (s->oldest_ready_ms >= 0)
        row_integer(&r, "oldest_ready_ms", s->oldest_ready_ms);
    else
        row_null(&r, "oldest_ready_ms");
    if (before) {
        row_real(&r, "sent_rate", per_second(s->sent_total, before->sent_total, rate->seconds));
        row_real(&r, "received_rate", per_second(s->received_total, before->received_total, rate->seconds));
    } else {
        row_null(&r, "sent_rate")->detail = true;
        row_null(&r, "received_rate")->detail = true;
    }
    row_bool(&r, "paused", s->paused);
    row_bool(&r, "exact", s->exact)->detail = true;
    out_row(c->out, &r);
}

static int view_counts(call *c)
{
    rates r = {NULL, 0};
    pgq *q = c->session->q;
    if (c->opt[O_RATES].set) {
        int64_t began = clock_ms();
        pgq_status status = pgq_stats(q, NULL, &r.before);
        if (status != PGQ_OK)
            return session_failed(q, status);
        stop_readable(-1, (int)c->opt[O_RATES].number);
        r.seconds = (double)(clock_ms() - began) / 1000;
    }
    int status = stop_signal() ? EXIT_FAILED : each(c, view_row, &r);
    pgq_stats_free(r.before);
    return status;
}

static void info_row(call *c, const pgq_queue_info *info)
{
    char own[256];
    row r = {0};
    if (c->opt[O_NAMES].set)
        row_text(&r, "queue", info->name);
    else
        attributes_row(&r, info, own);
    out_row(c->out, &r);
}

static int view_queues(call *c)
{
    pgq *q = c->session->q;
    for (size_t i = 0; i < c->arg_count || i == 0; i++) {
        pgq_queue_list *list;
        pgq_status status = pgq_list_queues(q, c->arg_count > 0 ? c->args[i] : NULL, &list);
        if (status != PGQ_OK)
            return session_failed(q, status);
        for (size_t k = 0; k < pgq_queue_list_count(list); k++)
            info_row(c, pgq_queue_list_get(list, k));
        pgq_queue_list_free(list);
    }
    return EXIT_DONE;
}

static int or_nothing(call *c, int status)
{
    if (status != EXIT_DONE || c->out->rows > 0)
        return status;
    say_note("there are no queues: see pgq create");
    return EXIT_NOTHING;
}

int run_view(call *c)
{
    if (c->opt[O_NAMES].set + c->opt[O_ATTRIBUTES].set + c->opt[O_RATES].set > 1)
        return say_usage("only one of --names, --attributes and --rates is allowed");
    return or_nothing(c, c->opt[O_NAMES].set || c->opt[O_ATTRIBUTES].set ? view_queues(c) : view_counts(c));
}

/* --- stats --- */

static void stats_row(call *c, const pgq_queue_stats *s, void *arg)
{
    row r = {0};
    (void)arg;
    row_text(&r, "queue", s->name);
    row_bool(&r, "paused", s->paused)->detail = true;
    row_integer(&r, "sent_total", s->sent_total);
    row_integer(&r, "received_total", s->received_total);
    row_integer(&r, "ready_estimate", s->ready_estimate);
    row_integer(&r, "delayed_estimate", s->delayed_estimate);
    row_integer(&r, "blocked_estimate", s->blocked_estimate)->detail = true;
    row_integer(&r, "in_flight_estimate", s->in_flight_estimate);
    row_integer(&r, "dead_estimate", s->dead_estimate);
    row_bool(&r, "exact", s->exact)->detail = true;
    if (s->oldest_ready_ms >= 0)
        row_integer(&r, "oldest_ready_ms", s->oldest_ready_ms)->detail = true;
    else
        row_null(&r, "oldest_ready_ms")->detail = true;
    out_row(c->out, &r);
}

typedef struct metric {
    const char *name, *type, *help;
    const char *state; /* NULL: none */
} metric;

static const metric metrics[] = {
    {"pgq_sent_messages_total", "counter", "Messages sent, also those whose transaction was rolled back.",
     NULL},
    {"pgq_received_messages_total", "counter", "Times that a message was handed out.", NULL},
    {"pgq_messages", "gauge", "Messages in a state; an estimate unless pgq_messages_exact is 1.", "ready"},
    {"pgq_messages", "gauge", NULL, "delayed"},
    {"pgq_messages", "gauge", NULL, "blocked"},
    {"pgq_messages", "gauge", NULL, "in_flight"},
    {"pgq_messages", "gauge", NULL, "dead"},
    {"pgq_messages_exact", "gauge", "1 if pgq_messages is exact.", NULL},
    {"pgq_oldest_ready_seconds", "gauge", "Age of the oldest message next in line; absent if none is ready.",
     NULL},
    {"pgq_queue_paused", "gauge", "1 while the queue is paused.", NULL},
};

static int64_t value_of(const pgq_queue_stats *s, size_t i)
{
    const int64_t values[] = {
        s->sent_total,         s->received_total, s->ready_estimate, s->delayed_estimate, s->blocked_estimate,
        s->in_flight_estimate, s->dead_estimate,  s->exact,          s->oldest_ready_ms,  s->paused};
    return values[i];
}

static void label(buf *b, const char *name, const char *value)
{
    buf_printf(b, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            buf_str(b, "\\");
        buf_add(b, value, 1);
    }
    buf_str(b, "\"");
}

typedef struct sample {
    size_t metric;
    buf *b;
} sample;

static void sample_row(call *c, const pgq_queue_stats *s, void *arg)
{
    const sample *p = arg;
    const metric *m = &metrics[p->metric];
    int64_t value = value_of(s, p->metric);
    bool age = strcmp(m->name, "pgq_oldest_ready_seconds") == 0;
    if (age && value < 0)
        return;
    buf_printf(p->b, "%s{", m->name);
    label(p->b, "namespace", pgq_namespace(c->session->q));
    buf_str(p->b, ",");
    label(p->b, "queue", s->name);
    if (m->state) {
        buf_str(p->b, ",");
        label(p->b, "state", m->state);
    }
    if (age)
        buf_printf(p->b, "} %lld.%03d\n", (long long)value / 1000, (int)(value % 1000));
    else
        buf_printf(p->b, "} %lld\n", (long long)value);
}

typedef struct gathered {
    buf samples[sizeof metrics / sizeof *metrics];
} gathered;

static void gather(call *c, const pgq_queue_stats *s, void *arg)
{
    gathered *g = arg;
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        sample one = {i, &g->samples[i]};
        sample_row(c, s, &one);
    }
}

/* One look, however many metrics. */
static int prometheus(call *c)
{
    gathered g = {0};
    int status = each(c, gather, &g);
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        buf head = {0};
        if (metrics[i].help)
            buf_printf(&head, "# HELP %s %s\n# TYPE %s %s\n", metrics[i].name, metrics[i].help,
                       metrics[i].name, metrics[i].type);
        if (status == EXIT_DONE && out_text(c->out, head.data ? head.data : "", head.len))
            out_text(c->out, g.samples[i].data ? g.samples[i].data : "", g.samples[i].len);
        if (head.failed || g.samples[i].failed)
            status = say_failed("out of memory");
        buf_free(&head);
        buf_free(&g.samples[i]);
    }
    return status;
}

int run_stats(call *c)
{
    if (c->out->format == OUT_PROMETHEUS)
        return prometheus(c);
    return or_nothing(c, each(c, stats_row, NULL));
}
