/* SPDX-License-Identifier: MIT */
/* Ten processes send, one consumes: each sender's messages of a priority arrive in the order in which it sent
 * them. First the senders hurry, so that the queue grows; then they take their time, so that the consumer
 * waits for them. Then the same with three priorities and by leases, many at a time and one by one.
 *
 * PGQ_ORDER_MESSAGES (of each sender), PGQ_ORDER_OPEN_MS (how long a long transaction stays open). */
#include "consumers.h"
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { SENDERS = 10, MANY = 7, PRIORITIES = 3, AT_ONCE = 20 };

#define QUEUE "order"

struct arrivals {
    atomic_long next[SENDERS][PRIORITIES]; /* of each sender: the number expected next */
    atomic_long swapped;
};

/* How a run goes. */
struct pace {
    const char *name;
    long messages;      /* of each sender */
    int64_t pause_most; /* between two sends, in microseconds */
    int long_percent;   /* of the sends are transactions that stay open; nothing pauses after one */
    int priorities;
    void (*consume)(void *consumer);
    consumer_kind kind;
};

static const int32_t priorities[PRIORITIES] = {999, 0, 2147483647};

static struct arrivals *arrivals;
static const struct pace *pace;
static long messages;   /* of each sender */
static int64_t open_us; /* of a long transaction */

static void note(const pgq_message *m)
{
    char *rest;
    long sender = strtol(m->payload, &rest, 10);
    long priority = strtol(rest, &rest, 10);
    long n = strtol(rest, NULL, 10);
    long expected = atomic_load(&arrivals->next[sender][priority]);

    if (n != expected && atomic_fetch_add(&arrivals->swapped, 1) < 5)
        fail("sender %ld: message %ld of priority %d came in the place of %ld", sender, n,
             priorities[priority], expected);
    atomic_store(&arrivals->next[sender][priority], n + 1);
}

static int receive(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q;
    (void)conn;
    (void)arg;
    note(m);
    return 0;
}

/* Many at a time, which come in order too. */
static void receive_many(void *arg)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq *q = open_handle();

    (void)arg;
    o.timeout_ms = 200;
    catch_term();
    while (!stop_asked()) {
        pgq_messages *list;
        pgq_receipt receipts[AT_ONCE];
        pgq_status status = pgq_receive(q, QUEUE, (int)between(1, AT_ONCE), &o, &list);
        size_t n;

        if (status == PGQ_TIMEOUT)
            continue;
        must(q, status, "receive");
        n = pgq_messages_count(list);
        for (size_t i = 0; i < n; i++) {
            note(pgq_messages_get(list, i));
            receipts[i].id = pgq_messages_get(list, i)->id;
            receipts[i].attempt = pgq_messages_get(list, i)->attempts;
        }
        pgq_messages_free(list);
        must(q, pgq_ack(q, receipts, n, NULL, NULL), "ack");
    }
    pgq_close(q);
}

/* A sender's message n is the one of its priority with the number n / priorities. */
static size_t write_text(char *text, size_t size, long sender, long n, pgq_enqueue_options *o)
{
    static const pgq_enqueue_options defaults = PGQ_ENQUEUE_OPTIONS_INIT;

    *o = defaults;
    o->priority = priorities[n % pace->priorities];
    return (size_t)snprintf(text, size, "%ld %ld %ld", sender, n % pace->priorities, n / pace->priorities);
}

static long send_one(pgq *q, long sender, long n)
{
    pgq_enqueue_options o;
    char text[48];
    size_t len = write_text(text, sizeof text, sender, n, &o);

    must(q, pgq_enqueue(q, QUEUE, text, len, &o, NULL), "enqueue");
    return n + 1;
}

static long send_many(pgq *q, long sender, long n)
{
    pgq_outgoing out[MANY];
    pgq_enqueue_options options[MANY];
    char texts[MANY][48];
    size_t count = 0;

    for (; count < MANY && n < messages; count++, n++) {
        out[count].payload = texts[count];
        out[count].len = write_text(texts[count], sizeof texts[0], sender, n, &options[count]);
        out[count].options = &options[count];
    }
    must(q, pgq_enqueue_many(q, QUEUE, out, count, 0, NULL, NULL), "enqueue_many");
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

        if (chance <= pace->long_percent) {
            n = send_in_transaction(q, mine, sender, n, open_us);
            continue;
        }
        if (chance <= 70)
            n = send_one(q, sender, n);
        else if (chance <= 85)
            n = send_many(q, sender, n);
        else
            n = send_in_transaction(q, mine, sender, n, between(0, 15000));
        pause_us(pace->pause_most ? between(0, pace->pause_most) * between(0, 1) : 0);
    }
    pgq_close(mine);
    pgq_close(q);
}

static int all_arrived(void)
{
    for (int i = 0; i < SENDERS; i++)
        for (int p = 0; p < pace->priorities; p++)
            if (atomic_load(&arrivals->next[i][p]) < (messages + pace->priorities - 1 - p) / pace->priorities)
                return 0;
    return 1;
}

static void run(const struct pace *how)
{
    consumer c = {how->kind, 1, QUEUE, 0, receive, NULL, NULL, 0};
    int64_t began = now_us();
    long numbers[SENDERS];
    pid_t senders[SENDERS];
    pid_t receiver;
    int64_t deadline;

    pace = how;
    messages = how->messages;
    for (int i = 0; i < SENDERS; i++)
        for (int p = 0; p < PRIORITIES; p++)
            atomic_store(&arrivals->next[i][p], 0);
    receiver = start(how->consume, &c);
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
    printf("%s: %ld messages of %d senders in %.1f s, %ld out of order\n", pace->name, messages * SENDERS,
           SENDERS, (double)(now_us() - began) / 1e6, atomic_load(&arrivals->swapped));
}

int main(void)
{
    struct pace paces[] = {
        {"in a hurry", 1, 0, 1, 1, consume, CONSUME_LISTEN},
        {"at leisure", 2, 20000, 10, 1, consume, CONSUME_LISTEN},
        {"in a hurry, priorities, leases of many", 2, 0, 1, PRIORITIES, receive_many, CONSUME_LEASE},
        {"at leisure, priorities, leases", 4, 20000, 10, PRIORITIES, consume, CONSUME_LEASE}};
    long each;

    begin("order");
    each = setting("PGQ_ORDER_MESSAGES", 1000);
    open_us = setting("PGQ_ORDER_OPEN_MS", 250) * 1000;
    arrivals = shared(sizeof *arrivals);
    make_queue(QUEUE, 0);
    for (size_t i = 0; i < sizeof paces / sizeof paces[0]; i++) {
        paces[i].messages = each / paces[i].messages;
        run(&paces[i]);
    }
    check(atomic_load(&arrivals->swapped) == 0, "%ld messages came out of order",
          atomic_load(&arrivals->swapped));
    return finish();
}
