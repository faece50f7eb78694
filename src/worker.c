/* SPDX-License-Identifier: MIT */
/* A worker: its making, and the coordinator, which listens for its threads. */
#include "worker.h"

#include "alloc.h"
#include "clock.h"
#include "error.h"
#include "listener.h"
#include "queue.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 1024 };

static pgq_status check_options(pgq_worker *w)
{
    pgq_worker_options *o = &w->options;

    if (o->threads < 0 || o->threads > THREADS_MAX || o->max_messages < 0)
        return pgqi_error_set(&w->error, PGQ_INVALID,
                              "threads %d or max_messages %lld is out of range: 1 to %d, and at least 0, are allowed",
                              o->threads, (long long)o->max_messages, THREADS_MAX);
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
    const char *fault = pgqi_name_fault(queue);
    pgqi_worker_queue *more;
    char *name;

    if (!worker)
        return PGQ_INVALID;
    if (atomic_load(&worker->running))
        return pgqi_error_set(&worker->error, PGQ_STATE, "the worker is running");
    if (fault || !handler)
        return pgqi_error_set(&worker->error, PGQ_INVALID, "%s", fault ? fault : "handler must not be NULL");
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
    if (last && thread >= -1 && !atomic_load(&w->stop))
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

/* Before any thread is started: whether this can work at all. */
static pgq_status check_start(pgq_worker *w)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq_status status;
    int version = 0;
    pgq *q;

    o.name_space = w->name_space;
    status = pgq_open(w->conninfo, &o, &q);
    if (status == PGQ_OK)
        status = pgq_installed_version(q, &version);
    if (status == PGQ_OK && version < pgq_schema_version())
        status = pgqi_error_set(&q->error, PGQ_VERSION,
                                "namespace \"%s\" is of version %d: install brings it to %d", w->name_space,
                                version, pgq_schema_version());
    for (size_t i = 0; status == PGQ_OK && i < w->n; i++)
        status = pgqi_queue_exists(q, w->queues[i].name);
    if (q)
        w->error = q->error;
    else
        pgqi_error_set(&w->error, status, "out of memory");
    pgq_close(q);
    return status;
}

static pgq_status start_threads(pgq_worker *w)
{
    int n = w->options.threads;

    w->threads = pgqi_alloc((size_t)n, sizeof *w->threads);
    if (!w->threads)
        return pgqi_error_set(&w->error, PGQ_NO_MEMORY, "out of memory");
    for (int i = 0; i < n; i++) {
        pgqi_worker_thread *t = &w->threads[i];

        t->worker = w;
        t->index = i;
        t->started = pthread_create(&t->thread, NULL, pgqi_worker_thread_main, t) == 0;
        if (!t->started)
            return pgqi_error_set(&w->error, PGQ_NO_MEMORY, "thread %d of %d could not be started", i + 1, n);
    }
    return PGQ_OK;
}

static void end_threads(pgq_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->ended = 1;
    pthread_cond_broadcast(&w->cond);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; w->threads && i < w->options.threads; i++)
        if (w->threads[i].started)
            pthread_join(w->threads[i].thread, NULL);
    pgqi_free(w->threads);
    w->threads = NULL;
}

/* Says which scopes have become long; when the next one will, in ms, or -1. */
static int watch_scopes(pgq_worker *w)
{
    int64_t limit = (int64_t)w->options.long_scope_ms * 1000;
    int64_t now = pgqi_now_us();
    int next_ms = -1;

    for (int i = 0; limit > 0 && i < w->options.threads; i++) {
        pgq_event_info info = {.event = PGQ_EVENT_LONG_SCOPE, .thread = i};
        pgqi_worker_thread *t = &w->threads[i];
        int say_it = 0;

        pthread_mutex_lock(&w->lock);
        if (t->since_us && !t->warned) {
            int left = pgqi_until_ms(t->since_us + limit, now);

            say_it = left == 0;
            t->warned = say_it;
            if (!say_it && (next_ms < 0 || left < next_ms))
                next_ms = left;
            info.queue = t->queue;
            info.id = t->id;
            info.attempt = t->attempt;
            info.elapsed_us = now - t->since_us;
            info.text = "the handler holds its transaction open, and with it vacuum back";
        }
        pthread_mutex_unlock(&w->lock);
        if (say_it)
            pgqi_worker_event(w, &info);
    }
    /* A scope may open while we wait: look again within its limit. */
    if (limit > 0 && (next_ms < 0 || next_ms > w->options.long_scope_ms))
        next_ms = w->options.long_scope_ms;
    return next_ms;
}

/* Waits for the listener's connection (unless NULL), a nudge, or the time. */
static void wait_for(pgq_worker *w, pgq_listener *l, int timeout_ms)
{
    struct pollfd fds[2] = {{w->wake_fds[0], POLLIN, 0}, {-1, 0, 0}};
    int scopes = watch_scopes(w);
    char bytes[64];

    if (scopes >= 0 && (timeout_ms < 0 || scopes < timeout_ms))
        timeout_ms = scopes;
    if (l) {
        int events = pgq_listener_events(l);

        fds[1].fd = pgq_listener_fd(l);
        fds[1].events = (short)((events & PGQ_EVENT_READ ? POLLIN : 0) | (events & PGQ_EVENT_WRITE ? POLLOUT : 0));
    }
    poll(fds, 2, timeout_ms);
    while (read(w->wake_fds[0], bytes, sizeof bytes) > 0)
        continue;
}

/* Asks for a look. */
static void ask(pgq_worker *w, int thorough)
{
    pthread_mutex_lock(&w->lock);
    w->generation++;
    w->took = 0;
    w->thorough = thorough;
    if (w->parked > 0 && w->tickets == 0) {
        w->tickets = 1;
        pthread_cond_signal(&w->cond);
    }
    pthread_mutex_unlock(&w->lock);
}

static int finished(pgq_worker *w)
{
    int yes;

    pthread_mutex_lock(&w->lock);
    yes = atomic_load(&w->stop) || (w->options.max_messages && w->handled >= w->options.max_messages);
    pthread_mutex_unlock(&w->lock);
    return yes;
}

/* Until the look has found nothing more; then whether all the threads are idle. */
static int await_empty(pgq_worker *w, pgq_listener *l)
{
    int told = 0;

    for (;;) {
        int empty, took, idle;

        pthread_mutex_lock(&w->lock);
        empty = w->empty == w->generation;
        took = w->took;
        idle = w->parked == w->options.threads;
        pthread_mutex_unlock(&w->lock);
        if (took && !told)
            pgq_listener_busy(l);
        told |= took;
        if (empty || finished(w))
            return idle;
        wait_for(w, NULL, -1);
    }
}

/* Looks until nothing is left and nobody is at work. */
static void drain(pgq_worker *w, pgq_listener *l)
{
    while (!finished(w)) {
        ask(w, 1);
        if (await_empty(w, l) && !finished(w)) {
            int took;

            pthread_mutex_lock(&w->lock);
            took = w->took;
            pthread_mutex_unlock(&w->lock);
            if (!took)
                return;
        } else if (!finished(w)) {
            /* Others are still at work: what fails comes back. A thread that parks nudges. */
            wait_for(w, NULL, -1);
        }
    }
}

static void coordinate(pgq_worker *w, pgq_listener *l)
{
    int down = 0;

    while (!finished(w)) {
        pgq_status status = pgq_listener_process(l);

        if (down && (status == PGQ_READY)) {
            pgqi_worker_up(w, -1);
            down = 0;
        }
        if (status == PGQ_READY) {
            ask(w, pgqi_listener_thorough(l));
            await_empty(w, l);
        } else if (status == PGQ_CONNECTION) {
            if (!down)
                pgqi_worker_down(w, -1, pgq_listener_last_error(l)->message);
            down = 1;
        } else if (status < 0) {
            say(w, PGQ_EVENT_ERROR, -1, pgq_listener_last_error(l)->message);
        } else {
            wait_for(w, l, pgq_listener_timeout_ms(l));
        }
    }
    if (down)
        pgqi_worker_up(w, -2);
}

static pgq_status run(pgq_worker *w)
{
    pgq_listener_options o = PGQ_LISTENER_OPTIONS_INIT;
    pgq_status status = check_start(w);
    const char **names = NULL;
    pgq_listener *l = NULL;

    if (status != PGQ_OK)
        return status;
    names = pgqi_alloc(w->n, sizeof *names);
    if (!names)
        return pgqi_error_set(&w->error, PGQ_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < w->n; i++)
        names[i] = w->queues[i].name;
    o.name_space = w->name_space;
    o.poll_interval_ms = w->options.poll_interval_ms;
    status = pgq_listener_open(w->conninfo, names, w->n, &o, &l);
    pgqi_free(names);
    if (status == PGQ_CONNECTION)
        status = PGQ_OK; /* it goes on trying */
    if (status == PGQ_OK)
        status = start_threads(w);
    else
        w->error = *pgq_listener_last_error(l);
    if (status == PGQ_OK) {
        say(w, PGQ_EVENT_STARTED, -1, "");
        if (w->options.drain)
            drain(w, l);
        else
            coordinate(w, l);
        say(w, PGQ_EVENT_STOPPING, -1, "");
    }
    end_threads(w);
    pgq_listener_close(l);
    return status;
}

pgq_status pgq_worker_run(pgq_worker *worker)
{
    pgq_status status;

    if (!worker)
        return PGQ_INVALID;
    if (atomic_exchange(&worker->running, 1))
        return PGQ_STATE;
    pgqi_error_clear(&worker->error, PGQ_OK);
    if (worker->n == 0)
        status = pgqi_error_set(&worker->error, PGQ_STATE, "the worker has no queue: add one");
    else
        status = run(worker);
    worker->ended = worker->parked = worker->tickets = worker->down = 0;
    worker->generation = worker->empty = worker->reserved = worker->handled = 0;
    atomic_store(&worker->stop, 0);
    atomic_store(&worker->running, 0);
    return status;
}
