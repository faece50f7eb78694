/* SPDX-License-Identifier: MIT */
/* top: the queues and their consumers on a whole terminal, again and again. */
#include "call.h"
#include "clock.h"
#include "run.h"
#include "say.h"
#include "screen.h"
#include "stop.h"
#include "top.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INTERVAL_MS = 1000, CONSUMERS = 1000 };

typedef struct looking {
    call *c;
    top t;
    char place[256], trouble[1100], no_consumers[1100];
    pgq_stats_list *stats, *before;
    pgq_consumer_list *list;
    int64_t looked_ms, before_ms; /* when stats and before were had */
    bool lost;
} looking;

static bool asked_for(const call *c, const char *name)
{
    for (size_t i = 0; i < c->arg_count; i++) {
        if (strcmp(c->args[i], name) == 0)
            return true;
    }
    return c->arg_count == 0;
}

static double per_second(int64_t now, int64_t before, int64_t ms)
{
    return ms > 0 && now >= before ? (double)(now - before) * 1000 / (double)ms : -1;
}

/* Both lists are sorted by name. */
static bool gather_queues(looking *l)
{
    size_t n = pgq_stats_count(l->stats), old = 0;
    top_queue *queues = realloc(l->t.queues, (n + 1) * sizeof *queues);
    if (!queues)
        return false;
    l->t.queues = queues;
    l->t.queue_count = 0;
    for (size_t i = 0; i < n; i++) {
        const pgq_queue_stats *s = pgq_stats_get(l->stats, i), *b = pgq_stats_get(l->before, old);
        if (!asked_for(l->c, s->name))
            continue;
        while (b && strcmp(b->name, s->name) < 0)
            b = pgq_stats_get(l->before, ++old);
        int64_t ms = b && strcmp(b->name, s->name) == 0 ? l->looked_ms - l->before_ms : 0;
        l->t.queues[l->t.queue_count++] =
            (top_queue){s, per_second(s->sent_total, b ? b->sent_total : 0, ms),
                        per_second(s->received_total, b ? b->received_total : 0, ms)};
    }
    top_sort_queues(&l->t);
    return true;
}

static bool gather_consumers(looking *l)
{
    size_t n = pgq_consumers_count(l->list);
    const pgq_consumer **consumers = realloc(l->t.consumers, (n + 1) * sizeof *consumers);
    if (!consumers)
        return false;
    l->t.consumers = consumers;
    l->t.consumer_count = 0;
    for (size_t i = 0; i < n; i++) {
        const pgq_consumer *c = pgq_consumers_get(l->list, i);
        if (asked_for(l->c, c->queue))
            l->t.consumers[l->t.consumer_count++] = c;
    }
    return true;
}

/* Its own part of the screen says so where the role may not see them: the rest goes on. */
static pgq_status look_at_consumers(looking *l)
{
    pgq *q = l->c->session->q;
    pgq_consumer_list *list;
    pgq_status status = pgq_consumers(q, NULL, CONSUMERS, &list);
    if (status != PGQ_OK && status != PGQ_PERMISSION)
        return status;
    snprintf(l->no_consumers, sizeof l->no_consumers, "%s",
             status == PGQ_OK ? "" : pgq_last_error(q)->message);
    l->t.consumer_count = 0;
    pgq_consumers_free(l->list);
    l->list = list;
    return gather_consumers(l) ? PGQ_OK : PGQ_NO_MEMORY;
}

static pgq_status look(looking *l)
{
    pgq *q = l->c->session->q;
    pgq_stats_list *stats;
    pgq_status status = l->lost ? pgq_reconnect(q) : PGQ_OK;
    if (status == PGQ_OK && l->lost)
        stop_watch(pgq_connection(q));
    if (status == PGQ_OK)
        status = pgq_stats(q, NULL, &stats);
    if (status == PGQ_OK) {
        pgq_stats_free(l->before);
        l->before = l->stats;
        l->before_ms = l->looked_ms;
        l->stats = stats;
        l->looked_ms = clock_ms();
        l->t.time_us = clock_wall_us();
        status = gather_queues(l) ? look_at_consumers(l) : PGQ_NO_MEMORY;
    }
    l->lost = status == PGQ_CONNECTION || (l->lost && status != PGQ_OK);
    snprintf(l->trouble, sizeof l->trouble, "%s%s", l->lost ? "trying again: " : "",
             status == PGQ_OK ? "" : pgq_last_error(q)->message);
    return status;
}

static void draw(looking *l)
{
    buf frame = {0};
    size_t rows, columns;
    screen_size(&rows, &columns);
    top_frame(&l->t, &frame, rows, columns);
    if (!frame.failed)
        screen_draw(&frame);
    buf_free(&frame);
}

/* false: the end. */
static bool handle_key(looking *l, int key, int64_t *next)
{
    top *t = &l->t;
    if (key == 's') {
        t->sort = (top_sort)((t->sort + 1) % SORTS);
        top_sort_queues(t);
    } else if (key == ' ') {
        *next = clock_ms();
    } else if (key == KEY_DOWN || key == 'j') {
        t->from++;
    } else if ((key == KEY_UP || key == 'k') && t->from > 0) {
        t->from--;
    }
    return key != 'q' && key != KEY_GONE;
}

static void show(looking *l)
{
    int64_t next = l->looked_ms + l->t.interval_ms;
    bool more = true;
    while (more && !stop_signal()) {
        draw(l);
        more = handle_key(l, screen_key_until(next), &next);
        if (more && clock_ms() >= next) {
            look(l);
            next = clock_ms() + l->t.interval_ms;
        }
    }
}

static int check(const call *c)
{
    if (c->opt[O_FORMAT].set || c->opt[O_FIELDS].set)
        return say_usage("--%s is not allowed with top: it is a screen; see pgq view --rates 1s",
                         c->opt[O_FORMAT].set ? "format" : "fields");
    if (!screen_is_there())
        return say_usage(
            "top needs a terminal for stdin and stdout, and its name in TERM: elsewhere see pgq view "
            "--rates 1s, pgq watch and pgq consumers");
    return EXIT_DONE;
}

/* Before the screen: whether all are there. */
static pgq_status check_queues(const call *c)
{
    pgq_status status = PGQ_OK;
    for (size_t i = 0; status == PGQ_OK && i < c->arg_count; i++) {
        pgq_stats_list *list;
        status = pgq_stats(c->session->q, c->args[i], &list);
        pgq_stats_free(list);
    }
    return status;
}

int run_top(call *c)
{
    pgq *q = c->session->q;
    looking l = {.c = c};
    int result = check(c);
    if (result != EXIT_DONE)
        return result;
    snprintf(l.place, sizeof l.place, "namespace %s, database %s", pgq_namespace(q), PQdb(pgq_connection(q)));
    l.t = (top){.place = l.place, .trouble = l.trouble, .no_consumers = l.no_consumers};
    l.t.interval_ms = c->opt[O_INTERVAL].set ? c->opt[O_INTERVAL].number : INTERVAL_MS;
    l.t.sort = c->opt[O_SORT].set ? top_sort_named(c->opt[O_SORT].text) : SORT_QUEUE;
    l.t.colour = say_colour(1);
    pgq_status status = check_queues(c);
    if (status == PGQ_OK)
        status = look(&l);
    if (status != PGQ_OK) {
        result = session_failed(q, status);
    } else if (!screen_enter()) {
        result = say_failed("cannot set up the terminal: %s", strerror(errno));
    } else {
        show(&l);
        screen_leave();
    }
    pgq_stats_free(l.before);
    pgq_stats_free(l.stats);
    pgq_consumers_free(l.list);
    free(l.t.queues);
    free(l.t.consumers);
    return result;
}
