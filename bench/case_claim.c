/* SPDX-License-Identifier: MIT */
/* How long a claim takes in a namespace that is full of what it must pass by, held against an empty one.
 *
 * Each claim finds the one message that was just sent. synchronous_commit is off on these connections: a
 * flush, which costs the same in both, would hide the rest. */
#include "cases.h"
#include "ours.h"
#include "pair.h"

#include <stdio.h>
#include <stdlib.h>

#define OTHERS      4
#define BATCH       1000
#define LONG_MS     86400000
#define CLAIM_SLICE 0.1
#define CLAIM_WARM  3

/* --- what is to be passed by --- */

static void send_some(pgq *q, const char *queue, int64_t delay_ms, size_t n)
{
    pgq_outgoing out[BATCH];
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    o.delay_ms = delay_ms;
    for (size_t i = 0; i < n; i++)
        out[i] = (pgq_outgoing){"a payload of an ordinary size, for a message of the crowd", 57,
                                delay_ms > 0 ? &o : NULL};
    must(q, pgq_enqueue_many(q, queue, out, n, 0, NULL, NULL), "pgq_enqueue_many");
}

/* Leases all that is ready, n messages. */
static void receive_all(pgq *q, const char *queue, size_t n, pgq_receipt *receipts)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_messages *list = NULL;
    o.lease_ms = LONG_MS;
    must(q, pgq_receive(q, queue, (int)n, &o, &list), "pgq_receive");
    if (pgq_messages_count(list) != n)
        die("%zu of %zu messages were received", pgq_messages_count(list), n);
    for (size_t i = 0; i < n; i++)
        receipts[i] = (pgq_receipt){pgq_messages_get(list, i)->id, pgq_messages_get(list, i)->attempts};
    pgq_messages_free(list);
}

static void add_delayed(pgq *q, const char *queue, size_t n)
{
    send_some(q, queue, LONG_MS, n);
}

static void add_ready(pgq *q, const char *queue, size_t n)
{
    send_some(q, queue, 0, n);
}

static void add_leased(pgq *q, const char *queue, size_t n)
{
    pgq_receipt receipts[BATCH];
    send_some(q, queue, 0, n);
    receive_all(q, queue, n, receipts);
}

static void add_dead_letters(pgq *q, const char *queue, size_t n)
{
    pgq_receipt receipts[BATCH];
    pgq_nack_options o = PGQ_NACK_OPTIONS_INIT;
    o.requeue = 0;
    o.error = "one of the crowd";
    send_some(q, queue, 0, n);
    receive_all(q, queue, n, receipts);
    must(q, pgq_nack(q, receipts, n, &o, NULL, NULL), "pgq_nack");
}

static void add_dead_rows(pgq *q, const char *queue, size_t n)
{
    pgq_messages *list = NULL;
    send_some(q, queue, 0, n);
    must(q, pgq_pop(q, queue, (int)n, &list), "pgq_pop");
    pgq_messages_free(list);
}

/* So many, every other batch in the measured queue if own. */
static void add(pgq *q, void (*adder)(pgq *, const char *, size_t), long all, bool own)
{
    for (int turn = 0; all > 0; turn++) {
        char queue[32];
        size_t n = all < BATCH ? (size_t)all : BATCH;
        snprintf(queue, sizeof queue, "other %d", turn % OTHERS);
        adder(q, own && turn % 2 == 0 ? QUEUE : queue, n);
        all -= BATCH;
    }
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

static void by_pop(pgq *q)
{
    pgq_messages *list = NULL;
    must(q, pgq_pop(q, QUEUE, 1, &list), "pgq_pop");
    pgq_messages_free(list);
}

static void by_scope(pgq *q)
{
    must(q, pgq_dequeue(q, QUEUE, nothing, NULL), "pgq_dequeue");
}

static void by_lease(pgq *q)
{
    pgq_receipt receipt;
    receive_all(q, QUEUE, 1, &receipt);
    must(q, pgq_ack(q, &receipt, 1, NULL, NULL), "pgq_ack");
}

static const struct kind {
    const char *name;
    void (*claim)(pgq *q);
} kinds[] = {{"pop", by_pop}, {"scope", by_scope}, {"lease", by_lease}};
#define KINDS (sizeof kinds / sizeof *kinds)

typedef struct times {
    double median, mean; /* nanoseconds */
} times;

static times claim_slice(pgq *q, void (*claim)(pgq *q), double seconds)
{
    hist *h = allocate(1, sizeof *h);
    int64_t until = now_ns() + (int64_t)(seconds * 1e9);
    while (h->count == 0 || now_ns() < until) {
        must(q, pgq_enqueue(q, QUEUE, "x", 1, NULL, NULL), "pgq_enqueue");
        int64_t began = now_ns();
        claim(q);
        hist_add(h, now_ns() - began);
    }
    times t = {hist_percentile(h, 0.5), hist_mean(h)};
    free(h);
    return t;
}

/* The ratio of the medians of the slices' medians. */
static double compare(bench *b, const struct kind *k, pgq *full, pgq *empty)
{
    int count = (int)(b->o.seconds / KINDS / (2 * CLAIM_SLICE) + 0.5);
    count = count < 3 ? 3 : count;
    double *value[4];
    for (int i = 0; i < 4; i++)
        value[i] = allocate((size_t)count, sizeof *value[i]);
    for (int i = -CLAIM_WARM; i < count; i++) {
        times f, e;
        if (i % 2 == 0) {
            f = claim_slice(full, k->claim, CLAIM_SLICE);
            e = claim_slice(empty, k->claim, CLAIM_SLICE);
        } else {
            e = claim_slice(empty, k->claim, CLAIM_SLICE);
            f = claim_slice(full, k->claim, CLAIM_SLICE);
        }
        if (i < 0)
            continue;
        value[0][i] = f.median;
        value[1][i] = e.median;
        value[2][i] = f.mean;
        value[3][i] = e.mean;
    }
    double m[4];
    for (int i = 0; i < 4; i++) {
        m[i] = median_of(value[i], count);
        free(value[i]);
    }
    char key[64];
    snprintf(key, sizeof key, "%s_ratio", k->name);
    report_number(b, key, m[0] / m[1], "%-5s %8.1f us, empty %8.1f us: ratio %.3f", k->name, m[0] / 1e3,
                  m[1] / 1e3, m[0] / m[1]);
    snprintf(key, sizeof key, "%s_mean_ratio", k->name);
    report_number(b, key, m[2] / m[3], "      on average %.1f us, empty %.1f us: ratio %.3f", m[2] / 1e3,
                  m[3] / 1e3, m[2] / m[3]);
    return m[0] / m[1];
}

/* --- the runs --- */

static pgq *open_quick(const bench *b, const char *name_space)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    char *conninfo = bench_conninfo(b, "claim", NULL, "-c synchronous_commit=off");
    pgq *q = NULL;
    o.name_space = name_space;
    pgq_status status = pgq_open(conninfo, &o, &q);
    must(q, status, "pgq_open");
    free(conninfo);
    return q;
}

static void measure(bench *b)
{
    pgq *full = open_quick(b, NS);
    pgq *empty = open_quick(b, NS_EMPTY);
    double worst = 0;
    report_begin(b);
    report_number(b, "rows", (double)b->o.rows, "%ld rows", b->o.rows);
    for (size_t i = 0; i < KINDS; i++) {
        double ratio = compare(b, &kinds[i], full, empty);
        worst = ratio > worst ? ratio : worst;
    }
    report_ratio(b, worst);
    pgq_close(full);
    pgq_close(empty);
}

void run_dead(bench *b)
{
    pgq *q = open_quick(b, NS);
    pgq_close(bench_namespace(b, NS_EMPTY));
    PGconn *held = hold_transaction(b);
    for (long n = b->o.rows; n > 0; n -= BATCH)
        add_dead_rows(q, QUEUE, n < BATCH ? (size_t)n : BATCH);
    measure(b);
    PQfinish(held);
    pgq_close(q);
}

void run_crowd(bench *b)
{
    pgq *q = open_quick(b, NS);
    pgq_close(bench_namespace(b, NS_EMPTY));
    for (int i = 0; i < OTHERS; i++) {
        char queue[32];
        snprintf(queue, sizeof queue, "other %d", i);
        must(q, pgq_create_queue(q, queue, NULL, 0), "pgq_create_queue");
    }
    /* Only while nothing else is ready is what was sent what is received. */
    add(q, add_dead_letters, b->o.rows, true);
    add(q, add_leased, b->o.rows / 10, true);
    add(q, add_delayed, b->o.rows, true);
    add(q, add_ready, b->o.rows, false);
    run_sql(b->control, "VACUUM ANALYZE " NS ".message");
    run_sql(b->control, "VACUUM ANALYZE " NS ".dead_letter");
    measure(b);
    pgq_close(q);
}
