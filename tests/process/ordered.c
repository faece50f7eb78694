/* SPDX-License-Identifier: MIT */
/* Fifty order keys, several producers, eight consumers in scopes and by leases, some of which are killed: of
 * a key there is never more than one message in hand, and each producer's come in its order. Others go on
 * while the handler of one key stands still. Nobody polls: each message is found by a wake-up.
 *
 * PGQ_ORDERED_MESSAGES, PGQ_ORDERED_SECONDS (over which they are sent), PGQ_ORDERED_KILL_MS,
 * PGQ_ORDERED_LEASE_MS. */
#include "consumers.h"
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    KEYS = 50,
    PRODUCERS = 4,
    CONSUMERS = 8,
    MANY = 7,
    EACH = 8, /* messages of a key, while one stands still */
    MOST_LIVES = 100000,
    PATIENCE_US = 60000000
};

#define QUEUE "ordered"

struct state {
    atomic_int holder[KEYS]; /* the life of the consumer that has a message of the key in hand; 0: nobody */
    atomic_int lives;
    atomic_int doomed[MOST_LIVES]; /* this one was killed, or is about to be */
    atomic_long hits;              /* kills that left a message in hand */
    atomic_long begun;             /* of the key that stands still */
    atomic_long others;            /* that still have to be done before it goes on */
};

static struct state *state;
static long messages; /* of each producer */
static int64_t send_us;
static int64_t lease_ms;
static int my_life; /* of a consumer: what the parent has set before the fork */

/* --- consumers --- */

struct work {
    int leased;
    int fails;  /* now and then */
    int blocks; /* key 0 stands still until all others are done */
};

static void stand_still(void)
{
    int64_t deadline = now_us() + PATIENCE_US;

    check(atomic_fetch_add(&state->begun, 1) == 0,
          "another message of the key that stands still was handed out");
    while (atomic_load(&state->others) > 0)
        if (now_us() > deadline)
            give_up("%ld messages of other keys are held up", atomic_load(&state->others));
        else
            pause_us(1000);
    check(atomic_load(&state->begun) == 1, "another message of the key that stood still was handed out");
}

static void put_down(int key)
{
    int mine = my_life;

    atomic_compare_exchange_strong(&state->holder[key], &mine, 0);
}

/* The row, in the transaction that does the message: a scope's own, or one with the ack in it. */
static void record(pgq *q, const pgq_message *m, const struct work *w, int key, int producer, long n)
{
    pgq_receipt receipt = {m->id, m->attempts};

    if (w->leased)
        query(q, "BEGIN");
    queryf(q, "INSERT INTO NS.done (key, producer, n, id) VALUES (%d, %d, %ld, %lld)", key, producer, n,
           (long long)m->id);
    if (w->leased)
        must(q, pgq_ack(q, &receipt, 1, NULL, NULL), "ack");
    /* With the commit the next one may come. */
    put_down(key);
    if (w->leased)
        query(q, "COMMIT");
}

static int handle(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const struct work *w = arg;
    char *rest;
    int key = (int)strtol(m->payload, &rest, 10);
    int producer = (int)strtol(rest, &rest, 10);
    long n = strtol(rest, NULL, 10);
    int before = atomic_exchange(&state->holder[key], my_life);
    int failed = w->fails && between(1, 30) == 1;

    (void)conn;
    check(before == 0 || atomic_load(&state->doomed[before]),
          "key %d: message %lld was handed out while another was in hand", key, (long long)m->id);
    if (before != 0)
        atomic_fetch_add(&state->hits, 1);
    if (w->blocks && key == 0 && n == 0)
        stand_still();
    pause_us(between(0, 1) * between(0, 30000));
    if (!failed)
        record(q, m, w, key, producer, n);
    if (!failed && key != 0)
        atomic_fetch_sub(&state->others, 1);
    put_down(key);
    return failed ? pgq_fail(q, "refused") : 0;
}

struct process {
    consumer c;
    struct work w;
    pid_t pid;
    int life;
};

static void start_process(struct process *p)
{
    p->life = atomic_fetch_add(&state->lives, 1) + 1;
    if (p->life >= MOST_LIVES)
        give_up("too many consumers have lived");
    my_life = p->life;
    p->pid = start(consume, &p->c);
}

/* One thread each: what a process has in hand is one message. Nobody polls. */
static void set_up(struct process *p, int leased, struct work w)
{
    static const consumer_kind in_scopes[] = {CONSUME_LISTEN, CONSUME_WORKER, CONSUME_PULL};
    static const consumer_kind by_leases[] = {CONSUME_LEASE, CONSUME_WORKER};
    static int turn;

    p->w = w;
    p->w.leased = leased;
    p->c.kind = leased ? by_leases[turn % 2] : in_scopes[turn % 3];
    p->c.threads = 1;
    p->c.queue = QUEUE;
    p->c.poll_interval_ms = -1;
    p->c.handler = handle;
    p->c.arg = &p->w;
    p->c.ready = NULL;
    p->c.lease_ms = leased ? lease_ms : 0;
    turn++;
}

static void end_process(struct process *p)
{
    kill(p->pid, SIGTERM);
    check(ended_well(p->pid), "a %s did not end well", consumer_name(&p->c));
}

/* --- producers --- */

struct producer {
    int number;
    long next[KEYS]; /* of each key, the number of the next message */
};

struct batch {
    size_t count;
    int keys[MANY];
    char order_keys[MANY][16];
    char texts[MANY][48];
    pgq_enqueue_options options[MANY];
    pgq_outgoing out[MANY];
};

static void add(struct batch *b, int producer, int key, long n)
{
    static const pgq_enqueue_options defaults = PGQ_ENQUEUE_OPTIONS_INIT;
    size_t i = b->count++;

    b->keys[i] = key;
    snprintf(b->order_keys[i], sizeof b->order_keys[i], "key %d", key);
    b->options[i] = defaults;
    b->options[i].order_key = b->order_keys[i];
    b->out[i].payload = b->texts[i];
    b->out[i].len = (size_t)snprintf(b->texts[i], sizeof b->texts[i], "%d %d %ld", key, producer, n);
    b->out[i].options = &b->options[i];
}

/* One by one, or in one call; in a transaction that now and then is rolled back, or in none. 0: it was. */
static int send_batch(pgq *q, const struct batch *b)
{
    int in_transaction = between(0, 3) == 0;
    int back = in_transaction && between(0, 3) == 0;

    if (in_transaction)
        query(q, "BEGIN");
    if (between(0, 1))
        must(q, pgq_enqueue_many(q, QUEUE, b->out, b->count, 0, NULL, NULL), "enqueue_many");
    else
        for (size_t i = 0; i < b->count; i++)
            must(q, pgq_enqueue(q, QUEUE, b->out[i].payload, b->out[i].len, b->out[i].options, NULL),
                 "enqueue");
    if (in_transaction) {
        pause_us(between(0, 5000));
        query(q, back ? "ROLLBACK" : "COMMIT");
    }
    return !back;
}

static void produce(void *arg)
{
    struct producer *p = arg;
    pgq *q = open_handle();
    int64_t began = now_us();
    long sent = 0;

    while (sent < messages) {
        struct batch b;
        long next[KEYS];

        b.count = 0;
        for (int key = 0; key < KEYS; key++)
            next[key] = p->next[key];
        for (long n = between(1, MANY); n > 0 && sent + (long)b.count < messages; n--) {
            int key = (int)between(0, KEYS - 1);

            add(&b, p->number, key, next[key]++);
        }
        /* Rolled back, the same numbers are sent the next time. */
        if (!send_batch(q, &b))
            continue;
        for (int key = 0; key < KEYS; key++)
            p->next[key] = next[key];
        sent += (long)b.count;
        pause_us(began + send_us * sent / messages - now_us());
    }
    pgq_close(q);
}

/* --- the runs --- */

/* Waits until so many messages are done, killing consumers meanwhile if kill_us is not 0. */
static long await_done(struct process *p, int64_t all, int64_t kill_us)
{
    pgq *q = open_handle();
    int64_t progress = now_us();
    int64_t next_kill = progress + kill_us;
    int64_t seen = 0;
    int64_t n;
    long kills = 0;

    while ((n = query(q, "SELECT count(*) FROM NS.done")) < all) {
        if (n > seen)
            progress = now_us();
        seen = n;
        if (now_us() > progress + PATIENCE_US)
            give_up("%lld of %lld messages are done, and nothing goes on", (long long)n, (long long)all);
        if (kill_us && now_us() > next_kill) {
            struct process *victim = &p[between(0, CONSUMERS - 1)];

            atomic_store(&state->doomed[victim->life], 1);
            kill_now(victim->pid);
            start_process(victim);
            next_kill += kill_us;
            kills++;
        }
        pause_us(20000);
    }
    pgq_close(q);
    return kills;
}

static void check_order(int64_t all)
{
    pgq *q = open_handle();
    int64_t wrong =
        query(q, "SELECT count(*) FROM (SELECT n, row_number() OVER (PARTITION BY key, producer ORDER BY at) "
                 "- 1 AS expected FROM NS.done) t WHERE n <> expected");
    int64_t back =
        query(q, "SELECT count(*) FROM (SELECT id, lag(id) OVER (PARTITION BY key, producer ORDER BY at) "
                 "AS before FROM NS.done) t WHERE id <= before");

    check(wrong == 0, "%lld messages were not done in their producer's order", (long long)wrong);
    check(back == 0, "%lld messages were done before an earlier id of their key and producer",
          (long long)back);
    check(query(q, "SELECT count(*) FROM NS.done") == all, "more messages were done than were sent");
    check(query(q, "SELECT count(*) FROM NS.message") == 0, "messages are left");
    query(q, "TRUNCATE NS.done");
    pgq_close(q);
}

static void run_still(int leased)
{
    static const struct work blocks = {0, 0, 1};
    static struct process p[CONSUMERS];
    int64_t began = now_us();
    pgq *q = open_handle();

    atomic_store(&state->begun, 0);
    atomic_store(&state->others, (KEYS - 1) * EACH);
    for (long n = 0; n < EACH; n++)
        for (int key = 0; key < KEYS; key++) {
            struct batch b;

            b.count = 0;
            add(&b, 0, key, n);
            must(q, pgq_enqueue_many(q, QUEUE, b.out, 1, 0, NULL, NULL), "enqueue_many");
        }
    pgq_close(q);
    for (int i = 0; i < CONSUMERS; i++) {
        set_up(&p[i], leased, blocks);
        start_process(&p[i]);
    }
    await_done(p, KEYS * EACH, 0);
    for (int i = 0; i < CONSUMERS; i++)
        end_process(&p[i]);
    check(atomic_load(&state->begun) == 1, "the key that was to stand still has begun %ld times",
          atomic_load(&state->begun));
    check_order(KEYS * EACH);
    printf("%s: one key stood still, the others' %d messages went on, in %.1f s\n",
           leased ? "leases" : "scopes", (KEYS - 1) * EACH, (double)(now_us() - began) / 1e6);
}

static void run_killing(int64_t kill_us)
{
    static const struct work fails = {0, 1, 0};
    static struct process p[CONSUMERS];
    static struct producer producers[PRODUCERS];
    int64_t began = now_us();
    pid_t pids[PRODUCERS];
    long kills;

    for (int i = 0; i < CONSUMERS; i++) {
        set_up(&p[i], i % 2, fails);
        start_process(&p[i]);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i].number = i;
        pids[i] = start(produce, &producers[i]);
    }
    kills = await_done(p, messages * PRODUCERS, kill_us);
    for (int i = 0; i < PRODUCERS; i++)
        check(ended_well(pids[i]), "producer %d did not end well", i);
    for (int i = 0; i < CONSUMERS; i++)
        end_process(&p[i]);
    check_order(messages * PRODUCERS);
    check(kills < 30 || atomic_load(&state->hits) > 0, "no kill has hit a handler");
    printf("%ld messages of %d producers and %d keys in %.1f s, %ld kills, of which %ld hit a handler\n",
           messages * PRODUCERS, PRODUCERS, KEYS, (double)(now_us() - began) / 1e6, kills,
           atomic_load(&state->hits));
}

int main(void)
{
    int64_t kill_ms;

    begin("ordered");
    messages = setting("PGQ_ORDERED_MESSAGES", 800);
    send_us = setting("PGQ_ORDERED_SECONDS", 12) * 1000000;
    kill_ms = setting("PGQ_ORDERED_KILL_MS", 400);
    lease_ms = setting("PGQ_ORDERED_LEASE_MS", 3000);
    state = shared(sizeof *state);
    make_queue(QUEUE, 0);
    query_once("CREATE TABLE NS.done (at bigserial, key int, producer int, n bigint, id bigint)");
    run_still(0);
    run_still(1);
    run_killing(kill_ms * 1000);
    return finish();
}
