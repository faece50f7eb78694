/* SPDX-License-Identifier: MIT */
/* watch: rows of what has changed, as soon as something has. */
#include "call.h"
#include "clock.h"
#include "run.h"
#include "say.h"
#include "stop.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* Two looks are so far apart at least, whatever happens. */
enum { LOOK_MS = 100, INTERVAL_MS = 1000 };

typedef struct watching {
    call *c;
    pgq_stats_list *seen; /* NULL: nothing yet */
    pgq_listener *listener;
    int64_t left; /* rows */
} watching;

static const pgq_queue_stats *find(const pgq_stats_list *list, const char *name)
{
    for (size_t i = 0; i < pgq_stats_count(list); i++) {
        if (strcmp(pgq_stats_get(list, i)->name, name) == 0)
            return pgq_stats_get(list, i);
    }
    return NULL;
}

static bool changed(const pgq_queue_stats *a, const pgq_queue_stats *b)
{
    return a->paused != b->paused || a->sent_total != b->sent_total ||
           a->received_total != b->received_total || a->ready_estimate != b->ready_estimate ||
           a->delayed_estimate != b->delayed_estimate || a->blocked_estimate != b->blocked_estimate ||
           a->in_flight_estimate != b->in_flight_estimate || a->dead_estimate != b->dead_estimate;
}

static void tell(watching *w, const char *event, const pgq_queue_stats *s, const pgq_queue_stats *before)
{
    row r = {0};
    if (w->left <= 0)
        return;
    w->left--;
    row_time(&r, "time", clock_wall_us());
    row_text(&r, "queue", s->name);
    row_text(&r, "event", event);
    row_integer(&r, "sent", before ? s->sent_total - before->sent_total : 0);
    row_integer(&r, "received", before ? s->received_total - before->received_total : 0);
    row_integer(&r, "ready", s->ready_estimate);
    row_integer(&r, "delayed", s->delayed_estimate);
    row_integer(&r, "blocked", s->blocked_estimate)->detail = true;
    row_integer(&r, "in_flight", s->in_flight_estimate);
    row_integer(&r, "dead", s->dead_estimate);
    row_bool(&r, "paused", s->paused)->detail = true;
    out_row(w->c->out, &r);
}

static const char *event_of(const pgq_queue_stats *s, const pgq_queue_stats *before)
{
    if (s->paused != before->paused)
        return s->paused ? "paused" : "resumed";
    return s->dead_estimate > before->dead_estimate ? "died" : "changed";
}

static bool asked_for(const call *c, const char *name)
{
    for (size_t i = 0; i < c->arg_count; i++) {
        if (strcmp(c->args[i], name) == 0)
            return true;
    }
    return c->arg_count == 0;
}

/* Listens to the queues of a list that were asked for. */
static int listen_to(watching *w, const pgq_stats_list *list)
{
    pgq_listener_options o = PGQ_LISTENER_OPTIONS_INIT;
    size_t n = 0;
    const char **names = calloc(pgq_stats_count(list) + 1, sizeof *names);
    pgq_listener_close(w->listener);
    w->listener = NULL;
    if (!names)
        return say_failed("out of memory");
    for (size_t i = 0; i < pgq_stats_count(list); i++) {
        if (asked_for(w->c, pgq_stats_get(list, i)->name))
            names[n++] = pgq_stats_get(list, i)->name;
    }
    o.name_space = w->c->session->name_space;
    pgq_status status = n > 0 ? pgq_listener_open(w->c->session->dsn, names, n, &o, &w->listener) : PGQ_OK;
    free(names);
    return status == PGQ_OK ? EXIT_DONE
                            : session_error(o.name_space, status,
                                            w->listener ? pgq_listener_last_error(w->listener) : NULL);
}

/* Says what is new in list, which takes the place of what was seen. */
static int compare(watching *w, pgq_stats_list *list)
{
    bool other = !w->seen;
    int status = EXIT_DONE;
    for (size_t i = 0; i < pgq_stats_count(list); i++) {
        const pgq_queue_stats *s = pgq_stats_get(list, i);
        const pgq_queue_stats *before = find(w->seen, s->name);
        other |= !before;
        if (!asked_for(w->c, s->name))
            continue;
        if (!before)
            tell(w, w->seen ? "created" : "seen", s, NULL);
        else if (changed(s, before))
            tell(w, event_of(s, before), s, before);
    }
    for (size_t i = 0; i < pgq_stats_count(w->seen); i++) {
        const pgq_queue_stats *s = pgq_stats_get(w->seen, i);
        if (find(list, s->name))
            continue;
        other = true;
        if (asked_for(w->c, s->name))
            tell(w, "deleted", s, s);
    }
    if (other)
        status = listen_to(w, list);
    pgq_stats_free(w->seen);
    w->seen = list;
    return status;
}

static int look(watching *w)
{
    pgq_stats_list *list;
    pgq_status status = pgq_stats(w->c->session->q, NULL, &list);
    if (status != PGQ_OK)
        return session_failed(w->c->session->q, status);
    int result = compare(w, list);
    return result == EXIT_DONE && !out_flush(w->c->out) ? EXIT_FAILED : result;
}

/* Waits until something may have happened, or the time has come: OK; or SHUTDOWN. */
static pgq_status wait_for(watching *w, int64_t until)
{
    /* What happens at once after a look is seen with the next one. */
    stop_readable(-1, LOOK_MS);
    while (!stop_signal() && clock_ms() < until) {
        struct pollfd fds[] = {{.fd = stop_fd(), .events = POLLIN}, {.fd = -1}};
        int ms = clock_poll_ms(until);
        if (w->listener) {
            pgq_status status = pgq_listener_process(w->listener);
            int events = pgq_listener_events(w->listener), most = pgq_listener_timeout_ms(w->listener);
            if (status == PGQ_SHUTDOWN)
                return status;
            if (status == PGQ_READY)
                break;
            fds[1].fd = pgq_listener_fd(w->listener);
            fds[1].events =
                (short)((events & PGQ_EVENT_READ ? POLLIN : 0) | (events & PGQ_EVENT_WRITE ? POLLOUT : 0));
            if (most >= 0 && most < ms)
                ms = most;
        }
        poll(fds, 2, ms);
    }
    return PGQ_OK;
}

/* Before any row: whether all are there. */
static int check_queues(const call *c)
{
    pgq_status status = PGQ_OK;
    for (size_t i = 0; status == PGQ_OK && i < c->arg_count; i++) {
        pgq_stats_list *list;
        status = pgq_stats(c->session->q, c->args[i], &list);
        pgq_stats_free(list);
    }
    return status == PGQ_OK ? EXIT_DONE : session_failed(c->session->q, status);
}

int run_watch(call *c)
{
    int64_t interval = c->opt[O_INTERVAL].set ? c->opt[O_INTERVAL].number : INTERVAL_MS;
    watching w = {.c = c, .left = c->opt[O_COUNT].set ? c->opt[O_COUNT].number : INT64_MAX};
    int status = check_queues(c);
    if (status == EXIT_DONE)
        status = look(&w);
    while (status == EXIT_DONE && w.left > 0 && !stop_signal()) {
        if (wait_for(&w, clock_ms() + interval) == PGQ_SHUTDOWN) {
            session_failed(c->session->q, PGQ_SHUTDOWN); /* with rows behind it: it is done */
            break;
        }
        if (!stop_signal())
            status = look(&w);
    }
    pgq_listener_close(w.listener);
    pgq_stats_free(w.seen);
    return status;
}
