/* SPDX-License-Identifier: MIT */
/* While a transaction is held open elsewhere nothing can be vacuumed; sending and taking stay as fast as they
 * were, in scopes and by leases. A plain insert, now and then, tells whether it is the machine that has
 * become slower.
 *
 * PGQ_HELD_SECONDS (of each). */
#include "harness.h"

#include <stdatomic.h>
#include <stdio.h>

enum { LOOPS = 2, BUCKETS = 60, WARM_US = 2000000, PLAIN_EVERY = 4, BATCH = 100 };

#define QUEUE "held"

struct rates {
    _Atomic int64_t began; /* 0: not yet */
    int64_t length_us;     /* of a bucket */
    atomic_int done;
    atomic_long count[BUCKETS];
    atomic_long us[BUCKETS];    /* what those took */
    atomic_long plain[BUCKETS]; /* plain inserts */
    atomic_long plain_us[BUCKETS];
};

static struct rates *rates;

static int nothing(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q;
    (void)conn;
    (void)m;
    (void)arg;
    return 0;
}

static void note(atomic_long *count, atomic_long *us, int64_t from, long n)
{
    int64_t began = atomic_load(&rates->began);
    int64_t bucket = began ? (from - began) / rates->length_us : -1;

    if (bucket >= 0 && bucket < BUCKETS) {
        atomic_fetch_add(&count[bucket], n);
        atomic_fetch_add(&us[bucket], now_us() - from);
    }
}

static void insert_plainly(pgq *q)
{
    int64_t from = now_us();

    query(q, "INSERT INTO NS.plain VALUES (1)");
    note(rates->plain, rates->plain_us, from, 1);
}

static void send_and_take(void *arg)
{
    pgq *q = open_handle();

    (void)arg;
    for (long turn = 0; !atomic_load(&rates->done); turn++) {
        int64_t from = now_us();
        pgq_status status;

        must(q, pgq_enqueue(q, QUEUE, "work", 4, NULL, NULL), "enqueue");
        status = pgq_dequeue(q, QUEUE, nothing, NULL);
        /* The other one may have taken it. */
        if (status != PGQ_EMPTY)
            must(q, status, "dequeue");
        if (status == PGQ_OK)
            note(rates->count, rates->us, from, 1);
        if (turn % PLAIN_EVERY == 0)
            insert_plainly(q);
    }
    pgq_close(q);
}

static void send_batch(pgq *q)
{
    pgq_outgoing out[BATCH];

    for (int i = 0; i < BATCH; i++) {
        out[i].payload = "work";
        out[i].len = 4;
        out[i].options = NULL;
    }
    must(q, pgq_enqueue_many(q, QUEUE, out, BATCH, 0, NULL, NULL), "enqueue_many");
}

/* The leases are a sixth of the run long: what they leave behind in the index of due times comes up in the
 * run. */
static void receive_and_ack(pgq *q)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_receipt receipts[BATCH];
    pgq_messages *list;
    int64_t from = now_us();
    pgq_status status;
    size_t done = 0;
    size_t n;

    o.lease_ms = rates->length_us * BUCKETS / 6000;
    status = pgq_receive(q, QUEUE, BATCH, &o, &list);
    if (status == PGQ_EMPTY)
        return;
    must(q, status, "receive");
    n = pgq_messages_count(list);
    for (size_t i = 0; i < n; i++) {
        receipts[i].id = pgq_messages_get(list, i)->id;
        receipts[i].attempt = pgq_messages_get(list, i)->attempts;
    }
    pgq_messages_free(list);
    must(q, pgq_ack(q, receipts, n, &done, NULL), "ack");
    check(done == n, "an ack of %zu has done %zu", n, done);
    note(rates->count, rates->us, from, (long)n);
}

/* What it takes to send is not counted here: the other one has done that. */
static void send_and_receive(void *arg)
{
    pgq *q = open_handle();

    (void)arg;
    while (!atomic_load(&rates->done)) {
        send_batch(q);
        receive_and_ack(q);
        for (int i = 0; i < PLAIN_EVERY; i++)
            insert_plainly(q);
    }
    pgq_close(q);
}

/* Of a sixth, the rate of one process while it is at it. */
static double rate(int sixth, atomic_long *count, atomic_long *us)
{
    long total = 0;
    long time = 0;

    for (int i = sixth * BUCKETS / 6; i < (sixth + 1) * BUCKETS / 6; i++) {
        total += atomic_load(&count[i]);
        time += atomic_load(&us[i]);
    }
    return time > 0 ? (double)total * 1e6 / (double)time : 0;
}

static void judge(const char *how)
{
    double messages = 0;
    double plain = 0;

    printf("%s: messages/s, by sixths:", how);
    for (int i = 0; i < 6; i++)
        printf(" %.0f", LOOPS * rate(i, rates->count, rates->us));
    printf("\nplain inserts/s:");
    for (int i = 0; i < 6; i++)
        printf(" %.0f", LOOPS * rate(i, rates->plain, rates->plain_us));
    messages = rate(5, rates->count, rates->us) / rate(0, rates->count, rates->us);
    plain = rate(5, rates->plain, rates->plain_us) / rate(0, rates->plain, rates->plain_us);
    printf("\nlast sixth to first: %.2f; of the plain inserts: %.2f\n", messages, plain);
    check(messages >= 0.9 || messages >= 0.9 * plain, "%s: taking has slowed down to %.2f of what it was",
          how, messages);
}

static void run(const char *how, void (*loop)(void *arg), int64_t seconds)
{
    pid_t loops[LOOPS];
    pgq *holder = open_handle();

    rates = shared(sizeof *rates);
    rates->length_us = seconds * 1000000 / BUCKETS;
    query(holder, "TRUNCATE NS.plain");
    query(holder, "BEGIN");
    query(holder, "SELECT txid_current()");
    for (int i = 0; i < LOOPS; i++)
        loops[i] = start(loop, NULL);
    pause_us(WARM_US);
    atomic_store(&rates->began, now_us());
    pause_us(rates->length_us * BUCKETS);
    atomic_store(&rates->done, 1);
    for (int i = 0; i < LOOPS; i++)
        check(ended_well(loops[i]), "a process did not end well");
    query(holder, "COMMIT");
    pgq_close(holder);
    judge(how);
}

/* The second begins with an empty table, as the first did. The statistics say that every message is ready: a
 * plan that believes in that finds the leased ones by reading all that is dead. */
static void begin_anew(void)
{
    pgq_messages *list;
    pgq *q = open_handle();

    query(q, "VACUUM FULL NS.message");
    send_batch(q);
    query(q, "ANALYZE NS.message");
    must(q, pgq_pop(q, QUEUE, BATCH, &list), "pop");
    pgq_messages_free(list);
    pgq_close(q);
}

int main(void)
{
    int64_t seconds;

    begin("held");
    seconds = setting("PGQ_HELD_SECONDS", 12);
    make_queue(QUEUE, 0);
    query_once("CREATE TABLE NS.plain (n bigint)");
    run("scope", send_and_take, seconds);
    begin_anew();
    run("receive(100) and ack", send_and_receive, seconds);
    return finish();
}
