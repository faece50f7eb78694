/* SPDX-License-Identifier: MIT */
/* What listeners cost those who send: two queues, one with listeners and one without.
 *
 * The listeners must stay what they are, asleep or awake, while the queue fills. So the queue is paused:
 * those asleep are rung, look, are handed nothing, and go to sleep again. Those awake are each in a handler,
 * under a lease, with a message that was sent before the pause. */
#include "cases.h"
#include "ours.h"
#include "pair.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define LISTENED "bench bell"
#define LEASE_MS 86400000

typedef struct listener {
    bench *b;
    pthread_t thread;
    bool awake;
    _Atomic bool ready;
} listener;

static int stop_pipe[2]; /* readable at the end */

static int hold_message(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    struct pollfd fd = {.fd = stop_pipe[0], .events = POLLIN};
    listener *l = arg;
    (void)q;
    (void)conn;
    (void)m;
    l->ready = true;
    while (poll(&fd, 1, -1) <= 0)
        continue;
    return 0;
}

static int refuse_message(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)conn;
    (void)m;
    (void)arg;
    die("%s: a message came out of a paused queue", pgq_namespace(q));
}

static void *listener_main(void *arg)
{
    listener *l = arg;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq_listen_options listen = PGQ_LISTEN_OPTIONS_INIT;
    pgq_receive_options lease = PGQ_RECEIVE_OPTIONS_INIT;
    char *conninfo = bench_conninfo(l->b, "listener", NULL, NULL);
    pgq *q = NULL;
    o.name_space = NS;
    pgq_status status = pgq_open(conninfo, &o, &q);
    must(q, status, "pgq_open");
    listen.cancel_fd = stop_pipe[0];
    listen.poll_interval_ms = -1;
    lease.lease_ms = LEASE_MS;
    if (l->awake) {
        status = pgq_receive_with(q, LISTENED, hold_message, l, &lease);
        /* The table may have been truncated under its message. */
        if (status != PGQ_OK && status != PGQ_STALE)
            must(q, status, "pgq_receive_with");
    } else {
        l->ready = true;
        status = pgq_listen(q, LISTENED, -1, refuse_message, NULL, &listen);
        if (status != PGQ_CANCELED)
            must(q, status, "pgq_listen");
    }
    pgq_close(q);
    free(conninfo);
    return NULL;
}

static void start(bench *b, listener *list, int n, bool awake)
{
    for (int i = 0; i < n; i++) {
        list[i].b = b;
        list[i].awake = awake;
        if (pthread_create(&list[i].thread, NULL, listener_main, &list[i]) != 0)
            die("a thread could not be started");
    }
    for (int i = 0; i < n; i++) {
        while (!list[i].ready)
            sleep_ms(1);
    }
}

static listener *start_all(bench *b)
{
    int n = b->o.awake + b->o.sleepers;
    listener *list = allocate((size_t)n, sizeof *list);
    must(b->q, pgq_create_queue(b->q, LISTENED, NULL, 0), "pgq_create_queue");
    if (pipe(stop_pipe) != 0)
        die("a pipe could not be opened");
    for (int i = 0; i < b->o.awake; i++)
        must(b->q, pgq_enqueue(b->q, LISTENED, "", 0, NULL, NULL), "pgq_enqueue");
    start(b, list, b->o.awake, true);
    must(b->q, pgq_pause_queue(b->q, LISTENED), "pgq_pause_queue");
    start(b, list + b->o.awake, b->o.sleepers, false);
    sleep_ms(200); /* all that are to sleep do */
    return list;
}

void run_bell(bench *b)
{
    listener *list = start_all(b);
    arm_ops with = pgq_send;
    arm_ops without = pgq_send;
    arm_where where = {NS, LISTENED, b->q, 1};
    with.label = "heard";
    without.label = "unheard";
    arm *heard = arm_open_at(b, &with, "heard", b->o.clients, NULL, &where);
    arm *alone = arm_open(b, &without, "unheard", b->o.clients, NULL);
    pairs p = pairs_run(b, heard, alone, NULL, NULL);
    side sides[2] = {side_of(heard, p.cpu[0]), side_of(alone, p.cpu[1])};
    measure_wal(heard, &sides[0]);
    measure_wal(alone, &sides[1]);
    report_begin(b);
    report_number(b, "sleepers", b->o.sleepers, "%d listeners asleep, %d awake", b->o.sleepers, b->o.awake);
    if (b->o.json)
        report_number(b, "awake", b->o.awake, " ");
    report_side(b, &sides[0]);
    report_side(b, &sides[1]);
    report_spread(b, p.least, p.median, p.most, p.count);
    report_ratio(b, p.median);
    arm_close(heard);
    arm_close(alone);
    pairs_free(&p);
    if (write(stop_pipe[1], "", 1) != 1)
        die("the listeners could not be stopped");
    for (int i = 0; i < b->o.awake + b->o.sleepers; i++)
        pthread_join(list[i].thread, NULL);
    free(list);
}
