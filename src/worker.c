/* SPDX-License-Identifier: MIT */
/* A worker as its user holds it: made, given queues, stopped, freed; and how it tells of events. */
#include "worker.h"

#include "alloc.h"
#include "clock.h"
#include "codec.h"
#include "error.h"
#include "queue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 1024 };

static pgq_status check_options(pgq_worker *w)
{
    pgq_worker_options *o = &w->options;

    if (o->threads < 0 || o->threads > THREADS_MAX || o->max_messages < 0)
        return pgqi_error_set(
            &w->error, PGQ_INVALID,
            "threads %d or max_messages %lld is out of range: 1 to %d, and at least 0, are allowed",
            o->threads, (long long)o->max_messages, THREADS_MAX);
    if (o->lease_ms < 0 || o->lease_ms > 9999999000)
        return pgqi_error_set(
            &w->error, PGQ_INVALID,
            "a lease of %lld ms is out of range: 1 to 9999999000 ms, or 0 for scopes, is allowed",
            (long long)o->lease_ms);
    if (o->threads == 0)
        o->threads = 1;
    if (o->long_scope_ms == 0)
        o->long_scope_ms = 60000;
    return PGQ_OK;
}

static int make_pipe(int fds[2])
{
    if (pipe(fds) != 0) {
        fds[0] = fds[1] = -1;
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    return 1;
}

static int make_locks(pgq_worker *w)
{
    pthread_condattr_t attr;

    if (pthread_condattr_init(&attr) != 0)
        return 0;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->event_lock, NULL);
    pthread_cond_init(&w->cond, &attr);
    pthread_condattr_destroy(&attr);
    return 1;
}

pgq_status pgq_worker_new(const char *conninfo, const pgq_worker_options *options, pgq_worker **out)
{
    pgq_worker_options defaults = PGQ_WORKER_OPTIONS_INIT;
    pgqi_schema schema;
    pgq_worker *w;
    pgq_status status;

    if (!out)
        return PGQ_INVALID;
    *out = NULL;
    w = pgqi_alloc(1, sizeof *w);
    if (!w)
        return PGQ_NO_MEMORY;
    w->options = defaults;
    w->conninfo = pgqi_strdup(conninfo ? conninfo : "");
    w->cursors = pgqi_cursors_new();
    if (!make_pipe(w->wake_fds) || !w->conninfo || !w->cursors || !make_locks(w)) {
        if (w->wake_fds[0] >= 0) {
            close(w->wake_fds[0]);
            close(w->wake_fds[1]);
        }
        if (w->cursors)
            pgqi_cursors_release(w->cursors);
        pgqi_free(w->conninfo);
        pgqi_free(w);
        return PGQ_NO_MEMORY;
    }
    *out = w;
    status = pgqi_read_options(&w->options, sizeof w->options, options, &w->error);
    if (status == PGQ_OK)
        status = pgqi_set_namespace(w->name_space, schema, w->options.name_space, &w->error);
    return status == PGQ_OK ? check_options(w) : status;
}

pgq_status pgq_worker_add(pgq_worker *worker, const char *queue, pgq_handler handler, void *arg)
{
    pgqi_worker_queue *more;
    char *name;

    if (!worker)
        return PGQ_INVALID;
    if (atomic_load(&worker->running))
        return pgqi_error_set(&worker->error, PGQ_STATE, "the worker is running");
    if (pgqi_check_name(&worker->error, "queue", queue) != PGQ_OK)
        return PGQ_INVALID;
    if (!handler)
        return pgqi_error_set(&worker->error, PGQ_INVALID, "handler must not be NULL");
    name = pgqi_strdup(queue);
    more = name ? pgqi_realloc(worker->queues, (worker->n + 1) * sizeof *more) : NULL;
    if (!more) {
        pgqi_free(name);
        return pgqi_error_set(&worker->error, PGQ_NO_MEMORY, "out of memory");
    }
    worker->queues = more;
    more[worker->n].name = name;
    more[worker->n].handler = handler;
    more[worker->n].arg = arg;
    worker->n++;
    return PGQ_OK;
}

pgq_status pgq_worker_set_codec(pgq_worker *worker, const pgq_codec *codec)
{
    if (!worker)
        return PGQ_INVALID;
    if (atomic_load(&worker->running))
        return pgqi_error_set(&worker->error, PGQ_STATE, "the worker is running");
    pgqi_error_clear(&worker->error, PGQ_OK);
    return pgqi_read_codec(&worker->codec, codec, &worker->error);
}

void pgq_worker_free(pgq_worker *worker)
{
    if (!worker)
        return;
    for (size_t i = 0; i < worker->n; i++)
        pgqi_free(worker->queues[i].name);
    pgqi_free(worker->queues);
    pgqi_free(worker->conninfo);
    pgqi_cursors_release(worker->cursors);
    close(worker->wake_fds[0]);
    close(worker->wake_fds[1]);
    pthread_cond_destroy(&worker->cond);
    pthread_mutex_destroy(&worker->lock);
    pthread_mutex_destroy(&worker->event_lock);
    pgqi_free(worker);
}

const pgq_error *pgq_worker_last_error(const pgq_worker *worker)
{
    static const pgq_error none = {PGQ_INVALID, "", "the worker is NULL", "", 0, 0, 0};

    return worker ? &worker->error : &none;
}

void pgqi_worker_nudge(pgq_worker *w)
{
    int saved = errno;
    ssize_t written = write(w->wake_fds[1], "", 1);

    (void)written; /* full: it is awake already */
    errno = saved;
}

void pgq_worker_stop(pgq_worker *worker)
{
    if (!worker)
        return;
    atomic_store(&worker->stop, 1);
    pgqi_worker_nudge(worker);
}

void pgqi_worker_event(pgq_worker *w, const pgq_event_info *info)
{
    if (!w->options.on_event)
        return;
    pthread_mutex_lock(&w->event_lock);
    w->options.on_event(info, w->options.event_arg);
    pthread_mutex_unlock(&w->event_lock);
}

static void say(pgq_worker *w, pgq_event event, int thread, const char *text)
{
    pgq_event_info info = {.event = event, .thread = thread, .text = text};

    pgqi_worker_event(w, &info);
}

void pgqi_worker_down(pgq_worker *w, int thread, const char *text)
{
    int first;

    pthread_mutex_lock(&w->lock);
    first = w->down++ == 0;
    pthread_mutex_unlock(&w->lock);
    if (first)
        say(w, PGQ_EVENT_DISCONNECTED, thread, text);
}

void pgqi_worker_up(pgq_worker *w, int thread)
{
    int last;

    pthread_mutex_lock(&w->lock);
    last = --w->down == 0;
    pthread_mutex_unlock(&w->lock);
    if (last && thread >= -1)
        say(w, PGQ_EVENT_RECONNECTED, thread, "");
}

int pgqi_worker_pause(pgq_worker *w, int64_t us)
{
    int64_t until = pgqi_now_us() + us;
    struct timespec t = {until / 1000000, until % 1000000 * 1000};
    int go_on;

    pthread_mutex_lock(&w->lock);
    while (!w->ended && pgqi_now_us() < until)
        pthread_cond_timedwait(&w->cond, &w->lock, &t);
    go_on = !w->ended;
    pthread_mutex_unlock(&w->lock);
    return go_on;
}
