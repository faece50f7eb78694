/* SPDX-License-Identifier: MIT */
/* Ten processes send, one consumes: each sender's messages arrive in the order in which it sent them. First
 * the senders hurry, so that the queue grows; then they take their time, so that the consumer waits for them.
 *
 * PGQ_ORDER_MESSAGES (of each sender), PGQ_ORDER_OPEN_MS (how long a long transaction stays open). */
#include "consumers.h"
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { SENDERS = 10, MANY = 7 };

#define QUEUE "order"

struct arrivals {
    atomic_long next[SENDERS]; /* of each sender: the number expected next */
    atomic_long swapped;
};

static struct arrivals *arrivals;
static long messages;      /* of each sender */
static int64_t open_us;    /* of a long transaction */
static int64_t pause_most; /* between two sends, in microseconds */
static int long_percent;   /* of the sends are such transactions; nothing pauses after one */

static int receive(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    char *rest;
    long sender = strtol(m->payload, &rest, 10);
    long n = strtol(rest, NULL, 10);
    long expected = atomic_load(&arrivals->next[sender]);

    (void)q;
    (void)conn;
    (void)arg;
    if (n != expected && atomic_fetch_add(&arrivals->swapped, 1) < 5)
        fail("sender %ld: message %ld came in the place of %ld", sender, n, expected);
    atomic_store(&arrivals->next[sender], n + 1);
    return 0;
}

static long send_one(pgq *q, long sender, long n)
{
    char text[48];
    int len = snprintf(text, sizeof text, "%ld %ld", sender, n);

    must(q, pgq_enqueue(q, QUEUE, text, (size_t)len, NULL, NULL), "enqueue");
    return n + 1;
}

static long send_many(pgq *q, long sender, long n)
{
    pgq_outgoing out[MANY];
    char texts[MANY][48];
    size_t count = 0;

    for (; count < MANY && n < messages; count++, n++) {
        out[count].payload = texts[count];
        out[count].len = (size_t)snprintf(texts[count], sizeof texts[0], "%ld %ld", sender, n);
        out[count].options = NULL;
    }
    must(q, pgq_enqueue_many(q, QUEUE, out, count, 0, NULL), "enqueue_many");
    return n;
}

/* In a transaction of the caller's; now and then one that stays open longer than a consumer will look back
 * for. */
static long send_in_transaction(pgq *q, pgq *mine, long sender, long n, int64_t us)
{
    query(q, "BEGIN");
    for (int i = 0; i < 3 && n < messages; i++)
        n = send_one(mine, sender, n);
    pause_us(us);
    query(q, "COMMIT");
    return n;
}

static void send(void *arg)
{
    long sender = *(long *)arg;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q = open_handle();
    pgq *mine;

    o.name_space = name_space();
    must(q, pgq_attach(pgq_connection(q), &o, &mine), "attach");
    for (long n = 0; n < messages;) {
        int64_t chance = between(1, 100);

        if (chance <= long_percent) {
            n = send_in_transaction(q, mine, sender, n, open_us);
            continue;
        }
        if (chance <= 70)
            n = send_one(q, sender, n);
        else if (chance <= 85)
            n = send_many(q, sender, n);
        else
            n = send_in_transaction(q, mine, sender, n, between(0, 15000));
        pause_us(pause_most ? between(0, pause_most) * between(0, 1) : 0);
    }
    pgq_close(mine);
    pgq_close(q);
}

static int all_arrived(void)
{
    for (int i = 0; i < SENDERS; i++)
        if (atomic_load(&arrivals->next[i]) < messages)
            return 0;
    return 1;
}

static void run(const char *pace, long each, int64_t pause, int percent)
{
    consumer c = {CONSUME_LISTEN, 1, QUEUE, 0, receive, NULL, NULL};
    int64_t began = now_us();
    long numbers[SENDERS];
    pid_t senders[SENDERS];
    pid_t receiver;
    int64_t deadline;

    messages = each;
    pause_most = pause;
    long_percent = percent;
    for (int i = 0; i < SENDERS; i++)
        atomic_store(&arrivals->next[i], 0);
    receiver = start(consume, &c);
    for (int i = 0; i < SENDERS; i++) {
        numbers[i] = i;
        senders[i] = start(send, &numbers[i]);
    }
    for (int i = 0; i < SENDERS; i++)
        check(ended_well(senders[i]), "sender %d did not end well", i);
    deadline = now_us() + 60000000;
    while (query_once("SELECT count(*) FROM NS.message") > 0 && now_us() < deadline)
        pause_us(10000);
    kill(receiver, SIGTERM);
    check(ended_well(receiver), "the consumer did not end well");
    check(query_once("SELECT count(*) FROM NS.message") == 0, "messages are left");
    check(atomic_load(&arrivals->swapped) > 0 || all_arrived(), "messages are missing");
    printf("%s: %ld messages of %d senders in %.1f s, %ld out of order\n", pace, messages * SENDERS, SENDERS,
           (double)(now_us() - began) / 1e6, atomic_load(&arrivals->swapped));
}

int main(void)
{
    long each;

    begin("order");
    each = setting("PGQ_ORDER_MESSAGES", 1000);
    open_us = setting("PGQ_ORDER_OPEN_MS", 250) * 1000;
    arrivals = shared(sizeof *arrivals);
    make_queue(QUEUE, 0);
    run("in a hurry", each, 0, 1);
    run("at leisure", each / 2, 20000, 10);
    check(atomic_load(&arrivals->swapped) == 0, "%ld messages came out of order",
          atomic_load(&arrivals->swapped));
    return finish();
}
