/* SPDX-License-Identifier: MIT */
/* How soon a sleeping consumer, or subscriber, has a message, on an idle server, with the poll fallback off;
 * and how exactly a wait ends at its time.
 *
 * PGQ_LATENCY_MESSAGES (for each kind of consumer). */
#include "consumers.h"
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { P50_US = 2000, P99_US = 10000, STUCK_US = 10000000, WAIT_MS = 300, WAITS = 10, LATE_US = 20000 };

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

/* A subscriber of the topic QUEUE. */
static void subscribe(void *arg)
{
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    pgq *q = open_handle();
    pgq_subscriber *s;

    o.poll_interval_ms = -1;
    must(q, pgq_topic_subscribe(q, QUEUE, NULL, &s), "subscribe");
    atomic_store((atomic_int *)arg, 1);
    for (;;) {
        pgq_messages *m;

        must(q, pgq_topic_wait(s, 10, -1, &o, &m), "wait");
        atomic_store(taken_at, now_us());
        pgq_messages_free(m);
    }
}

/* From the producer's commit, and from before it sent, to the handler. 0: it is stuck. */
static int send_one(pgq *q, int topic, int64_t *from_commit, int64_t *from_send)
{
    int64_t began = now_us();
    int64_t committed;

    atomic_store(taken_at, 0);
    if (topic)
        must(q, pgq_topic_publish(q, QUEUE, "x", 1, NULL, NULL), "publish");
    else
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

/* c NULL: a subscriber. */
static void measure(consumer *c, long messages)
{
    atomic_int *ready = shared(sizeof *ready);
    const char *name = c ? consumer_name(c) : "topic";
    int64_t *waits = shared((size_t)messages * sizeof *waits);
    int64_t *totals = shared((size_t)messages * sizeof *totals);
    int64_t *judged = shared((size_t)messages * sizeof *judged);
    pgq *q = open_handle();
    long n = 0;
    pid_t pid;

    if (c)
        c->ready = ready;
    pid = c ? start(consume, c) : start(subscribe, ready);
    while (!atomic_load(ready))
        pause_us(1000);
    for (; n < messages; n++) {
        pause_us(between(60000, 120000));
        if (!send_one(q, !c, &waits[n], &totals[n])) {
            fail("%s: message %ld is stuck", name, n);
            break;
        }
        /* What the machine itself was late by in that second is not ours. */
        judged[n] = waits[n] - noise_between(now_us() - waits[n], now_us());
    }
    if (!c)
        kill_now(pid);
    else if (kill(pid, SIGTERM) == 0)
        check(ended_well(pid), "the %s did not end well", name);
    printf("%-7s idle wake-up after the commit: p50 %.2f ms, p99 %.2f ms; after sending: p50 %.2f ms, p99 "
           "%.2f ms\n",
           name, (double)percentile(waits, (size_t)n, 0.5) / 1e3,
           (double)percentile(waits, (size_t)n, 0.99) / 1e3, (double)percentile(totals, (size_t)n, 0.5) / 1e3,
           (double)percentile(totals, (size_t)n, 0.99) / 1e3);
    check(percentile(judged, (size_t)n, 0.5) < P50_US, "%s: p50 is not below 2 ms", name);
    check(percentile(judged, (size_t)n, 0.99) < P99_US, "%s: p99 is not below 10 ms", name);
    pgq_close(q);
}

/* Nothing comes: the wait ends at its time. */
static void measure_timeouts(void)
{
    int64_t worst = 0;
    int64_t judged = 0;
    pgq *q = open_handle();
    pgq_subscriber *s;

    must(q, pgq_topic_subscribe(q, "silent", NULL, &s), "subscribe");
    for (int i = 0; i < WAITS; i++) {
        int64_t began = now_us();
        int64_t late;
        pgq_messages *m;

        check(pgq_topic_wait(s, 1, WAIT_MS, NULL, &m) == PGQ_TIMEOUT, "the wait did not end with TIMEOUT");
        late = now_us() - began - WAIT_MS * 1000;
        check(late >= 0, "a wait of %d ms was %lld us too short", WAIT_MS, (long long)-late);
        worst = late > worst ? late : worst;
        late -= noise_between(began + WAIT_MS * 1000, now_us());
        judged = late > judged ? late : judged;
    }
    printf("a wait of %d ms took %.2f ms longer at most\n", WAIT_MS, (double)worst / 1e3);
    check(judged < LATE_US, "a wait of %d ms took more than 20 ms longer", WAIT_MS);
    pgq_subscriber_free(s);
    pgq_close(q);
}

int main(void)
{
    consumer kinds[] = {{CONSUME_LISTEN, 1, QUEUE, -1, take, NULL, NULL, 0},
                        {CONSUME_PULL, 1, QUEUE, -1, take, NULL, NULL, 0},
                        {CONSUME_WORKER, 1, QUEUE, -1, take, NULL, NULL, 0}};

    long messages;

    begin("latency");
    messages = setting("PGQ_LATENCY_MESSAGES", 80);
    taken_at = shared(sizeof *taken_at);
    make_queue(QUEUE, 0);
    noise_start(0);
    for (size_t i = 0; i < 3; i++)
        measure(&kinds[i], messages);
    measure(NULL, messages / 2);
    measure_timeouts();
    noise_stop();
    printf("worst overshoot of a timer: %.2f ms\n", (double)noise_worst() / 1e3);
    return finish();
}
