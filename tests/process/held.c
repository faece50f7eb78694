/* SPDX-License-Identifier: MIT */
/* While a transaction is held open elsewhere nothing can be vacuumed; sending and taking stay as fast as they
 * were. A plain insert, now and then, tells whether it is the machine that has become slower.
 *
 * PGQ_HELD_SECONDS. */
#include "harness.h"

#include <stdatomic.h>
#include <stdio.h>

enum { LOOPS = 2, BUCKETS = 60, WARM_US = 2000000, PLAIN_EVERY = 4 };

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

static void note(atomic_long *count, atomic_long *us, int64_t from)
{
    int64_t began = atomic_load(&rates->began);
    int64_t bucket = began ? (from - began) / rates->length_us : -1;

    if (bucket >= 0 && bucket < BUCKETS) {
        atomic_fetch_add(&count[bucket], 1);
        atomic_fetch_add(&us[bucket], now_us() - from);
    }
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
            note(rates->count, rates->us, from);
        if (turn % PLAIN_EVERY == 0) {
            from = now_us();
            query(q, "INSERT INTO NS.plain VALUES (1)");
            note(rates->plain, rates->plain_us, from);
        }
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

static void judge(void)
{
    double messages = 0;
    double plain = 0;

    printf("messages/s, by sixths:");
    for (int i = 0; i < 6; i++)
        printf(" %.0f", LOOPS * rate(i, rates->count, rates->us));
    printf("\nplain inserts/s:");
    for (int i = 0; i < 6; i++)
        printf(" %.0f", LOOPS * rate(i, rates->plain, rates->plain_us));
    messages = rate(5, rates->count, rates->us) / rate(0, rates->count, rates->us);
    plain = rate(5, rates->plain, rates->plain_us) / rate(0, rates->plain, rates->plain_us);
    printf("\nlast sixth to first: %.2f; of the plain inserts: %.2f\n", messages, plain);
    check(messages >= 0.9 || messages >= 0.9 * plain,
          "sending and taking have slowed down to %.2f of what they were", messages);
}

int main(void)
{
    pid_t loops[LOOPS];
    pgq *holder;

    begin("held");
    rates = shared(sizeof *rates);
    rates->length_us = setting("PGQ_HELD_SECONDS", 30) * 1000000 / BUCKETS;
    make_queue(QUEUE, 0);
    query_once("CREATE TABLE NS.plain (n bigint)");
    holder = open_handle();
    query(holder, "BEGIN");
    query(holder, "SELECT txid_current()");
    for (int i = 0; i < LOOPS; i++)
        loops[i] = start(send_and_take, NULL);
    pause_us(WARM_US);
    atomic_store(&rates->began, now_us());
    pause_us(rates->length_us * BUCKETS);
    atomic_store(&rates->done, 1);
    for (int i = 0; i < LOOPS; i++)
        check(ended_well(loops[i]), "a process did not end well");
    query(holder, "COMMIT");
    pgq_close(holder);
    judge();
    return finish();
}
