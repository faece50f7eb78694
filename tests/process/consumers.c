/* SPDX-License-Identifier: MIT */
#include "consumers.h"

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;
static int stop_fds[2];
static pgq_worker *worker;

static void on_term(int sig)
{
    int saved = errno;
    ssize_t written = write(stop_fds[1], "", 1);

    (void)sig;
    (void)written;
    stopping = 1;
    pgq_worker_stop(worker);
    errno = saved;
}

void catch_term(void)
{
    struct sigaction action;

    if (pipe(stop_fds) != 0)
        give_up("pipe: %s", strerror(errno));
    fcntl(stop_fds[1], F_SETFL, O_NONBLOCK);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_term;
    sigaction(SIGTERM, &action, NULL);
}

int stop_asked(void)
{
    return stopping;
}

static void set_ready(const consumer *c)
{
    if (c->ready)
        atomic_store(c->ready, 1);
}

static void unexpected(const consumer *c, pgq_status status, const pgq_error *e)
{
    fail("%s: %s: %s %s", consumer_name(c), pgq_status_name(status), e->sqlstate, e->message);
    pause_us(100000);
}

static void consume_by_dequeue(const consumer *c)
{
    pgq *q = open_handle();

    set_ready(c);
    while (!stopping) {
        pgq_status status = pgq_dequeue(q, c->queue, c->handler, c->arg);

        if (status == PGQ_EMPTY)
            pause_us(5000);
        else if (status != PGQ_OK && status != PGQ_FAILED)
            unexpected(c, status, pgq_last_error(q));
    }
    pgq_close(q);
}

static void consume_by_listen(const consumer *c)
{
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    pgq *q = open_handle();

    o.poll_interval_ms = c->poll_interval_ms;
    o.cancel_fd = stop_fds[0];
    set_ready(c);
    while (!stopping) {
        pgq_status status = pgq_listen(q, c->queue, -1, c->handler, c->arg, &o);

        if (status != PGQ_OK && status != PGQ_FAILED && status != PGQ_CANCELED)
            unexpected(c, status, pgq_last_error(q));
    }
    pgq_close(q);
}

static void consume_by_lease(const consumer *c)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq *q = open_handle();

    o.lease_ms = c->lease_ms ? c->lease_ms : PGQ_UNSET;
    o.timeout_ms = -1;
    o.poll_interval_ms = c->poll_interval_ms;
    o.cancel_fd = stop_fds[0];
    set_ready(c);
    while (!stopping) {
        pgq_status status = pgq_receive_with(q, c->queue, c->handler, c->arg, &o);

        if (status != PGQ_OK && status != PGQ_FAILED && status != PGQ_STALE && status != PGQ_CANCELED)
            unexpected(c, status, pgq_last_error(q));
    }
    pgq_close(q);
}

/* Takes until nothing is left. */
static void take_all(const consumer *c, pgq_listener *l, pgq *q)
{
    int busy = 0;

    while (!stopping) {
        pgq_status status = pgq_dequeue(q, c->queue, c->handler, c->arg);

        if (status == PGQ_EMPTY)
            break;
        if (!busy)
            pgq_listener_busy(l);
        busy = 1;
        if (status != PGQ_OK && status != PGQ_FAILED)
            unexpected(c, status, pgq_last_error(q));
    }
}

static void consume_by_pull(const consumer *c)
{
    pgq_listener_options o = PGQ_LISTENER_OPTIONS_INIT;
    pgq *q = open_handle();
    pgq_listener *l;
    pgq_status status;

    o.name_space = name_space();
    o.poll_interval_ms = c->poll_interval_ms;
    status = pgq_listener_open(dsn(), &c->queue, 1, &o, &l);
    if (status != PGQ_OK)
        give_up("listener: %s", pgq_listener_last_error(l)->message);
    while (!stopping) {
        status = pgq_listener_process(l);
        if (status == PGQ_READY) {
            set_ready(c);
            take_all(c, l, q);
        } else if (status == PGQ_WAIT) {
            int events = pgq_listener_events(l);
            struct pollfd fds[2] = {{pgq_listener_fd(l), 0, 0}, {stop_fds[0], POLLIN, 0}};

            fds[0].events =
                (short)((events & PGQ_EVENT_READ ? POLLIN : 0) | (events & PGQ_EVENT_WRITE ? POLLOUT : 0));
            poll(fds, 2, pgq_listener_timeout_ms(l));
        } else {
            unexpected(c, status, pgq_listener_last_error(l));
        }
    }
    pgq_listener_close(l);
    pgq_close(q);
}

static void on_event(const pgq_event_info *info, void *arg)
{
    const consumer *c = arg;

    if (info->event == PGQ_EVENT_STARTED)
        set_ready(c);
    else if (info->event == PGQ_EVENT_ERROR || info->event == PGQ_EVENT_DISCONNECTED)
        fail("%s: event %d: %s", consumer_name(c), (int)info->event, info->text);
}

static void consume_by_worker(consumer *c)
{
    pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;
    pgq_worker *w;
    pgq_status status;

    o.name_space = name_space();
    o.threads = c->threads;
    o.poll_interval_ms = c->poll_interval_ms;
    o.lease_ms = c->lease_ms;
    o.on_event = on_event;
    o.event_arg = c;
    status = pgq_worker_new(dsn(), &o, &w);
    if (status == PGQ_OK)
        status = pgq_worker_add(w, c->queue, c->handler, c->arg);
    worker = w;
    if (stopping)
        pgq_worker_stop(w);
    if (status == PGQ_OK)
        status = pgq_worker_run(w);
    if (status != PGQ_OK)
        unexpected(c, status, pgq_worker_last_error(w));
    worker = NULL;
    pgq_worker_free(w);
}

void consume(void *arg_consumer)
{
    consumer *c = arg_consumer;

    catch_term();
    switch (c->kind) {
    case CONSUME_DEQUEUE:
        consume_by_dequeue(c);
        break;
    case CONSUME_LISTEN:
        consume_by_listen(c);
        break;
    case CONSUME_PULL:
        consume_by_pull(c);
        break;
    case CONSUME_WORKER:
        consume_by_worker(c);
        break;
    case CONSUME_LEASE:
        consume_by_lease(c);
        break;
    }
}

const char *consumer_name(const consumer *c)
{
    static const char *const names[] = {"dequeue", "listen", "pull", "worker", "lease"};

    return names[c->kind];
}
