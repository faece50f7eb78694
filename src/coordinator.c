/* SPDX-License-Identifier: MIT */
/* A worker's coordinator: starts and ends the threads, listens for them, and asks for looks. */
#include "alloc.h"
#include "clock.h"
#include "error.h"
#include "listener.h"
#include "queue.h"
#include "worker.h"

#include <poll.h>
#include <unistd.h>

/* How long a thread may be at what it found before an idle one looks for more. */
static const int64_t look_on_us = 2000;

static void say(pgq_worker *w, pgq_event event, const char *text)
{
    pgq_event_info info = {.event = event, .thread = -1, .text = text};

    pgqi_worker_event(w, &info);
}

/* Before any thread is started: whether this can work at all. */
static pgq_status check_start(pgq_worker *w)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq_status status;
    int version = 0;
    pgq *q;

    o.name_space = w->name_space;
    o.connect_attempts = 1;
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

/* From the keeper's thread. */
static void say_lost(const pgqi_hold *hold, const char *why)
{
    pgqi_worker_thread *t = hold->holder;
    pgq_event_info info = {.event = PGQ_EVENT_LEASE_LOST,
                           .thread = t->index,
                           .id = hold->receipt.id,
                           .attempt = hold->receipt.attempt,
                           .text = why};

    pthread_mutex_lock(&t->worker->lock);
    info.queue = t->queue;
    info.elapsed_us = t->since_us ? pgqi_now_us() - t->since_us : 0;
    pthread_mutex_unlock(&t->worker->lock);
    pgqi_worker_event(t->worker, &info);
}

/* Says which scopes have become long; when the next one will, in ms, or -1. */
static int watch_scopes(pgq_worker *w)
{
    int64_t limit = w->keeper ? 0 : (int64_t)w->options.long_scope_ms * 1000;
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
        fds[1].events =
            (short)((events & PGQ_EVENT_READ ? POLLIN : 0) | (events & PGQ_EVENT_WRITE ? POLLOUT : 0));
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

/* pgq_shutdown() is as pgq_worker_stop(), but for the status. */
static void shut_down(pgq_worker *w)
{
    w->shut = 1;
    atomic_store(&w->stop, 1);
}

/* Until a look has found nothing more; then whether all the threads are idle. A thread that found
 * something may be at it for long: then an idle one looks on in its place. */
static int await_empty(pgq_worker *w, pgq_listener *l)
{
    int64_t took_us = 0;
    int shut = 0;

    for (;;) {
        int64_t now = pgqi_now_us();
        int empty, took, parked;

        pthread_mutex_lock(&w->lock);
        empty = w->empty == w->generation;
        took = w->took;
        parked = w->parked;
        pthread_mutex_unlock(&w->lock);
        shut = shut < 0 ? shut : pgqi_listener_shut(l);
        if (shut > 0)
            shut_down(w);
        if (empty || finished(w))
            return parked == w->options.threads;
        if (took && !took_us) {
            pgq_listener_busy(l);
            took_us = now;
        }
        if (took_us && parked > 0 && now - took_us >= look_on_us) {
            ask(w, w->thorough);
            took_us = 0;
            continue;
        }
        wait_for(w, shut < 0 ? NULL : l,
                 took_us && parked > 0 ? pgqi_until_ms(took_us + look_on_us, now) : -1);
    }
}

/* Looks until nothing is left and nobody is at work. */
static void drain(pgq_worker *w, pgq_listener *l)
{
    say(w, PGQ_EVENT_STARTED, "");
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
    int started = 0;
    int down = 0;

    while (!finished(w)) {
        pgq_status status = pgq_listener_process(l);

        if (status == PGQ_READY && !started)
            say(w, PGQ_EVENT_STARTED, "");
        started |= status == PGQ_READY;
        if (down && status == PGQ_READY) {
            pgqi_worker_up(w, -1);
            down = 0;
        }
        if (status == PGQ_READY) {
            ask(w, pgqi_listener_thorough(l));
            await_empty(w, l);
        } else if (status == PGQ_SHUTDOWN) {
            shut_down(w);
        } else if (status == PGQ_CONNECTION) {
            if (!down)
                pgqi_worker_down(w, -1, pgq_listener_last_error(l)->message);
            down = 1;
        } else if (status < 0) {
            say(w, PGQ_EVENT_ERROR, pgq_listener_last_error(l)->message);
        } else {
            wait_for(w, l, pgq_listener_timeout_ms(l));
        }
    }
    if (down)
        pgqi_worker_up(w, -2);
}

static void end_keeper(pgq_worker *w)
{
    pgqi_keeper_free(w->keeper);
    w->keeper = NULL;
}

static pgq_status run(pgq_worker *w)
{
    pgq_listener_options o = PGQ_LISTENER_OPTIONS_INIT;
    pgq_status status = check_start(w);
    const char **names = NULL;
    pgq_listener *l = NULL;

    if (status != PGQ_OK)
        return status;
    if (w->options.lease_ms) {
        w->keeper = pgqi_keeper_new(w->conninfo, w->name_space, say_lost);
        if (!w->keeper)
            return pgqi_error_set(&w->error, PGQ_NO_MEMORY, "out of memory");
    }
    names = pgqi_alloc(w->n, sizeof *names);
    if (!names) {
        end_keeper(w);
        return pgqi_error_set(&w->error, PGQ_NO_MEMORY, "out of memory");
    }
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
    else if (l)
        w->error = *pgq_listener_last_error(l);
    else
        pgqi_error_set(&w->error, status, "out of memory");
    if (status == PGQ_OK) {
        if (w->options.drain)
            drain(w, l);
        else
            coordinate(w, l);
        if (w->shut)
            status = pgqi_error_clear(&w->error, PGQ_SHUTDOWN);
        say(w, PGQ_EVENT_STOPPING, "");
    }
    end_threads(w);
    end_keeper(w);
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
    worker->ended = worker->parked = worker->tickets = worker->down = worker->shut = 0;
    worker->generation = worker->empty = worker->reserved = worker->handled = 0;
    atomic_store(&worker->stop, 0);
    atomic_store(&worker->running, 0);
    return status;
}
