/* SPDX-License-Identifier: MIT */
/* A claim takes as long in a namespace full of messages as in an empty one: delayed, dead and leased ones,
 * half of them in the very queue, and ready ones of other queues. The two are measured in turns, in short
 * slices.
 *
 * PGQ_CROWD_MESSAGES (delayed, dead and ready ones, each; a tenth of that are leased), PGQ_CROWD_SLICES. */
#include "harness.h"

#include <libpq-fe.h>
#include <sched.h>
#include <stdio.h>

enum { OTHERS = 4, BATCH = 10000, SLICE_US = 60000, WARM_SLICES = 2, LEASE_MS = 86400000 };

#define QUEUE "crowd"

static const double most = 1.3;

/* --- the crowd --- */

typedef void (*filler)(pgq *q, const char *queue, int n);

static void send_batch(pgq *q, const char *queue, int n, int64_t delay_ms)
{
    static pgq_outgoing out[BATCH];
    static pgq_enqueue_options options[BATCH];
    static const pgq_enqueue_options defaults = PGQ_ENQUEUE_OPTIONS_INIT;

    for (int i = 0; i < n; i++) {
        options[i] = defaults;
        options[i].delay_ms = delay_ms ? delay_ms + between(0, 3600000) : 0;
        options[i].priority = (int32_t)between(0, 9) * 100;
        out[i].payload = "a payload of an ordinary size, for a message of the crowd";
        out[i].len = 57;
        out[i].options = &options[i];
    }
    must(q, pgq_enqueue_many(q, queue, out, (size_t)n, 0, NULL, NULL), "enqueue_many");
}

static void add_ready(pgq *q, const char *queue, int n)
{
    send_batch(q, queue, n, 0);
}

static void add_delayed(pgq *q, const char *queue, int n)
{
    send_batch(q, queue, n, LEASE_MS);
}

/* Takes all that is ready. */
static size_t receive(pgq *q, const char *queue, int n, pgq_receipt *receipts)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_messages *list;
    size_t count;

    o.lease_ms = LEASE_MS;
    must(q, pgq_receive(q, queue, n, &o, &list), "receive");
    count = pgq_messages_count(list);
    for (size_t i = 0; i < count; i++) {
        receipts[i].id = pgq_messages_get(list, i)->id;
        receipts[i].attempt = pgq_messages_get(list, i)->attempts;
    }
    pgq_messages_free(list);
    return count;
}

static void add_leased(pgq *q, const char *queue, int n)
{
    static pgq_receipt receipts[BATCH];

    send_batch(q, queue, n, 0);
    check(receive(q, queue, n, receipts) == (size_t)n, "%d messages were not received at once", n);
}

static void add_dead(pgq *q, const char *queue, int n)
{
    static pgq_receipt receipts[BATCH];
    pgq_nack_options o = PGQ_NACK_OPTIONS_INIT;
    size_t done = 0;

    send_batch(q, queue, n, 0);
    o.requeue = 0;
    o.error = "one of the crowd";
    must(q, pgq_nack(q, receipts, receive(q, queue, n, receipts), &o, &done, NULL), "nack");
    check(done == (size_t)n, "%d messages did not die at once", n);
}

/* So many in all, a part of them in the measured queue if own is not 0. */
static void add(pgq *q, filler fill, long all, int own)
{
    char queue[32];

    for (int turn = 0; all > 0; turn++) {
        int n = all < BATCH ? (int)all : BATCH;

        snprintf(queue, sizeof queue, "other %d", turn % OTHERS);
        fill(q, own && turn % 2 == 0 ? QUEUE : queue, n);
        all -= n;
    }
}

static void make_crowd(pgq *q, long messages)
{
    pgq_counts c;
    char queue[32];
    int64_t began = now_us();

    for (int i = 0; i < OTHERS; i++) {
        snprintf(queue, sizeof queue, "other %d", i);
        must(q, pgq_create_queue(q, queue, NULL, 0), "create_queue");
    }
    /* Only while nothing is ready is what was sent what is received. */
    add(q, add_dead, messages, 1);
    add(q, add_leased, messages / 10, 1);
    add(q, add_delayed, messages, 1);
    add(q, add_ready, messages, 0);
    must(q, pgq_count(q, QUEUE, &c), "count");
    check(c.ready == 0 && c.delayed >= messages / 4 && c.dead >= messages / 4 && c.in_flight >= messages / 40,
          "in the queue: %lld ready, %lld delayed, %lld dead, %lld in flight", (long long)c.ready,
          (long long)c.delayed, (long long)c.dead, (long long)c.in_flight);
    query(q, "VACUUM ANALYZE NS.message");
    query(q, "VACUUM ANALYZE NS.dead_letter");
    printf("a crowd of 3 times %ld, and %ld leased, in %.1f s\n", messages, messages / 10,
           (double)(now_us() - began) / 1e6);
}

/* --- the claims --- */

static int nothing(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q;
    (void)conn;
    (void)m;
    (void)arg;
    return 0;
}

static void by_lease(pgq *q)
{
    pgq_receipt receipt;
    size_t done = 0;

    check(receive(q, QUEUE, 1, &receipt) == 1, "a message was not received");
    must(q, pgq_ack(q, &receipt, 1, &done, NULL), "ack");
}

static void by_pop(pgq *q)
{
    pgq_messages *list;

    must(q, pgq_pop(q, QUEUE, 1, &list), "pop");
    pgq_messages_free(list);
}

static void by_scope(pgq *q)
{
    must(q, pgq_dequeue(q, QUEUE, nothing, NULL), "dequeue");
}

/* The median of the claims of a slice; each finds the one message that was just sent. */
static int64_t slice(pgq *q, void (*claim)(pgq *q))
{
    int64_t times[SLICE_US / 10];
    int64_t end = now_us() + SLICE_US;
    size_t n = 0;

    while (n == 0 || (now_us() < end && n < sizeof times / sizeof times[0])) {
        int64_t began;

        must(q, pgq_enqueue(q, QUEUE, "x", 1, NULL, NULL), "enqueue");
        began = now_us();
        claim(q);
        times[n++] = now_us() - began;
    }
    return percentile(times, n, 0.5);
}

static void compare(const char *name, void (*claim)(pgq *q), pgq *crowded, pgq *empty, long slices)
{
    int64_t *in_crowd = shared((size_t)slices * sizeof *in_crowd);
    int64_t *in_empty = shared((size_t)slices * sizeof *in_empty);
    double ratio;

    for (long i = -WARM_SLICES; i < slices; i++) {
        /* What the machine does in passing hits either as often. */
        int64_t first = slice(i % 2 ? crowded : empty, claim);
        int64_t second = slice(i % 2 ? empty : crowded, claim);

        if (i < 0)
            continue;
        in_crowd[i] = i % 2 ? first : second;
        in_empty[i] = i % 2 ? second : first;
    }
    ratio =
        (double)percentile(in_crowd, (size_t)slices, 0.5) / (double)percentile(in_empty, (size_t)slices, 0.5);
    printf("%s: %lld us in the crowd, %lld us without, ratio %.2f\n", name,
           (long long)percentile(in_crowd, (size_t)slices, 0.5),
           (long long)percentile(in_empty, (size_t)slices, 0.5), ratio);
    check(ratio <= most, "%s: a claim in the crowd takes %.2f times as long", name, ratio);
}

/* Of two processors, one is often the slower for seconds. So the server's processes of both have the same
 * one; where they are elsewhere, or not ours to place, each keeps what it has. */
static void on_one_processor(pgq *a, pgq *b)
{
    PGconn *conns[] = {pgq_connection(a), pgq_connection(b)};
    cpu_set_t all;
    cpu_set_t one;
    size_t last = CPU_SETSIZE - 1;

    if (sched_getaffinity(0, sizeof all, &all) != 0 || PQhost(conns[0])[0] != '/')
        return;
    while (last > 0 && !CPU_ISSET(last, &all))
        last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    for (int i = 0; i < 2; i++)
        sched_setaffinity(PQbackendPID(conns[i]), sizeof one, &one);
}

int main(void)
{
    long messages;
    long slices;
    char name[80];
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *crowded;
    pgq *empty;
    pgq_status status;

    begin("crowd");
    messages = setting("PGQ_CROWD_MESSAGES", 100000);
    slices = setting("PGQ_CROWD_SLICES", 40);
    crowded = open_handle();
    snprintf(name, sizeof name, "%s_empty", name_space());
    o.name_space = name;
    status = pgq_open(dsn(), &o, &empty);
    must(empty, status, "open");
    must(empty, pgq_install(empty), "install");
    must(empty, pgq_create_queue(empty, QUEUE, NULL, 0), "create_queue");
    make_queue(QUEUE, 0);
    make_crowd(crowded, messages);
    on_one_processor(crowded, empty);
    compare("receive and ack", by_lease, crowded, empty, slices);
    compare("pop", by_pop, crowded, empty, slices);
    compare("scope", by_scope, crowded, empty, slices);
    must(empty, pgq_drop(empty), "drop");
    pgq_close(empty);
    pgq_close(crowded);
    return finish();
}
