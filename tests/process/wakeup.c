/* SPDX-License-Identifier: MIT */
/* With the poll fallback off, no wake-up is lost: producers send in transactions of random length, and pause
 * so that consumers fall asleep; consumers come, go and die. No message waits longer than its transaction,
 * plus 50 ms, plus what the machine itself was late by in that second. One whose consumer was killed is timed
 * from that death.
 *
 * PGQ_WAKEUP_MESSAGES. */
#include "consumers.h"
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

enum {
    PRODUCERS = 4,
    SLOTS = 8,
    MOST_AT_ONCE = 4,    /* consumers */
    MOST_OPEN = 8,       /* messages sent and not taken: more would wait for each other, not for a wake-up */
    MOST_LIVES = 100000, /* of consumers */
    SETTLED_US = 200000, /* a consumer has connected all it needs */
    STUCK_US = 10000000, /* nothing is taken for so long: a wake-up is lost */
    LIMIT_US = 50000
};

#define QUEUE "wakeup"

/* One time that a message was handed to a handler. */
struct taking {
    long n;
    int64_t at;
    int32_t attempt;
    int life; /* of the consumer */
};

struct state {
    atomic_long next; /* the number of the next message */
    atomic_long open; /* sent or about to be, and not taken */
    atomic_long takings;
    _Atomic int64_t last; /* when one was taken last */
    _Atomic int64_t quiet_until;
    int lives;
    int64_t died[MOST_LIVES]; /* when a consumer was killed; 0: it was not */
};

struct slot {
    consumer c;
    pid_t pid; /* 0: nobody is there */
    int life;
    int64_t since;
    atomic_int *ready;
};

static struct state *state;
static _Atomic int64_t *committed; /* of each message, 0: not yet */
static atomic_int *times_taken;    /* each message */
static struct taking *takings;
static long messages;
static long most_takings;
static int my_life; /* of a consumer: what the parent has set before the fork */

static int take(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    long n = strtol(m->payload, NULL, 10);
    int64_t at = now_us();
    long i = atomic_fetch_add(&state->takings, 1);

    (void)q;
    (void)conn;
    (void)arg;
    if (i < most_takings) {
        takings[i].n = n;
        takings[i].at = at;
        takings[i].attempt = m->attempts;
        takings[i].life = my_life;
    }
    if (atomic_fetch_add(&times_taken[n], 1) == 0)
        atomic_fetch_sub(&state->open, 1);
    atomic_store(&state->last, at);
    if (between(1, 10) == 1)
        pause_us(between(500, 2500));
    return 0;
}

/* --- producers --- */

static void send_range(pgq *q, long from, long to, int pauses)
{
    for (long n = from; n < to; n++) {
        char text[24];
        int len = snprintf(text, sizeof text, "%ld", n);

        must(q, pgq_enqueue(q, QUEUE, text, (size_t)len, NULL, NULL), "enqueue");
        if (pauses)
            pause_us(between(0, 15000) / (to - from));
        else
            atomic_store(&committed[n], now_us());
    }
}

/* Waits for the end of the quiet, and for its turn: count messages are then as good as open. */
static void reserve(long count)
{
    for (;;) {
        long open = atomic_load(&state->open);
        int64_t quiet = atomic_load(&state->quiet_until) - now_us();

        if (quiet > 0)
            pause_us(quiet);
        else if (open + count > MOST_OPEN)
            pause_us(200);
        else if (atomic_compare_exchange_strong(&state->open, &open, open + count))
            return;
    }
}

static void produce(void *arg)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q = open_handle();
    pgq *mine;

    (void)arg;
    o.name_space = name_space();
    must(q, pgq_attach(pgq_connection(q), &o, &mine), "attach");
    for (;;) {
        long count = (long)between(1, 4);
        long from;
        long to;

        reserve(count);
        from = atomic_fetch_add(&state->next, count);
        to = from + count < messages ? from + count : messages;
        atomic_fetch_sub(&state->open, from < messages ? from + count - to : count);
        if (from >= messages)
            break;
        if (between(1, 2) == 1) {
            send_range(mine, from, to, 0);
            continue;
        }
        query(q, "BEGIN");
        send_range(mine, from, to, 1);
        query(q, "COMMIT");
        for (long n = from; n < to; n++)
            atomic_store(&committed[n], now_us());
    }
    pgq_close(mine);
    pgq_close(q);
}

/* --- consumers come, go and die --- */

static void arrive(struct slot *s)
{
    if (state->lives == MOST_LIVES)
        give_up("more consumers than there is room for");
    my_life = s->life = state->lives++;
    atomic_store(s->ready, 0);
    s->since = 0;
    s->pid = start(consume, &s->c);
}

static void leave(struct slot *s)
{
    kill(s->pid, SIGTERM);
    check(ended_well(s->pid), "a %s did not end well", consumer_name(&s->c));
    s->pid = 0;
}

static void die(struct slot *s)
{
    kill_now(s->pid);
    state->died[s->life] = now_us();
    s->pid = 0;
}

static int settled(struct slot *s)
{
    if (!s->pid || !atomic_load(s->ready))
        return 0;
    if (!s->since)
        s->since = now_us();
    return now_us() - s->since > SETTLED_US;
}

/* One comes, or one goes or is killed, as long as one is left that has settled. */
static void change(struct slot *slots, long *kills)
{
    struct slot *s = &slots[between(0, SLOTS - 1)];
    int there = 0;
    int others = 0;

    for (int i = 0; i < SLOTS; i++) {
        there += slots[i].pid != 0;
        others += &slots[i] != s && settled(&slots[i]);
    }
    if (!s->pid && there < MOST_AT_ONCE) {
        arrive(s);
    } else if (s->pid && others > 0) {
        if (between(1, 2) == 1) {
            leave(s);
        } else {
            die(s);
            (*kills)++;
        }
    }
}

static void set_up(struct slot *slots)
{
    static const consumer_kind kinds[SLOTS] = {CONSUME_LISTEN, CONSUME_WORKER, CONSUME_PULL,   CONSUME_LISTEN,
                                               CONSUME_WORKER, CONSUME_LISTEN, CONSUME_WORKER, CONSUME_PULL};

    for (int i = 0; i < SLOTS; i++) {
        consumer c = {kinds[i], 1 + i % 3, QUEUE, -1, take, NULL, shared(sizeof *slots[i].ready), 0};

        slots[i].c = c;
        slots[i].pid = 0;
        slots[i].ready = c.ready;
    }
    arrive(&slots[0]);
    arrive(&slots[1]);
}

/* A quiet in which consumers fall asleep: mostly one that ends just as they are about to. */
static int64_t quiet_length(void)
{
    int64_t chance = between(1, 100);

    return chance <= 60   ? between(25000, 60000)
           : chance <= 95 ? between(2000, 100000)
                          : between(100000, 400000);
}

static int stuck(void)
{
    return atomic_load(&state->open) > 0 && now_us() - atomic_load(&state->last) > STUCK_US;
}

static int all_taken(void)
{
    return atomic_load(&state->next) >= messages && atomic_load(&state->open) == 0;
}

/* Until every message has been taken. */
static void run(struct slot *slots, long *kills, long *quiets)
{
    int64_t next_change = now_us();
    int64_t next_quiet = now_us();

    atomic_store(&state->last, now_us());
    while (!all_taken()) {
        if (stuck()) {
            fail("stuck: %ld messages are open, %lld in the table", atomic_load(&state->open),
                 (long long)query_once("SELECT count(*) FROM NS.message"));
            return;
        }
        if (now_us() >= next_change) {
            change(slots, kills);
            next_change = now_us() + between(50000, 400000);
        }
        if (now_us() >= next_quiet) {
            int64_t until = now_us() + quiet_length();

            atomic_store(&state->quiet_until, until);
            next_quiet = until + between(10000, 120000);
            (*quiets)++;
        }
        pause_us(1000);
    }
}

/* --- the verdict --- */

/* What is known of a message while its takings are gone through in turn. */
struct history {
    int times; /* it was handed to a handler */
    int life;  /* of the last consumer that had it so */
};

/* Since when the message could have been taken: its commit, or the death of the consumer that had it. */
static int64_t since(const struct taking *t, const struct history *h)
{
    int64_t from = atomic_load(&committed[t->n]);
    int64_t death = 0;

    if (from == 0)
        return t->at;
    if (t->attempt > 1 && h->times + 1 == t->attempt) {
        death = state->died[h->life];
    } else if (t->attempt > 1) {
        /* Somebody died between taking it and handing it over: the last one who did. */
        for (int i = 0; i < state->lives; i++)
            if (state->died[i] <= t->at && state->died[i] > death)
                death = state->died[i];
    }
    if (death > from)
        from = death;
    return from < t->at ? from : t->at;
}

/* Tells a lost wake-up from a crowd: how many others were taken while this one waited, and how long before
 * its taking another one was committed, that may have woken its consumer. */
static void explain(long i, int64_t from, int64_t noise)
{
    const struct taking *t = &takings[i];
    long meanwhile = 0;
    int64_t newest = 0;

    for (long k = i - 1; k >= 0 && takings[k].at > from - 1000000; k--)
        meanwhile += takings[k].at > from && takings[k].at <= t->at;
    for (long n = t->n + 1; n < messages && n < t->n + 100; n++) {
        int64_t at = atomic_load(&committed[n]);

        newest = at > newest && at <= t->at ? at : newest;
    }
    fail("message %ld, attempt %d, waited %.1f ms (noise: %.1f ms); %ld others were taken meanwhile; one "
         "sent later was "
         "committed %.1f ms before the end",
         t->n, t->attempt, (double)(t->at - from) / 1e3, (double)noise / 1e3, meanwhile,
         newest ? (double)(t->at - newest) / 1e3 : -1.0);
}

static void judge(void)
{
    long n = atomic_load(&state->takings);
    int64_t *waits = calloc((size_t)n + 1, sizeof *waits);
    struct history *histories = calloc((size_t)messages, sizeof *histories);
    long late = 0;
    long excused = 0;

    if (!waits || !histories || n > most_takings)
        give_up("no room for %ld takings", n);
    for (long i = 0; i < n; i++) {
        const struct taking *t = &takings[i];
        int64_t from = since(t, &histories[t->n]);
        int64_t noise = noise_between(from, t->at);

        waits[i] = t->at - from;
        histories[t->n].times++;
        histories[t->n].life = t->life;
        if (waits[i] > LIMIT_US && waits[i] <= LIMIT_US + noise)
            excused++;
        if (waits[i] > LIMIT_US + noise && late++ < 10)
            explain(i, from, noise);
    }
    check(late == 0, "%ld of %ld messages waited too long", late, messages);
    printf("waits: p50 %.2f ms, p99 %.2f ms, worst %.2f ms; over 50 ms and excused by the machine: %ld; its "
           "worst: %.1f ms\n",
           (double)percentile(waits, (size_t)n, 0.5) / 1e3, (double)percentile(waits, (size_t)n, 0.99) / 1e3,
           (double)percentile(waits, (size_t)n, 1.0) / 1e3, excused, (double)noise_worst() / 1e3);
    free(waits);
    free(histories);
}

/* How often the consumers had been left alone for so long that they slept. */
static long sleeps(void)
{
    long count = 0;

    for (long i = 1; i < atomic_load(&state->takings); i++)
        count += takings[i].at - takings[i - 1].at > 35000;
    return count;
}

int main(void)
{
    int64_t began = now_us();
    struct slot slots[SLOTS];
    pid_t producers[PRODUCERS];
    long kills = 0;
    long quiets = 0;

    begin("wakeup");
    messages = setting("PGQ_WAKEUP_MESSAGES", 20000);
    most_takings = messages * 2 + 1000;
    state = shared(sizeof *state);
    committed = shared((size_t)messages * sizeof *committed);
    times_taken = shared((size_t)messages * sizeof *times_taken);
    takings = shared((size_t)most_takings * sizeof *takings);
    make_queue(QUEUE, 0);
    noise_start(1);
    set_up(slots);
    while (!settled(&slots[0])) {
        if (now_us() - began > STUCK_US)
            give_up("the first consumer does not settle");
        pause_us(1000);
    }
    for (int i = 0; i < PRODUCERS; i++)
        producers[i] = start(produce, NULL);
    run(slots, &kills, &quiets);
    for (int i = 0; i < PRODUCERS; i++)
        if (failures())
            kill_now(producers[i]);
        else
            check(ended_well(producers[i]), "a producer did not end well");
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].pid)
            leave(&slots[i]);
    noise_stop();
    printf("%ld messages in %.1f s; %d consumers came, %ld were killed; %ld pauses, %ld times asleep\n",
           messages, (double)(now_us() - began) / 1e6, state->lives, kills, quiets, sleeps());
    judge();
    check(sleeps() > 0, "the consumers never slept");
    check(query_once("SELECT count(*) FROM NS.message") == 0, "messages are left");
    return finish();
}
