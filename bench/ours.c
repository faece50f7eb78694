/* SPDX-License-Identifier: MIT */
#include "ours.h"

#include "floor.h"

#include <stdio.h>
#include <stdlib.h>

#define LEASE_MS 600000 /* of what is leased at the end of a slice and settled in the next */

/* --- the clients --- */

typedef struct own {
    pgq_outgoing *out;
    int64_t *ids;
    pgq_receipt *receipts; /* not settled yet */
    size_t held;
} own;

static void open_client(client *c)
{
    const bench *b = c->a->b;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    size_t n = (size_t)c->a->batch;
    own *w = allocate(1, sizeof *w);
    o.name_space = c->a->name_space;
    pgq_status status = pgq_open(c->a->conninfo, &o, &c->q);
    must(c->q, status, "pgq_open");
    c->conn = pgq_connection(c->q);
    prepare(c->conn, "work", WORK_INSERT);
    w->out = allocate(n, sizeof *w->out);
    w->ids = allocate(n, sizeof *w->ids);
    w->receipts = allocate(n, sizeof *w->receipts);
    for (size_t i = 0; i < n; i++) {
        w->out[i].payload = b->payload;
        w->out[i].len = (size_t)b->o.payload;
    }
    c->own = w;
}

static void close_client(client *c)
{
    own *w = c->own;
    pgq_close(c->q);
    free(w->out);
    free(w->ids);
    free(w->receipts);
    free(w);
}

static size_t op_send(client *c)
{
    const bench *b = c->a->b;
    int64_t id;
    must(c->q, pgq_enqueue(c->q, c->a->queue, b->payload, (size_t)b->o.payload, NULL, &id), "pgq_enqueue");
    return 1;
}

static size_t op_send_batch(client *c)
{
    own *w = c->own;
    size_t n = (size_t)c->a->batch;
    must(c->q, pgq_enqueue_many(c->q, c->a->queue, w->out, n, 0, w->ids, NULL), "pgq_enqueue_many");
    return n;
}

static size_t op_pop(client *c)
{
    pgq_messages *list;
    pgq_status status = pgq_pop(c->q, c->a->queue, c->a->batch, &list);
    if (status == PGQ_EMPTY)
        return 0;
    must(c->q, status, "pgq_pop");
    size_t n = pgq_messages_count(list);
    pgq_messages_free(list);
    return n;
}

/* --- leases --- */

static pgq_status receive(client *c, pgq_messages **list)
{
    own *w = c->own;
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    size_t done = 0;
    pgq_status status;
    o.lease_ms = LEASE_MS;
    status = pgq_ack_receive(c->q, w->receipts, w->held, &done, NULL, c->a->queue, c->a->batch, &o, list);
    if ((status == PGQ_OK || status == PGQ_EMPTY) && done != w->held)
        die("%zu of %zu messages were not settled", w->held - done, w->held);
    w->held = 0;
    return status;
}

static size_t op_lease(client *c)
{
    own *w = c->own;
    pgq_messages *list;
    pgq_status status = receive(c, &list);
    if (status == PGQ_EMPTY)
        return 0;
    must(c->q, status, "pgq_receive");
    w->held = pgq_messages_count(list);
    for (size_t i = 0; i < w->held; i++) {
        const pgq_message *m = pgq_messages_get(list, i);
        w->receipts[i] = (pgq_receipt){m->id, m->attempts};
    }
    pgq_messages_free(list);
    return w->held;
}

/* --- scopes --- */

/* The connection of a worker's thread is not seen before its first message. */
static void prepare_work(PGconn *conn)
{
    static _Thread_local const PGconn *prepared;
    if (prepared != conn)
        prepare(conn, "work", WORK_INSERT);
    prepared = conn;
}

int work_handler(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q;
    (void)arg;
    prepare_work(conn);
    work_insert(conn, m->id);
    return 0;
}

static int plain_handler(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q;
    (void)arg;
    work_insert(conn, m->id);
    return 0;
}

static size_t op_cycle(client *c)
{
    pgq_status status;
    op_send(c);
    while ((status = pgq_dequeue(c->q, c->a->queue, plain_handler, NULL)) == PGQ_EMPTY)
        continue;
    must(c->q, status, "pgq_dequeue");
    return 1;
}

static int batch_handler(pgq *q, PGconn *conn, const pgq_messages *list, void *arg)
{
    (void)q;
    (void)arg;
    for (size_t i = 0; i < pgq_messages_count(list); i++)
        work_insert(conn, pgq_messages_get(list, i)->id);
    return 0;
}

static size_t op_scope_batch(client *c)
{
    size_t done = 0;
    pgq_status status = pgq_dequeue_many(c->q, c->a->queue, c->a->batch, batch_handler, NULL, &done);
    if (status == PGQ_EMPTY)
        return 0;
    must(c->q, status, "pgq_dequeue_many");
    return done;
}

/* --- a worker of one thread for each client --- */

typedef struct runner {
    client *c;
    pgq_worker *worker;
    pthread_t thread;
    _Atomic bool started;
    _Atomic bool open, waiting; /* of one that waits in its handler */
    _Atomic int64_t began_ns; /* when the message in hand was begun, or the one before it was done; 0: none */
} runner;

static int begin_work(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    runner *r = arg;
    while (!r->open) {
        r->waiting = true;
        sleep_ms(1);
    }
    r->waiting = false;
    if (r->began_ns == 0)
        r->began_ns = now_ns();
    return work_handler(q, conn, m, NULL);
}

static void on_event(const pgq_event_info *info, void *arg)
{
    runner *r = arg;
    if (info->event == PGQ_EVENT_STARTED) {
        r->started = true;
    } else if (info->event == PGQ_EVENT_DONE) {
        int64_t now = now_ns();
        client_done(r->c, 1, r->began_ns, now);
        r->began_ns = now;
    } else if (info->event != PGQ_EVENT_STOPPING) {
        die("the worker: %s", info->text);
    }
}

static void *run_worker_thread(void *arg)
{
    runner *r = arg;
    pgq_status status = pgq_worker_run(r->worker);
    if (status != PGQ_OK)
        die("pgq_worker_run: %s", pgq_worker_last_error(r->worker)->message);
    return NULL;
}

void wait_for_rest(const bench *b, const char *role)
{
    char name[64];
    char sql[256];
    bench_application(role, name, sizeof name);
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_stat_activity WHERE application_name = '%s' AND xact_start IS NOT NULL",
             name);
    while (int_sql(b->control, sql) > 0)
        sleep_ms(1);
}

PGconn *hold_transaction(const bench *b)
{
    char *conninfo = bench_conninfo(b, "hold", NULL, NULL);
    PGconn *conn = connect_to(conninfo);
    run_sql(conn, "BEGIN; SELECT pg_current_xact_id()");
    free(conninfo);
    return conn;
}

#define GATE_MS 2000

/* A worker that does not come to its gate has nothing to do. */
static void close_gates(arm *a)
{
    runner *list = a->own;
    int64_t until = now_ns() + (int64_t)GATE_MS * 1000000;
    for (int i = 0; i < a->clients; i++)
        list[i].open = false;
    for (int i = 0; i < a->clients; i++) {
        while (!list[i].waiting && now_ns() < until)
            sleep_ms(1);
        list[i].c->dry = !list[i].waiting;
    }
}

static void open_gates(arm *a)
{
    runner *list = a->own;
    for (int i = 0; i < a->clients; i++)
        list[i].open = true;
}

/* While the queue is paused its workers sleep, and have no transaction open. */
static void pause_workers(arm *a)
{
    if (a->ops->waits_in_handler) {
        close_gates(a);
        return;
    }
    must(a->filler, pgq_pause_queue(a->filler, a->queue), "pgq_pause_queue");
    wait_for_rest(a->b, a->role);
}

static void resume_workers(arm *a)
{
    runner *list = a->own;
    for (int i = 0; i < a->clients; i++)
        list[i].began_ns = 0;
    open_gates(a);
    if (!a->ops->waits_in_handler)
        must(a->filler, pgq_resume_queue(a->filler, a->queue), "pgq_resume_queue");
}

static void setup_workers(arm *a)
{
    runner *list = allocate((size_t)a->clients, sizeof *list);
    a->own = list;
    if (!a->ops->waits_in_handler)
        must(a->filler, pgq_pause_queue(a->filler, a->queue), "pgq_pause_queue");
    for (int i = 0; i < a->clients; i++) {
        pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;
        runner *r = &list[i];
        r->c = &a->client[i];
        r->open = !a->ops->waits_in_handler;
        o.name_space = a->name_space;
        o.threads = 1;
        o.on_event = on_event;
        o.event_arg = r;
        if (pgq_worker_new(a->conninfo, &o, &r->worker) != PGQ_OK ||
            pgq_worker_add(r->worker, a->queue, begin_work, r) != PGQ_OK)
            die("pgq_worker_new: %s", pgq_worker_last_error(r->worker)->message);
        if (pthread_create(&r->thread, NULL, run_worker_thread, r) != 0)
            die("a thread could not be started");
    }
    for (int i = 0; i < a->clients; i++) {
        while (!list[i].started)
            sleep_ms(1);
    }
}

static void teardown_workers(arm *a)
{
    runner *list = a->own;
    open_gates(a);
    for (int i = 0; i < a->clients; i++)
        pgq_worker_stop(list[i].worker);
    for (int i = 0; i < a->clients; i++) {
        pthread_join(list[i].thread, NULL);
        pgq_worker_free(list[i].worker);
    }
    must(a->filler, pgq_resume_queue(a->filler, a->queue), "pgq_resume_queue");
    free(list);
}

#define CLIENT .label = "pgq", .open = open_client, .close = close_client

const arm_ops pgq_send = {CLIENT, .op = op_send};
const arm_ops pgq_send_batch = {CLIENT, .op = op_send_batch};
const arm_ops pgq_pop_one = {CLIENT, .op = op_pop, .consumes = true};
const arm_ops pgq_pop_batch = {CLIENT, .op = op_pop, .consumes = true};
const arm_ops pgq_lease_ack = {CLIENT, .op = op_lease, .consumes = true};
const arm_ops pgq_cycle = {CLIENT, .op = op_cycle};
const arm_ops pgq_delayed = {CLIENT, .op = op_pop, .drains = true, .consumes = true, .delay_ms = 1};
const arm_ops pgq_scope = {.label = "pgq",
                           .consumes = true,
                           .setup = setup_workers,
                           .teardown = teardown_workers,
                           .resume = resume_workers,
                           .pause = pause_workers};
const arm_ops pgq_scope_batch = {CLIENT, .op = op_scope_batch, .consumes = true};
