/* SPDX-License-Identifier: MIT */
/* How soon a sleeping consumer has a message, on an idle server, with the poll fallback off.
 *
 * PGQ_LATENCY_MESSAGES (for each kind of consumer). */
#include "consumers.h"
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { P50_US = 2000, P99_US = 10000, STUCK_US = 10000000 };

#define QUEUE "latency"

static _Atomic int64_t *taken_at;

static int take(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q;
    (void)conn;
    (void)m;
    (void)arg;
    atomic_store(taken_at, now_us());
    return 0;
}

/* From the producer's commit, and from before it sent, to the handler. 0: it is stuck. */
static int send_one(pgq *q, int64_t *from_commit, int64_t *from_send)
{
    int64_t began = now_us();
    int64_t committed;

    atomic_store(taken_at, 0);
    must(q, pgq_enqueue(q, QUEUE, "x", 1, NULL, NULL), "enqueue");
    committed = now_us();
    while (!atomic_load(taken_at) && now_us() < committed + STUCK_US)
        pause_us(200);
    if (!atomic_load(taken_at))
        return 0;
    *from_commit = atomic_load(taken_at) - committed;
    *from_send = atomic_load(taken_at) - began;
    return 1;
}

static void measure(consumer_kind kind, long messages)
{
    atomic_int *ready = shared(sizeof *ready);
    consumer c = {kind, 1, QUEUE, -1, take, NULL, ready, 0};
    int64_t *waits = shared((size_t)messages * sizeof *waits);
    int64_t *totals = shared((size_t)messages * sizeof *totals);
    int64_t *judged = shared((size_t)messages * sizeof *judged);
    pid_t pid = start(consume, &c);
    pgq *q = open_handle();
    long n = 0;

    while (!atomic_load(ready))
        pause_us(1000);
    for (; n < messages; n++) {
        pause_us(between(60000, 120000));
        if (!send_one(q, &waits[n], &totals[n])) {
            fail("%s: message %ld is stuck", consumer_name(&c), n);
            break;
        }
        /* What the machine itself was late by in that second is not ours. */
        judged[n] = waits[n] - noise_between(now_us() - waits[n], now_us());
    }
    kill(pid, SIGTERM);
    check(ended_well(pid), "the %s did not end well", consumer_name(&c));
    printf("%-7s idle wake-up after the commit: p50 %.2f ms, p99 %.2f ms; after sending: p50 %.2f ms, p99 "
           "%.2f ms\n",
           consumer_name(&c), (double)percentile(waits, (size_t)n, 0.5) / 1e3,
           (double)percentile(waits, (size_t)n, 0.99) / 1e3, (double)percentile(totals, (size_t)n, 0.5) / 1e3,
           (double)percentile(totals, (size_t)n, 0.99) / 1e3);
    check(percentile(judged, (size_t)n, 0.5) < P50_US, "%s: p50 is not below 2 ms", consumer_name(&c));
    check(percentile(judged, (size_t)n, 0.99) < P99_US, "%s: p99 is not below 10 ms", consumer_name(&c));
    pgq_close(q);
}

int main(void)
{
    long messages;

    begin("latency");
    messages = setting("PGQ_LATENCY_MESSAGES", 80);
    taken_at = shared(sizeof *taken_at);
    make_queue(QUEUE, 0);
    noise_start(0);
    measure(CONSUME_LISTEN, messages);
    measure(CONSUME_PULL, messages);
    measure(CONSUME_WORKER, messages);
    noise_stop();
    printf("worst overshoot of a timer: %.2f ms\n", (double)noise_worst() / 1e3);
    return finish();
}
