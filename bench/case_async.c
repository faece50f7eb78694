/* SPDX-License-Identifier: MIT */
/* The asynchronous producer: single sends of several threads, and a flush at the end of each slice. */
#include "ours.h"

#include <pgq/producer.h>
#include <stdlib.h>

/* As many as are under way at most: the flush is a part of the slice. */
#define PENDING 10000

/* A call is counted from the send to the report of its commit. */
static void on_delivery(const pgq_delivery *delivery, void *arg)
{
    arm *a = arg;
    const int64_t *began = delivery->arg;
    if (delivery->status != PGQ_OK)
        die("a delivery failed: %s: %s", pgq_status_name(delivery->status), delivery->text);
    hist_add(&a->client[0].latency, now_ns() - *began);
}

/* The times at which messages were sent, in a ring that no client can lap: longer than what may be pending.
 */
typedef struct own {
    int64_t began[2 * PENDING];
    size_t next;
} own;

static void setup(arm *a)
{
    pgq_producer_options o = PGQ_PRODUCER_OPTIONS_INIT;
    pgq_producer *producer = NULL;
    pgq_error error;
    o.name_space = a->name_space;
    o.max_pending = PENDING;
    o.on_delivery = on_delivery;
    o.delivery_arg = a;
    if (pgq_producer_open(a->conninfo, &o, &producer) != PGQ_OK) {
        pgq_producer_last_error(producer, &error);
        die("pgq_producer_open: %s", error.message);
    }
    a->own = producer;
}

static void teardown(arm *a)
{
    if (pgq_producer_close(a->own, -1) != PGQ_OK)
        die("pgq_producer_close did not deliver all");
    for (int i = 0; i < a->clients; i++)
        free(a->client[i].own);
}

static void open_client(client *c)
{
    c->own = allocate(1, sizeof(own));
}

static size_t op(client *c)
{
    const bench *b = c->a->b;
    own *w = c->own;
    int64_t *began = &w->began[w->next++ % (2 * PENDING)];
    *began = now_ns();
    pgq_status status =
        pgq_producer_send(c->a->own, c->a->queue, b->payload, (size_t)b->o.payload, NULL, -1, began);
    if (status != PGQ_OK)
        die("pgq_producer_send: %s", pgq_status_name(status));
    return 1;
}

static void finish(arm *a)
{
    pgq_status status = pgq_producer_flush(a->own, -1);
    if (status != PGQ_OK)
        die("pgq_producer_flush: %s", pgq_status_name(status));
}

/* Nothing yet: the producer's thread reads the times of sending until it is closed. */
static void close_client(client *c)
{
    (void)c;
}

const arm_ops pgq_async = {.label = "pgq",
                           .setup = setup,
                           .teardown = teardown,
                           .open = open_client,
                           .op = op,
                           .close = close_client,
                           .finish = finish,
                           .own_latency = true};
