/* SPDX-License-Identifier: MIT */
/* Eight processes send the same thousand dedup keys at once: one by one, in batches, and in transactions of
 * their own, which take the keys in one order. One message of each key exists, nobody gets an error, and
 * everybody has its id. Then some of the transactions are rolled back; then consumers are at it meanwhile,
 * and a window holds the keys.
 *
 * PGQ_DEDUP_KEYS, PGQ_DEDUP_ROUNDS. */
#include "consumers.h"
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { SENDERS = 8, CONSUMERS = 2, CHUNK = 40, WINDOW_MS = 3600000, MOST_KEYS = 100000 };

typedef enum manner { ONE_BY_ONE, BATCHES, TRANSACTIONS } manner;

struct answers {
    _Atomic int64_t *ids[SENDERS]; /* of each key: what the sender was told; 0: nothing that was committed */
    atomic_int *stored;            /* of each key: how many were told that theirs was stored, and committed */
    atomic_int *consumed;          /* of each key: how often a message of it was done */
    _Atomic int64_t *consumed_id;
};

static struct answers answers;
static atomic_int *waiting;
static long keys;
static const char *queue;
static int rolls_back;
static int64_t window_ms;

static void name_key(char *out, size_t size, long key)
{
    snprintf(out, size, "key %06ld", key);
}

/* --- senders --- */

struct chunk {
    size_t count;
    long keys[CHUNK];
    char texts[CHUNK][24];
    pgq_enqueue_options options[CHUNK];
    pgq_outgoing out[CHUNK];
    int64_t ids[CHUNK];
    pgq_status results[CHUNK];
};

static void fill(struct chunk *c, const long *order, long from)
{
    static const pgq_enqueue_options defaults = PGQ_ENQUEUE_OPTIONS_INIT;

    c->count = 0;
    for (long i = from; i < keys && c->count < CHUNK; i++) {
        size_t at = c->count++;

        c->keys[at] = order[i];
        name_key(c->texts[at], sizeof c->texts[at], order[i]);
        c->options[at] = defaults;
        c->options[at].dedup_key = c->texts[at];
        c->options[at].dedup_window_ms = window_ms;
        c->out[at].payload = c->texts[at];
        c->out[at].len = 10;
        c->out[at].options = &c->options[at];
    }
}

static void note(int sender, const struct chunk *c)
{
    for (size_t i = 0; i < c->count; i++) {
        atomic_store(&answers.ids[sender][c->keys[i]], c->ids[i]);
        if (c->results[i] == PGQ_OK)
            atomic_fetch_add(&answers.stored[c->keys[i]], 1);
        else
            check(c->results[i] == PGQ_DUPLICATE, "a send says %s", pgq_status_name(c->results[i]));
    }
}

static void send_each(pgq *q, struct chunk *c)
{
    for (size_t i = 0; i < c->count; i++) {
        c->results[i] =
            pgq_enqueue(q, queue, c->out[i].payload, c->out[i].len, c->out[i].options, &c->ids[i]);
        if (c->results[i] != PGQ_DUPLICATE)
            must(q, c->results[i], "enqueue");
    }
}

static void send_chunk(pgq *q, struct chunk *c)
{
    must(q, pgq_enqueue_many(q, queue, c->out, c->count, 0, c->ids, c->results), "enqueue_many");
}

static void send_in_transaction(pgq *q, pgq *attached, struct chunk *c, int sender)
{
    int back = rolls_back && sender % 2 && between(0, 1);

    query(q, "BEGIN");
    if (between(0, 1))
        send_each(attached, c);
    else
        send_chunk(attached, c);
    pause_us(between(0, 3000));
    query(q, back ? "ROLLBACK" : "COMMIT");
    if (!back)
        note(sender, c);
}

static manner manner_of(int sender)
{
    return sender < 3 ? ONE_BY_ONE : sender < 5 ? BATCHES : TRANSACTIONS;
}

static void send(void *arg)
{
    int sender = *(int *)arg;
    manner how = manner_of(sender);
    static long order[MOST_KEYS];
    static struct chunk c;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q = open_handle();
    pgq *attached;

    o.name_space = name_space();
    must(q, pgq_attach(pgq_connection(q), &o, &attached), "attach");
    for (long i = 0; i < keys; i++)
        order[i] = i;
    /* Who holds several keys takes them in one order; a call sorts its own. */
    for (long i = keys - 1; i > 0 && how != TRANSACTIONS; i--) {
        long other = (long)between(0, i);
        long swap = order[i];

        order[i] = order[other];
        order[other] = swap;
    }
    atomic_fetch_sub(waiting, 1);
    while (atomic_load(waiting) > 0)
        pause_us(100);
    for (long from = 0; from < keys; from += CHUNK) {
        fill(&c, order, from);
        if (how == TRANSACTIONS) {
            send_in_transaction(q, attached, &c, sender);
            continue;
        }
        if (how == BATCHES)
            send_chunk(q, &c);
        else
            send_each(q, &c);
        note(sender, &c);
    }
    pgq_close(attached);
    pgq_close(q);
}

/* --- consumers --- */

static void consume_some(void *arg)
{
    pgq *q = open_handle();

    (void)arg;
    catch_term();
    while (!stop_asked()) {
        pgq_messages *list;
        pgq_receipt receipts[10];
        size_t done = 0;
        size_t n;
        pgq_status status = pgq_receive(q, queue, 10, NULL, &list);

        if (status == PGQ_EMPTY) {
            pause_us(500);
            continue;
        }
        must(q, status, "receive");
        n = pgq_messages_count(list);
        for (size_t i = 0; i < n; i++) {
            const pgq_message *m = pgq_messages_get(list, i);
            long key = strtol((const char *)m->payload + 4, NULL, 10);

            receipts[i].id = m->id;
            receipts[i].attempt = m->attempts;
            atomic_fetch_add(&answers.consumed[key], 1);
            atomic_store(&answers.consumed_id[key], m->id);
        }
        must(q, pgq_ack(q, receipts, n, &done, NULL), "ack");
        check(done == n, "an ack of %zu has done %zu", n, done);
        pgq_messages_free(list);
    }
    pgq_close(q);
}

/* --- the runs --- */

static int64_t id_of(pgq *q, long key)
{
    char text[24];

    name_key(text, sizeof text, key);
    return queryf(
        q,
        "SELECT id FROM NS.message WHERE dedup_key = '%s' AND queue_id = (SELECT q.id FROM NS.queue q WHERE "
        "q.name = '%s')",
        text, queue);
}

static void check_answers(int consumed)
{
    pgq *q = open_handle();
    long wrong = 0;
    long stored = 0;
    long consumed_wrong = 0;

    for (long key = 0; key < keys; key++) {
        int64_t id = consumed ? atomic_load(&answers.consumed_id[key]) : id_of(q, key);

        consumed_wrong += consumed && atomic_load(&answers.consumed[key]) != 1;
        stored += atomic_load(&answers.stored[key]) != 1;
        for (int s = 0; s < SENDERS; s++) {
            int64_t told = atomic_load(&answers.ids[s][key]);

            wrong += told != id && !(told == 0 && rolls_back && manner_of(s) == TRANSACTIONS && s % 2);
        }
    }
    check(wrong == 0, "%ld answers are not the id of the one that exists", wrong);
    check(stored == 0, "of %ld keys not exactly one sender has stored its message", stored);
    check(consumed_wrong == 0, "%ld keys were not consumed exactly once", consumed_wrong);
    pgq_close(q);
}

static void check_counts(int consumed)
{
    pgq *q = open_handle();
    pgq_stats_list *list;
    pgq_counts c;

    must(q, pgq_count(q, queue, &c), "count");
    check(c.ready == (consumed ? 0 : keys) && c.delayed + c.blocked + c.in_flight + c.dead == 0,
          "%lld messages are ready", (long long)c.ready);
    must(q, pgq_stats(q, queue, &list), "stats");
    /* It counts what was rolled back, too. */
    check(rolls_back ? pgq_stats_get(list, 0)->sent_total >= keys
                     : pgq_stats_get(list, 0)->sent_total == keys,
          "sent_total is %lld", (long long)pgq_stats_get(list, 0)->sent_total);
    pgq_stats_free(list);
    pgq_close(q);
}

static void await_empty(void)
{
    pgq *q = open_handle();
    int64_t deadline = now_us() + 60000000;

    while (queryf(q,
                  "SELECT count(*) FROM NS.message WHERE queue_id = (SELECT q.id FROM NS.queue q WHERE "
                  "q.name = '%s')",
                  queue) > 0)
        if (now_us() > deadline)
            give_up("messages are left");
        else
            pause_us(10000);
    pgq_close(q);
}

static void run(const char *name, int back, int consumed)
{
    static int numbers[SENDERS];
    pid_t senders[SENDERS];
    pid_t consumers[CONSUMERS];
    int64_t began = now_us();

    queue = name;
    rolls_back = back;
    window_ms = consumed ? WINDOW_MS : 0;
    make_queue(queue, 0);
    for (int s = 0; s < SENDERS; s++)
        answers.ids[s] = shared((size_t)keys * sizeof *answers.ids[s]);
    answers.stored = shared((size_t)keys * sizeof *answers.stored);
    answers.consumed = shared((size_t)keys * sizeof *answers.consumed);
    answers.consumed_id = shared((size_t)keys * sizeof *answers.consumed_id);
    atomic_store(waiting, SENDERS);
    for (int i = 0; i < CONSUMERS && consumed; i++)
        consumers[i] = start(consume_some, NULL);
    for (int s = 0; s < SENDERS; s++) {
        numbers[s] = s;
        senders[s] = start(send, &numbers[s]);
    }
    for (int s = 0; s < SENDERS; s++)
        check(ended_well(senders[s]), "sender %d did not end well", s);
    if (consumed)
        await_empty();
    for (int i = 0; i < CONSUMERS && consumed; i++) {
        kill(consumers[i], SIGTERM);
        check(ended_well(consumers[i]), "consumer %d did not end well", i);
    }
    check_answers(consumed);
    check_counts(consumed);
    printf("%s: %ld keys by %d senders in %.1f s\n", name, keys, SENDERS, (double)(now_us() - began) / 1e6);
}

int main(void)
{
    long rounds;

    begin("dedup");
    keys = setting("PGQ_DEDUP_KEYS", 1000);
    keys = keys > MOST_KEYS ? MOST_KEYS : keys;
    rounds = setting("PGQ_DEDUP_ROUNDS", 1);
    waiting = shared(sizeof *waiting);
    for (long i = 0; i < rounds; i++) {
        char names[4][32];
        static const char *const kinds[4] = {"plain", "rolled back", "consumed", "rolled back and consumed"};

        for (int k = 0; k < 4; k++) {
            snprintf(names[k], sizeof names[k], "%s %ld", kinds[k], i);
            run(names[k], k % 2, k >= 2);
        }
    }
    return finish();
}
