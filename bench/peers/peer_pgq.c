/* SPDX-License-Identifier: MIT */
/* pgq, by libpgq's public header. One message in a scope or under a lease is taken by a worker, a batch by
 * pgq_dequeue_many() or pgq_ack_receive(). */
#include "driver.h"
#include <pgq/pgq.h>
#include <pthread.h>
#include <stdlib.h>

struct client {
    pgq *q;
    pgq_outgoing outgoing[FILL_BATCH];
    pgq_receipt receipts[BATCH]; /* of what is leased and will be settled by the next call */
    size_t leased;
};

static void check(pgq_status status, const pgq_error *error, const char *what)
{
    if (status != PGQ_OK)
        fail("%s: %s", what, error->message);
}

static const char *lacks(const char *name)
{
    (void)name;
    return NULL;
}

static void prepare(const char *where)
{
    pgq *q;

    check(pgq_open(where, NULL, &q), pgq_last_error(q), "pgq_open");
    check(pgq_install(q), pgq_last_error(q), "pgq_install");
    check(pgq_create_queue(q, QUEUE, NULL, 0), pgq_last_error(q), "pgq_create_queue");
    pgq_close(q);
}

static void *open_client(const char *where)
{
    struct client *c = must_alloc(sizeof *c);

    check(pgq_open(where, NULL, &c->q), pgq_last_error(c->q), "pgq_open");
    for (int i = 0; i < FILL_BATCH; i++) {
        c->outgoing[i].payload = PAYLOAD;
        c->outgoing[i].len = PAYLOAD_LEN;
    }
    return c;
}

static void close_client(void *client)
{
    struct client *c = client;

    if (c->leased > 0)
        pgq_release(c->q, c->receipts, c->leased, NULL, NULL);
    pgq_close(c->q);
    free(c);
}

static void send_messages(void *client, int n)
{
    struct client *c = client;
    pgq_status status;

    if (n == 1)
        status = pgq_enqueue(c->q, QUEUE, PAYLOAD, PAYLOAD_LEN, NULL, NULL);
    else
        status = pgq_enqueue_many(c->q, QUEUE, c->outgoing, (size_t)n, 0, NULL, NULL);
    check(status, pgq_last_error(c->q), "send");
}

/* --- taking --- */

static int handle_many(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    (void)q, (void)conn, (void)messages, (void)arg;
    return 0;
}

static int take_by_lease(struct client *c, int n)
{
    pgq_messages *messages;
    size_t settled = 0;
    pgq_status status =
        pgq_ack_receive(c->q, c->receipts, c->leased, &settled, NULL, QUEUE, n, NULL, &messages);

    if (status != PGQ_EMPTY)
        check(status, pgq_last_error(c->q), "pgq_ack_receive");
    if (settled != c->leased)
        fail("pgq_ack_receive: %zu of %zu were settled", settled, c->leased);
    c->leased = pgq_messages_count(messages);
    for (size_t i = 0; i < c->leased; i++) {
        const pgq_message *m = pgq_messages_get(messages, i);

        c->receipts[i] = (pgq_receipt){m->id, m->attempts};
    }
    pgq_messages_free(messages);
    /* The first call settles nothing, but it has not found the queue empty. */
    return settled == 0 && c->leased > 0 ? take_by_lease(c, n) : (int)settled;
}

static int take(void *client, int n, enum mode mode)
{
    struct client *c = client;
    pgq_messages *messages;
    pgq_status status;
    size_t count = 0;

    if (mode == MODE_LEASE)
        return take_by_lease(c, n);
    if (mode == MODE_SETTLE) {
        status = pgq_dequeue_many(c->q, QUEUE, n, handle_many, NULL, &count);
    } else {
        status = pgq_pop(c->q, QUEUE, n, &messages);
        count = pgq_messages_count(messages);
        pgq_messages_free(messages);
    }
    if (status != PGQ_EMPTY)
        check(status, pgq_last_error(c->q), "take");
    return (int)count;
}

/* --- workers --- */

static pgq_worker *worker;
static pthread_t worker_thread;

static int handle_one(pgq *q, PGconn *conn, const pgq_message *message, void *arg)
{
    (void)q, (void)conn, (void)message;
    if (arg)
        handled();
    return 0;
}

static void on_event(const pgq_event_info *info, void *arg)
{
    (void)arg;
    if (info->event == PGQ_EVENT_DONE)
        finished(1);
    else if (info->event != PGQ_EVENT_STARTED && info->event != PGQ_EVENT_STOPPING)
        fail("worker: %s", info->text);
}

static void *run_worker(void *arg)
{
    check(pgq_worker_run(arg), pgq_worker_last_error(arg), "pgq_worker_run");
    return NULL;
}

static void start(const char *where, int threads, int64_t lease_ms, void *arg)
{
    pgq_worker_options options = PGQ_WORKER_OPTIONS_INIT;

    options.threads = threads;
    options.lease_ms = lease_ms;
    options.on_event = on_event;
    check(pgq_worker_new(where, &options, &worker), pgq_worker_last_error(worker), "pgq_worker_new");
    check(pgq_worker_add(worker, QUEUE, handle_one, arg), pgq_worker_last_error(worker), "pgq_worker_add");
    if (pthread_create(&worker_thread, NULL, run_worker, worker) != 0)
        fail("no thread could be started");
}

static int start_workers(const char *where, int workers, int n, enum mode mode)
{
    if (n > 1 || mode == MODE_POP)
        return 0;
    start(where, workers, mode == MODE_LEASE ? 30000 : 0, NULL);
    return 1;
}

static void stop_workers(void)
{
    pgq_worker_stop(worker);
    pthread_join(worker_thread, NULL);
    pgq_worker_free(worker);
}

static void start_listener(const char *where)
{
    static int wanted;

    start(where, 1, 0, &wanted);
}

int main(int argc, char **argv)
{
    static const struct peer peer = {
        .lacks = lacks,
        .prepare = prepare,
        .open = open_client,
        .close = close_client,
        .send = send_messages,
        .take = take,
        .start_workers = start_workers,
        .stop_workers = stop_workers,
        .start_listener = start_listener,
        .stop_listener = stop_workers,
        .has_sql = 1,
    };

    return drive(&peer, argc, argv);
}
